"""The page of `weakseg serve` in a browser: a photograph gets its mask and areas, on a phone and in the dark."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, expect

from tests.predict.made_model import write_photo
from tests.serve.made_server import TOKEN, make_labeller
from weakseg.serve.app import Limits, PredictServer, build_app
from weakseg.serve.gate import local_names
from weakseg.serve.listening import open_socket

pytestmark = pytest.mark.slow

PHONE_PX = (360, 700)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with open_socket("127.0.0.1", 0) as one:
        yield one


@pytest.fixture
def address(tmp_path: Path, listening: socket.socket) -> Iterator[str]:
    port = listening.getsockname()[1]
    server = PredictServer(make_labeller(tmp_path / "run"), Limits(max_bytes=20_000))
    app = build_app(server, token=TOKEN, hosts=local_names(port))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    running.should_exit = True
    thread.join()


def test_a_photograph_gets_its_mask_on_a_phone_in_the_dark(browser: Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(
        viewport={"width": PHONE_PX[0], "height": PHONE_PX[1]}, has_touch=True, color_scheme="dark"
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((address, "blob:", "data:")) else pytest.fail(asked.url)
    )
    page.goto(address)
    expect(page.locator("#classes")).to_contain_text("asks for a token")
    page.locator("#token").fill(TOKEN)
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#classes")).to_contain_text("cat, dog, fox")
    photo = write_photo(tmp_path / "photo.png", size_hw=(44, 40))
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("40 × 44 pixels")
    shares = [float(row.split()[0]) for row in page.locator("#areas td:nth-child(2)").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    expect(page.locator("#photo")).to_be_visible()
    painted = page.evaluate("() => { const c = document.getElementById('mask'); return [c.width, c.height]; }")
    assert painted == [40, 44]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE_PX[0]
    large = tmp_path / "large.png"
    large.write_bytes(b"x" * 20_001)
    page.locator("#file").set_input_files(large)
    expect(page.locator("#status")).to_have_text("large.png has 20001 bytes; the server takes 20000.")
    other = tmp_path / "other.txt"
    other.write_text("no image")
    page.locator("#file").set_input_files(other)
    expect(page.locator("#status")).to_contain_text("not an image of a format that is read here")
    context.close()
