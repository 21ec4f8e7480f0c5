"""The pages of the documentation: which files they are, where their links lead, and how they look beside each other.

Needs no site generator: `tests/test_site.py` holds every link, anchor and page with what is here, and
`tools/make_site.py` lays the pages out for the generator.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ELSEWHERE = {"tests/golden/README.md": "golden.md", "docs/tutorial.ipynb": "tutorial.md"}
"""Pages that are neither in docs/ nor beside the README, and what each is called on the site."""

FILES = "files"
"""The site's folder for other files of the repository that a page links to."""

_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z]+:", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_ID = re.compile(r"<a +(?:id|name)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Link:
    """A link or picture of a page.

    Args:
        line: Counted from 1.
        start: Where the target begins in the page's text.
        target: As written, `data.md#tags`.
    """

    line: int
    start: int
    target: str

    @property
    def is_outside(self) -> bool:
        """Whether it leads to another host, or is no address of a file."""
        return bool(_OUTSIDE.match(self.target))

    @property
    def file(self) -> str:
        """The target without its anchor; empty for the page itself."""
        return self.target.partition("#")[0]

    @property
    def anchor(self) -> str:
        """What stands behind `#`, or nothing."""
        return self.target.partition("#")[2]


def find_pages(root: Path) -> dict[str, str]:
    """Return the pages of a repository: path below the root -> name on the site."""
    beside = {path.name: "index.md" if path.stem == "README" else path.name.lower() for path in root.glob("*.md")}
    docs = {path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md")}
    return beside | {path: path.removeprefix("docs/") for path in docs} | ELSEWHERE


def read_nav(config: Path) -> list[str]:
    """Return the pages that `nav` of a zensical.toml names, in order."""
    return list(_names_of(tomllib.loads(config.read_text(encoding="utf-8"))["project"]["nav"]))


def _names_of(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for part in entry:
            yield from _names_of(part)
    elif isinstance(entry, dict):
        for part in entry.values():
            yield from _names_of(part)


def read_page(path: Path) -> str:
    """Return a page as Markdown; of a notebook, its cells and what they print and show."""
    text = path.read_text(encoding="utf-8")
    return _notebook_page(text) if path.suffix == ".ipynb" else text


def without_code(text: str, *, inline: bool = True) -> str:
    """Blank code and comments out of Markdown; every other sign stays where it is."""
    for pattern in (_FENCE, _COMMENT, *([_INLINE_CODE] if inline else [])):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def find_links(text: str) -> list[Link]:
    """Return the links and pictures of Markdown, those in code left out."""
    bare = without_code(text)
    return [Link(bare.count("\n", 0, match.start()) + 1, match.start(1), match[1]) for match in _LINK.finditer(bare)]


def find_anchors(text: str) -> set[str]:
    """Return what a link to this Markdown may have behind `#`: headings as GitHub and the site name them, and ids."""
    headings = _HEADING.findall(without_code(text, inline=False))
    return {_slug(heading) for heading in headings} | set(_ID.findall(text))


def _slug(heading: str) -> str:
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", shown.lower()).strip().replace(" ", "-")


def find_broken_links(root: Path) -> list[str]:
    """Return a line for each link between files of a repository that leads nowhere."""
    return [line for source in sorted(find_pages(root)) for line in _broken_links_of(root, source)]


def _broken_links_of(root: Path, source: str) -> Iterator[str]:
    page = root / source
    text = read_page(page)
    made = _made_pictures(page)
    for link in find_links(text):
        place = f"{source}:{link.line}: {link.target}"
        target = page.parent / link.file if link.file else page
        if link.is_outside or link.file in made:
            continue
        if not target.is_file():
            yield f"{place}: there is no such file"
        elif link.anchor and target.suffix == ".md" and link.anchor not in find_anchors(read_page(target)):
            yield f"{place}: no heading of that page is called so"


def list_outside(root: Path) -> dict[str, str]:
    """Return the links to other hosts and the first page that has each; nobody asks whether they are there."""
    found: dict[str, str] = {}
    for source in sorted(find_pages(root)):
        for link in find_links(read_page(root / source)):
            if link.is_outside:
                found.setdefault(link.target, source)
    return found


def lay_out(root: Path, target: Path) -> None:
    """Write all pages of a repository, and the files and pictures they show, as one folder for a site generator.

    Raises:
        FileNotFoundError: For a link to a file that is not there.
    """
    pages = find_pages(root)
    for source, name in pages.items():
        text = read_page(root / source)
        pictures = _made_pictures(root / source)
        for link in reversed(find_links(text)):
            if not link.is_outside and link.file and link.file not in pictures:
                there = os.path.relpath(root / source / ".." / link.file, root)
                shown = pages.get(there) or _copy(root, there, target)
                moved = os.path.relpath(shown, Path(name).parent) + link.target[len(link.file) :]
                text = text[: link.start] + moved + text[link.start + len(link.target) :]
        _write(target / name, _titled_code(text).encode())
        for picture, content in pictures.items():
            _write(target / Path(name).parent / picture, content)


def _copy(root: Path, path: str, target: Path) -> str:
    name = path.removeprefix("docs/") if path.startswith("docs/") else f"{FILES}/{path}"
    _write(target / name, (root / path).read_bytes())
    return name


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _titled_code(text: str) -> str:
    """Make a title of the words that stand behind a block's language, such as its file's name."""
    return re.sub(r"^( *```)(\w+) +([^\n\"]+)$", r'\1\2 title="\3"', text, flags=re.MULTILINE)


def _notebook_page(content: str) -> str:
    parts = []
    for number, cell in enumerate(json.loads(content)["cells"]):
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for place, output in enumerate(cell.get("outputs", ())):
            if "text" in output:
                parts.append("```text\n" + "".join(output["text"]).rstrip() + "\n```")
            elif "image/png" in output["data"]:
                parts.append(f"![What the lines above show]({_picture_name(number, place)})")
            else:
                parts.append("```text\n" + "".join(output["data"]["text/plain"]) + "\n```")
    return "\n\n".join(parts) + "\n"


def _made_pictures(page: Path) -> dict[str, bytes]:
    """Return the pictures that a notebook holds, by the names under which its page links to them."""
    if page.suffix != ".ipynb":
        return {}
    return {
        _picture_name(number, place): base64.b64decode(output["data"]["image/png"])
        for number, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"])
        for place, output in enumerate(cell.get("outputs", ()))
        if "image/png" in output.get("data", {})
    }


def _picture_name(cell: int, place: int) -> str:
    return f"images/tutorial_{cell}_{place}.png"
