"""Servers need packages that weakseg itself does not: the extra `review`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from weakseg.errors import MissingExtra

SERVER_PACKAGES: Mapping[str, str] = {"starlette": "starlette", "uvicorn": "uvicorn"}
"""What is imported, and what it is called where it is installed from."""

PACKAGES: Mapping[str, str] = {**SERVER_PACKAGES, "skimage": "scikit-image"}
"""What the page of `weakseg review` needs besides."""


def require_extra(packages: Mapping[str, str] | None = None, *, who: str = "the page") -> None:
    """Raise a `MissingExtra` that says what to install, if something is missing of these packages or the page's."""
    wanted = PACKAGES if packages is None else packages
    missing = [name for module, name in wanted.items() if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{who} needs {', '.join(missing)}, not installed here: pip install 'weakseg[review]'")
