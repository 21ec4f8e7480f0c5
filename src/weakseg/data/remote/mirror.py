"""The tree of a folder that a URL names: texts are copied, pictures are pointers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from weakseg.data.remote.pointers import Pointer
from weakseg.data.remote.tree import Leaf, Tree
from weakseg.errors import DataError
from weakseg.remote import name_of
from weakseg.stores import Store, Stored, join_url

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".xml")
"""What readers read whole while they open a data set."""

_AT_ONCE = 64
"""Texts that are fetched side by side."""


def mirror(url: str, found: Mapping[str, Stored]) -> Path:
    """Make or update the tree of a folder elsewhere.

    Args:
        url: The folder.
        found: What lies in it (`Store.list`).

    Returns:
        The root of the tree.

    Raises:
        DataError: If there is nothing, or a text cannot be read.
    """
    if not found:
        raise DataError(f"data.root: {url} holds no files; look after its spelling and the credentials")

    def load(names: list[str]) -> Iterator[tuple[str, bytes]]:
        for first in range(0, len(names), _AT_ONCE):
            yield from Store(url).read_many(names[first : first + _AT_ONCE]).items()

    leaves = {name: _leaf(url, name, stored) for name, stored in found.items()}
    return Tree(url, name_of(url)).update(leaves, load)


def _leaf(url: str, name: str, stored: Stored) -> Leaf:
    state = f"{stored.size_bytes} {stored.token}"
    if name.lower().endswith(TEXT_SUFFIXES):
        return Leaf(state)
    return Leaf(state, Pointer(join_url(url, name), None, stored.size_bytes, stored.token), stored.modified_s)
