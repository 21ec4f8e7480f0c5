"""A cache for each test of what lies elsewhere, and photographs to put there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.elsewhere import fsspec
from tests.photos import make_photos
from weakseg.data.masks import encode_mask


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own for each test, and nothing in memory but what it puts there."""
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    yield tmp_path / "cache"
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    make_photos(root, count=6)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:30, 5:70] = 2
    (root / "masks" / "home" / "garden").mkdir(parents=True)
    (root / "masks" / "home" / "garden" / "photo 00.png").write_bytes(encode_mask(mask))
    return root
