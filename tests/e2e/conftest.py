"""The browser of the system, one for each file of tests."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

HOW = "tests/e2e need a browser: 'make browser' as root, or 'apt-get install chromium'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    place = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if place is None:
        pytest.fail(HOW)
    with sync_playwright() as playwright:
        # Root, as in containers, may start no sandbox.
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
