"""Builds the documentation as a site that opens from the disk: python tools/make_site.py [FOLDER], ./site if not given.

The generator's warnings are errors. So are, in what it has built, links and anchors that lead nowhere, and anything
that a page would fetch from another host. `links.txt` in the site lists the links to other hosts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from site_pages import find_broken_links, lay_out, list_outside

ROOT = Path(__file__).resolve().parent.parent
CONFIG, EXTRAS = ROOT / "zensical.toml", ROOT / "tools" / "site"

LIST = "links.txt"
"""The site's list of links to other hosts."""

GENERATED = ("404.html",)
"""Pages that the generator makes for a server, whose links begin at the server's root."""


class Page(HTMLParser):
    """What a built page refers to.

    Attributes:
        ids: Its anchors.
        links: Addresses a reader may follow.
        fetched: Addresses a browser fetches to show the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        values = {name: value for name, value in attrs if value}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.fetched.append(values["href"])
        elif "src" in values:
            self.fetched.append(values["src"])


def find_faults(site: Path) -> list[str]:
    """Return a line for each link of a built site that leads nowhere, and for all that comes from another host."""
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name not in GENERATED
    }
    faults = []
    for path, page in pages.items():
        for address in {*page.links, *page.fetched}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                outside = address in page.fetched and parts.scheme != "data"
                faults += [f"{path.relative_to(site)}: fetches {address}"] if outside else []
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                faults.append(f"{path.relative_to(site)}: {address}: there is no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                faults.append(f"{path.relative_to(site)}: {address}: no such anchor")
    return sorted(faults)


def build(target: Path) -> list[str]:
    """Build the site; returns what is wrong with it, a line each."""
    broken = find_broken_links(ROOT)
    if broken:
        return broken
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        lay_out(ROOT, work / "docs")
        shutil.copy(CONFIG, work)
        shutil.copytree(EXTRAS, work / "docs", dirs_exist_ok=True)
        (work / "src").symlink_to(ROOT / "src")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True)
        said = result.stdout + result.stderr
        if result.returncode or "warning" in said.lower():
            return said.splitlines() or ["the generator failed without a word"]
        faults = find_faults(work / "site")
        outside = list_outside(ROOT)
        lines = [f"{address}  {source}\n" for address, source in sorted(outside.items())]
        (work / "site" / LIST).write_text("".join(lines), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # `main` has made sure that it is a site
        shutil.copytree(work / "site", target)
    print(f"{target / 'index.html'}: {len(list(target.rglob('*.html')))} pages, {len(outside)} links to other hosts")
    return faults


def main() -> None:
    """Build the site or say what is wrong."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    if target.exists() and not (target / LIST).is_file():
        sys.exit(f"{target} is there and no site (it has no {LIST}); name another folder, or remove it")
    if find_spec("zensical") is None:
        sys.exit("the site generator is not installed: pip install 'weakseg[docs]'")
    faults = build(target)
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
