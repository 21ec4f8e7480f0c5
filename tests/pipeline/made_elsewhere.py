"""A run in memory as if it lay elsewhere, and what a command does to its folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elsewhere import fsspec

URL = "memory://bucket/runs/a"


class Killed(BaseException):
    """Like SIGKILL it is nothing that anybody heeds."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def there() -> dict[str, bytes]:
    prefix = "/bucket/runs/a/"
    return {name.removeprefix(prefix): file.getvalue() for name, file in fsspec.filesystem("memory").store.items()}


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def record(root: Path, stage: str, fingerprint: str | None, *, finished: bool = False) -> None:
    stages = json.loads((root / "run.json").read_text())["stages"] if (root / "run.json").exists() else {}
    stages.pop(stage, None)
    if fingerprint is not None:
        stages[stage] = {"fingerprint": fingerprint, "finished": finished, "summary": "", "finished_at": ""}
    write(root, "run.json", json.dumps({"format": 1, "stages": stages}))
