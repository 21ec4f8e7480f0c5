"""The page in a real browser: what a person does there is on disk, pixel by pixel."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette

from tests.made_run import make_run
from tests.review.desks import make_desk
from weakseg.review.desk import Desk, Entry
from weakseg.review.evidence import Tell
from weakseg.review.ordering import Ordering
from weakseg.review.server import build_app, open_socket

pytestmark = pytest.mark.slow

ID = "train_0"
TOKEN = "a-token"
STAGE_PX = (1280, 800)
PHONE_PX = (390, 844)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path, make_run(tmp_path))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with open_socket(0) as one:
        yield one


@pytest.fixture
def address(desk: Desk, listening: socket.socket) -> Iterator[str]:
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    with serve(build_app(desk, token=TOKEN, hosts=frozenset({host})), listening):
        yield f"http://{host}/#{TOKEN}/{ID}"


@contextmanager
def serve(app: Starlette, listening: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield
    server.should_exit = True
    thread.join()


def open_page(browser: Browser, address: str, *, size_px: tuple[int, int] = STAGE_PX) -> Page:
    context = browser.new_context(viewport={"width": size_px[0], "height": size_px[1]}, has_touch=size_px == PHONE_PX)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(address)
    expect(page.locator("#name")).to_have_text(ID)
    expect(page.locator("#canvas")).to_have_attribute("aria-label", f"Image {ID} with its mask")
    return page


def paint(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a line from one point of the canvas to another, in px from its middle."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] + start[0], middle[1] + start[1])
    page.mouse.down()
    page.mouse.move(middle[0] + end[0], middle[1] + end[1], steps=3)
    page.mouse.up()


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("Saved")


def on_disk(desk: Desk) -> NDArray[np.uint8]:
    return np.asarray(Image.open(desk.store.mask_file(ID)))


def test_paint_undo_accept_reload(browser: Browser, desk: Desk, address: str) -> None:
    page = open_page(browser, address)
    original = desk.labels(ID).copy()
    page.keyboard.press("2")
    paint(page, (0, 100), (60, 100))
    saved(page)
    first = on_disk(desk)
    assert first.shape == original.shape
    painted = first != original
    assert 20 < painted.sum() < original.size / 2
    assert set(first[painted]) == {2}
    paint(page, (-100, -100), (100, 200))
    page.keyboard.press("Control+z")
    page.wait_for_timeout(100)
    saved(page)
    np.testing.assert_array_equal(on_disk(desk), first)
    page.keyboard.press("a")
    expect(page.locator("#name")).to_have_text("train_1")
    saved(page)
    correction = desk.store.read(ID)
    assert correction is not None
    assert (correction.verdict, correction.has_mask, correction.added_tags) == ("right", True, ("bex",))
    np.testing.assert_array_equal(on_disk(desk), first)
    page.reload()
    expect(page.locator("#name")).to_have_text("train_1")
    page.keyboard.press("p")
    expect(page.locator("#name")).to_have_text(ID)
    expect(page.locator("#accept")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("option", name="train_0")).to_have_attribute("aria-selected", "true")
    np.testing.assert_array_equal(on_disk(desk), first)


def test_undo_goes_back_over_images_to_the_very_first_mask(browser: Browser, desk: Desk, address: str) -> None:
    page = open_page(browser, address)
    page.keyboard.press("t")
    page.keyboard.press("Home")  # threshold 0
    expect(page.locator("#undo")).to_have_accessible_name("Undo threshold")
    saved(page)
    maps = desk.seed(ID)
    assert maps is not None
    np.testing.assert_array_equal(on_disk(desk) > 0, maps.full()[0].numpy() > 0)
    page.keyboard.press("r")
    expect(page.locator("#name")).to_have_text("train_1")
    page.get_by_role("button", name="cim").click()
    expect(page.locator("#undo")).to_have_accessible_name("Undo tags")
    for expected in ("Undo “wrong”", "Undo threshold", "Undo"):
        page.keyboard.press("u")
        expect(page.locator("#undo")).to_have_accessible_name(expected)
    expect(page.locator("#name")).to_have_text(ID)
    saved(page)
    assert not desk.store.mask_file(ID).exists()
    assert desk.store.summary().images == 0


def test_two_tabs(browser: Browser, desk: Desk, address: str) -> None:
    first, second = open_page(browser, address), open_page(browser, address)
    second.keyboard.press("r")
    expect(second.locator("#name")).to_have_text("train_1")
    saved(second)
    paint(first, (0, 100), (60, 100))
    first.get_by_role("button", name="Load what is saved").click()
    expect(first.locator("#reject")).to_have_attribute("aria-pressed", "true")
    assert not desk.store.mask_file(ID).exists()
    second.keyboard.press("p")
    expect(second.locator("#name")).to_have_text(ID)
    paint(first, (0, 100), (60, 100))
    saved(first)
    kept = on_disk(desk)
    paint(second, (-60, -100), (-60, -100))
    second.get_by_role("button", name="Overwrite it with mine").click()
    saved(second)
    assert (on_disk(desk) != kept).any()


def test_by_keys_alone_and_on_a_phone(browser: Browser, desk: Desk, address: str) -> None:
    page = open_page(browser, address, size_px=PHONE_PX)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE_PX[0]
    original = desk.labels(ID).copy()
    for key in ("3", "i", "Enter", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    saved(page)
    painted = on_disk(desk) != original
    assert set(on_disk(desk)[painted]) == {3}
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="List of images").click()
    page.keyboard.press("Tab")
    page.keyboard.type("val_2")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator("#name")).to_have_text("val_2")


def test_what_a_dead_server_did_not_get_is_written_when_it_is_back(browser: Browser, desk: Desk, address: str) -> None:
    page = open_page(browser, address)
    page.route("**/api/correction*", lambda route: route.abort())
    paint(page, (0, 100), (60, 100))
    expect(page.locator("#notice")).to_contain_text("Not saved: The server does not answer")
    assert not desk.store.root.exists()
    another = page.context.new_page()  # the first tab is killed, and asks nobody whether it may go
    page.close(run_before_unload=False)
    another.goto(address)
    expect(another.locator("#name")).to_have_text(ID)
    assert (on_disk(desk) != desk.original(ID)).any()


@pytest.mark.parametrize("has_moved", [False, True])
def test_the_list_is_put_in_order_while_somebody_looks(
    browser: Browser, desk: Desk, listening: socket.socket, has_moved: bool
) -> None:
    host, is_let = f"127.0.0.1:{listening.getsockname()[1]}", threading.Event()
    first, second, *_, last = desk.listed

    def find(tell: Tell) -> list[Entry]:
        tell(2, 6)
        assert is_let.wait(30)
        return [Entry(last, "worst of all")]

    ordering = Ordering(desk, find)
    ordering.start()
    app = build_app(desk, token=TOKEN, hosts=frozenset({host}), ordering=ordering)
    with serve(app, listening):
        context = browser.new_context()
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(f"http://{host}/#{TOKEN}")
        expect(page.locator("#ordering")).to_contain_text("Looking for doubtful masks: 2 of 6")
        expect(page.locator("#name")).to_have_text(first)
        if has_moved:
            page.keyboard.press("n")
            expect(page.locator("#name")).to_have_text(second)
        is_let.set()
        expect(page.locator("#ordering")).to_be_hidden()
        row = page.locator("[aria-posinset='1']")
        expect(row).to_contain_text("worst of all")
        expect(page.locator("#name")).to_have_text(second if has_moved else last)
        expect(page.locator("#place")).to_contain_text("3 of 6" if has_moved else "1 of 6")
        context.close()
