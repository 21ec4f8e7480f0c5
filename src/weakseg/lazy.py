"""Modules of a package as its attributes, imported when they are first looked at.

`import weakseg` thus costs nothing, and `weakseg.ops.pooling.gndrp` works after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

TYPE_CHECKING = False  # as in `weakseg`
if TYPE_CHECKING:
    from typing import Any

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def open_modules(package: str, *, names: Mapping[str, str] = _NO_NAMES) -> Callable[[str], Any]:
    """Make a package's `__getattr__` (PEP 562): the module of that name below it.

    Args:
        package: The package's `__name__`.
        names: What else it has: names and the modules that they come from.

    Returns:
        A function that imports and returns a module of the package or one of the names, and raises `AttributeError` if
        it is neither.
    """

    def find(name: str) -> Any:  # what a checker cannot know of a module found so
        if name in names:
            return getattr(import_module(names[name]), name)
        full = f"{package}.{name}"
        if name.startswith("_") or not _is_module(full):
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return import_module(full)

    return find


@cache
def _is_module(full: str) -> bool:
    return find_spec(full) is not None


def open_names(module: str, place: str, names: tuple[str, ...]) -> Callable[[str], object]:
    """Make a module's `__getattr__`: names of another module, which is imported when one is first looked at.

    Args:
        module: The module's `__name__`.
        place: The module that has them.
        names: Which of its names.

    Returns:
        A function that returns one of them, and raises `AttributeError` for any other name.
    """

    def find(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        return getattr(import_module(place), name)

    return find
