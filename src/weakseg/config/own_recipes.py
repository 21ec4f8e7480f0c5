"""The recipes inside the package: their names, texts, and what each is for."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable


def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes inside the package, sorted."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def read_own(name: str) -> str:
    """Return the text of a recipe inside the package."""
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def summarize_recipe(name: str) -> str:
    """Return the first sentence of the comment that a recipe begins with."""
    lines = []
    for line in read_own(name).splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines).split(". ")[0].rstrip(".")


def _folder() -> Traversable:
    return resources.files("weakseg.config") / "recipes"
