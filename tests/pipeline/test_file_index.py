"""What is remembered about the files of a run, and how a change in the middle of it is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from weakseg.data.depth import PixelRange
from weakseg.errors import DataError
from weakseg.pipeline.file_index import (
    ChangeWatch,
    FileFacts,
    Looked,
    digest_bytes,
    find_changed,
    index_files,
)


def look(path: Path) -> Looked:
    return Looked(digest_bytes(path.read_bytes()), None, PixelRange(0, 4095) if path.stem == "deep" else None)


def index(folder: Path) -> dict[Path, FileFacts]:
    return index_files(sorted(folder.iterdir()), folder.parent / "cache.json", look=look, label="looking")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for name in ("a.jpg", "b.jpg", "deep.png"):
        (place / name).write_text(f"this is {name}")
    return place


def test_facts_are_remembered_and_an_older_cache_is_made_anew(folder: Path) -> None:
    first = index(folder)
    assert first[folder / "deep.png"].span == PixelRange(0, 4095)
    assert first[folder / "a.jpg"].span is None
    assert index(folder) == first
    cache = folder.parent / "cache.json"
    cache.write_text(cache.read_text().replace('"span"', '"spam"'))
    assert index(folder) == first


def test_a_pipe_is_never_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    facts = index(folder)
    for name in ("pipe.jpg", "zero.jpg"):
        assert "not a regular file" in (facts[folder / name].problem or "")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def rewrite(path: Path) -> None:
    path.write_text("swapped")


def rewrite_at_equal_length(path: Path) -> None:
    path.write_text("THIS" + path.read_text()[4:])
    os.utime(path, ns=(1, 1))


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "changed"),
    [(touch, False), (rewrite, True), (rewrite_at_equal_length, True), (Path.unlink, True), (replace_by_pipe, True)],
)
@pytest.mark.parametrize("fails", [False, True])
def test_an_image_that_changes_during_a_stage_is_named_at_its_end(
    folder: Path, change: Callable[[Path], None], changed: bool, fails: bool, told: list[str]
) -> None:
    facts = index(folder)
    assert find_changed(facts) == []

    def work() -> None:
        with ChangeWatch(facts).during("refine"):
            change(folder / "b.jpg")
            if fails:
                raise DataError("the mask does not fit the image")

    if fails:
        with pytest.raises(DataError, match="does not fit"):
            work()
    else:
        work()
    assert find_changed(facts) == ([folder / "b.jpg"] if changed else [])
    expected = f"refine: 1 of the images changed or vanished since the run began: {folder / 'b.jpg'}; results may"
    assert [line.startswith(expected) for line in told] == ([True] if changed else [])


def test_a_change_is_told_once_and_another_change_again(folder: Path, told: list[str]) -> None:
    watch = ChangeWatch(index(folder))
    for stage, change in {"refine": rewrite, "segment": None, "evaluate": Path.unlink, "report": None}.items():
        with watch.during(stage):
            if change is not None:
                change(folder / "b.jpg")
    assert [line.split(":")[0] for line in told] == ["refine", "evaluate"]
