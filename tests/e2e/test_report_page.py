"""The report in a browser: it fits a phone, pictures enlarge by mouse and keys, words are explained on the spot."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.made_run import add_instances, make_run
from weakseg.report.page import report

pytestmark = pytest.mark.slow

DESK_PX, PHONE_PX = (1280, 800), (390, 844)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    long_names = ("avo", "a_class_with_a_name_that_is_longer_than_a_column", "cim")
    context = add_instances(make_run(tmp_path_factory.mktemp("page"), classes=long_names))
    report(context)
    return context.folder.report


@pytest.fixture(params=[DESK_PX, PHONE_PX], ids=["desk", "phone"])
def page(browser: Browser, written: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=request.param == PHONE_PX)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", lambda message: pytest.fail(message.text) if message.type == "error" else None)
    page.goto(written.as_uri())
    yield page
    context.close()


def test_nothing_is_wider_than_the_page_and_panels_stand_in_one_row(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    tops = page.evaluate(
        "[...document.querySelectorAll('.panels')].map("
        "(strip) => new Set([...strip.children].map((one) => Math.round(one.getBoundingClientRect().top))).size)"
    )
    assert len(tops) > 6
    assert set(tops) == {1}
    tables = page.evaluate(
        "[...document.querySelectorAll('.scroll')].map((box) => box.getBoundingClientRect().right <= innerWidth)"
    )
    assert all(tables)


def test_pictures_enlarge_and_arrows_go_on_to_others(page: Page) -> None:
    viewer = page.locator("#viewer")
    expect(viewer).to_be_hidden()
    first = page.locator("#gallery .enlarge").first
    first.focus()
    page.keyboard.press("Enter")
    expect(viewer).to_be_visible()
    expect(page.locator("#viewer-caption")).to_have_text("Image of val_2")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-caption")).to_contain_text("Seed: ")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#viewer-caption")).to_contain_text("Seed: avo of val_1")
    page.get_by_role("button", name="← Picture").click()
    expect(page.locator("#viewer-caption")).to_have_text("Image of val_1")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(page.get_by_role("button", name="Image of val_1").last).to_be_focused()


def test_words_are_explained_by_a_touch(page: Page) -> None:
    word = page.get_by_role("button", name="mean IoU", exact=True).first
    explained = page.locator("#word-iou")
    expect(explained).to_be_hidden()
    word.click()
    expect(explained).to_be_visible()
    box = explained.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert page.viewport_size is not None
    assert box["x"] + box["width"] <= page.viewport_size["width"]
    page.keyboard.press("Escape")
    expect(explained).to_be_hidden()


def test_commands_are_copied_or_selected(page: Page) -> None:
    button = page.get_by_role("button", name="Copy: weakseg review")
    button.click()
    expect(page.locator("#told")).to_have_text(re.compile("Copied|Selected"))
    assert page.evaluate("getSelection().toString()").startswith("weakseg review ")
