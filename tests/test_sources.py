"""Whoever cites a source points to a heading of docs/sources.md, which every reader has."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "docs", "benchmarks", "tools")
TEXTS = {".py", ".md", ".yaml", ".toml", ".j2", ".css", ".sh", ".json"}


def documents() -> list[Path]:
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    return [*inside, *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]


def test_nothing_cites_a_document_that_the_repository_lacks() -> None:
    word = "".join(("DE", "SIGN"))  # not to find itself
    assert [path for path in documents() if word in path.read_text(encoding="utf-8")] == []


def test_every_cited_heading_of_the_sources_exists() -> None:
    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    cited = {
        heading
        for path in documents()
        for heading in re.findall(r"sources\.md#([a-z0-9-]+)", path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 5
    assert cited <= headings
