from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elsewhere import fsspec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own for each test, and nothing in memory but what it puts there."""
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    yield tmp_path / "cache"
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
