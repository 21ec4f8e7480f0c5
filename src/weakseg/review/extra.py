"""The page needs packages that weakseg itself does not: the extra `review`."""

from __future__ import annotations

from importlib.util import find_spec

from weakseg.errors import MissingExtra

PACKAGES = {"starlette": "starlette", "uvicorn": "uvicorn", "skimage": "scikit-image"}
"""What is imported, and what it is called where it is installed from."""


def require_extra() -> None:
    """Raise a `MissingExtra` that says what to install, if something is missing."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"the page needs {', '.join(missing)}, not installed here: pip install 'weakseg[review]'")
