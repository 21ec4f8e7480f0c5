"""Files of this machine stay what they are and are read as before, though pointers stand for those elsewhere."""

import builtins
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import write_image
from tests.data.remote.made_places import in_memory, open_at
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import open_picture, read_shrunk
from weakseg.data.mask_colours import find_palette_fault
from weakseg.data.masks import encode_mask
from weakseg.data.regular_files import read_regular
from weakseg.data.remote.places import lies_elsewhere
from weakseg.data.remote.pointers import read_content


def test_a_folder_of_photographs_on_this_machine_stays_one(photos: Path) -> None:
    assert not lies_elsewhere(str(photos))
    (photos / "backup.tar").write_bytes(b"")
    assert not lies_elsewhere(str(photos))
    assert not lies_elsewhere(str(photos / "missing"))
    assert not lies_elsewhere(str(photos.rename(photos.with_name("photos.tar"))))


def test_files_of_this_machine_are_read_by_as_many_calls_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at its state and one opening; what lies elsewhere is found out by files that are no pictures alone."""
    image = write_image(tmp_path / "a.png")
    mask = tmp_path / "mask.png"
    mask.write_bytes(encode_mask(np.zeros((5, 7), np.uint8)))
    calls: Counter[str] = Counter()
    Image.init()

    def count(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls[name] += str(tmp_path) in str(arguments[0])
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    for module, name in ((os, "stat"), (builtins, "open"), (io, "open")):
        count(module, name)
    for read, path, expected in (
        (lambda path: read_shrunk(path, 3), image, {"stat": 1, "open": 1}),
        (inspect_image, image, {"stat": 1, "open": 1}),
        (read_regular, mask, {"stat": 1, "open": 1}),
        (find_palette_fault, mask, {"stat": 0, "open": 1}),
        (lambda path: open_picture(path).close(), image, {"stat": 0, "open": 1}),
    ):
        calls.clear()
        read(path)
        assert {name: calls[name] for name in expected} == expected


def test_a_file_among_photographs_that_looks_like_a_pointer_is_none(photos: Path, tmp_path: Path, cache: Path) -> None:
    root = open_at(in_memory(photos), tmp_path)
    pointer = next(path for path in root.rglob("photo*.jpg"))
    forged = photos / "forged.jpg"
    forged.write_bytes(pointer.read_bytes())
    assert read_content(pointer) != forged.read_bytes()
    assert read_content(forged) == forged.read_bytes()
    assert inspect_image(forged).problem is not None
