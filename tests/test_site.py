"""The documentation as a site: every page is in the navigation, every link leads somewhere, and it builds."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from tests.tools import load_tool
from weakseg import api

ROOT = Path(__file__).parent.parent
PAGES = load_tool("site_pages")
NAV = PAGES.read_nav(ROOT / "zensical.toml")
LIST_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
MIN_WORDS = 12
"""So many letters in a row tell one message from others."""


def test_every_page_is_in_the_navigation_once() -> None:
    inside = {name for source, name in PAGES.find_pages(ROOT).items() if source.startswith("docs/")}
    missing = [f'{{ "..." = "{name}" }}' for name in sorted(inside - set(NAV))]
    assert missing == [], "add these to nav in zensical.toml"
    gone = sorted(set(NAV) - set(PAGES.find_pages(ROOT).values()))
    assert gone == [], "nav in zensical.toml names pages that are not there"
    assert len(NAV) == len(set(NAV))
    assert {"index.md", "contributing.md", "changelog.md"} <= set(NAV)


def test_every_link_between_pages_leads_somewhere() -> None:
    assert PAGES.find_broken_links(ROOT) == []


def test_what_is_broken_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests" / "golden").mkdir(parents=True)
    (tmp_path / "tests" / "golden" / "README.md").write_text("# Recorded\n")
    (tmp_path / "docs" / "tutorial.ipynb").write_text('{"cells": []}')
    (tmp_path / "README.md").write_text("# Top\n\n[a](docs/a.md#two-words) [b](docs/b.md)\n")
    (tmp_path / "docs" / "a.md").write_text(
        "# A: `x_y`!\n\n```\n[code](no.md)\n# no heading\n```\n`[code](no.md)` [self](#a-x_y)\n"
        "[wrapped\nwords](../README.md#topp) [out](https://x.y) ![p](images/p.png)\n\n## Two words\n"
    )
    assert PAGES.find_broken_links(tmp_path) == [
        "README.md:3: docs/b.md: there is no such file",
        "docs/a.md:9: ../README.md#topp: no heading of that page is called so",
        "docs/a.md:9: images/p.png: there is no such file",
    ]
    assert PAGES.list_outside(tmp_path) == {"https://x.y": "docs/a.md"}


def test_lists_are_such_on_the_site_as_well() -> None:
    """GitHub takes a list that follows its paragraph without an empty line, and blocks within it at any indent."""
    odd = []
    for source in PAGES.find_pages(ROOT):
        lines = PAGES.without_code(PAGES.read_page(ROOT / source), inline=False).splitlines()
        for number, (before, line) in enumerate(pairwise(lines), 2):
            begins = bool(LIST_ITEM.match(line)) and before.strip() != "" and not LIST_ITEM.match(before)
            shallow = re.match(r" {1,3}\S", line) and not before.strip()
            if (begins and not before.startswith(" ")) or shallow:
                odd.append(f"{source}:{number}: {line}")
    assert odd == [], "put an empty line before a list, and indent by four what stands in it"


def test_pages_are_laid_out_with_links_between_them(tmp_path: Path) -> None:
    PAGES.lay_out(ROOT, tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert written == set(PAGES.find_pages(ROOT).values())
    front = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "](data.md)" in front
    assert "](contributing.md)" in front
    for page in tmp_path.rglob("*.md"):
        for link in PAGES.find_links(page.read_text(encoding="utf-8")):
            assert link.is_outside or not link.file or (page.parent / link.file).is_file(), (
                f"{page.name}: {link.target}"
            )
    assert "](tutorial_" not in (tmp_path / "tutorial.md").read_text(encoding="utf-8")


def test_the_reference_shows_every_public_name_and_no_other() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: (weakseg[\w.]*)$", page, re.MULTILINE)
    assert {f"weakseg.api.{name}" for name in api.__all__} <= set(shown)
    for name in shown:
        module, _, last = name.rpartition(".")
        assert find_spec(name) if name == "weakseg.errors" else hasattr(import_module(module), last), name


def read_source() -> str:
    """Return the source with texts that go on over lines as one; what is filled in stands in braces."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
    return re.sub(r'(?<!\\)"\s*\n\s*f?"(?!")', "", text)


def is_said(message: str, source: str) -> bool:
    """Say whether one text of the source has all parts of a message, one behind the other."""
    first, *others = [part for part in message.split("…") if part]
    start = source.find(first)
    while start >= 0:
        line = source[start : source.index("\n", start)]
        place = len(first)
        for part in others:
            place = line.find(part, place) + len(part)
            if place < len(part):
                break
        else:
            return True
        start = source.find(first, start + 1)
    return False


def test_every_message_of_the_troubleshooting_page_is_one_of_the_source() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^> `(.+)`$", page, re.MULTILINE)
    assert len(quoted) == len(re.findall(r"^>", page, re.MULTILINE)) > 50
    assert len(quoted) == len(set(quoted))
    assert [message for message in quoted if max(map(len, message.split("…"))) < MIN_WORDS] == []
    source = read_source()
    assert [message for message in quoted if not is_said(message, source)] == [], "the source says none of this"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zensical") is None, reason="the extra docs is not installed")
def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_site.py"), str(tmp_path / "site")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    built = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {re.sub(r"\.md$", ".html", name) for name in NAV} <= built
    reference = (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")
    assert 'id="weakseg.api.Photos.train"' in reference
