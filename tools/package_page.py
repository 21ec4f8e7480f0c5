"""The README as the page of a package index shows it: links and pictures with their full address.

hatchling calls this (pyproject.toml). Addresses are known where a release is built: WEAKSEG_SOURCE_URL names the
repository, `https://github.com/OWNER/NAME`, and WEAKSEG_SOURCE_REF the tag. Without them links stay as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?\[[^\]]*\]\()(?!https?://|#|mailto:)([^)\s]+)\)")


def absolute_links(text: str, *, url: str, ref: str) -> str:
    """Return Markdown whose relative links and pictures have their address at a ref of a repository."""

    def address(match: re.Match[str]) -> str:
        kind = "raw" if match[1].startswith("!") else "blob"
        return f"{match[1]}{url}/{kind}/{ref}/{match[2]})"

    return _LINK.sub(address, text)


class PackagePage(MetadataHookInterface):
    """Sets `readme` and `urls`, which pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, object]) -> None:
        """Fill in what depends on where the source is published."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        url, ref = os.environ.get("WEAKSEG_SOURCE_URL", "").rstrip("/"), os.environ.get("WEAKSEG_SOURCE_REF", "main")
        if url:
            text = absolute_links(text, url=url, ref=ref)
            metadata["urls"] = {
                "Source": url,
                "Documentation": f"{url}/tree/{ref}/docs",
                "Changelog": f"{url}/blob/{ref}/CHANGELOG.md",
                "Issues": f"{url}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
