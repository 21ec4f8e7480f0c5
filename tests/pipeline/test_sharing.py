from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from weakseg.errors import ArtifactError
from weakseg.pipeline import sharing
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.records import StageRecord, read_records, write_records
from weakseg.pipeline.sharing import share_files, share_stages
from weakseg.pipeline.stage import Stage


def forbidden(context: Context) -> str:
    raise AssertionError(f"{context} is not to be run")


FIRST = Stage("first", 1, (), (), ("deep", "one.txt", "absent"), forbidden)
SECOND = Stage("second", 1, (), ("first",), ("other",), forbidden)


@pytest.fixture
def source(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "source")
    (folder.root / "deep" / "er").mkdir(parents=True)
    (folder.root / "deep" / "er" / "a.txt").write_text("a")
    (folder.root / "one.txt").write_text("one")
    (folder.root / "other").mkdir()
    records = {"first": StageRecord(True, "f", {"version": 1}, 2.5, "done"), "second": StageRecord(True, "g", {})}
    write_records(folder, records)
    return folder


def files(folder: RunFolder) -> list[str]:
    return sorted(path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*") if path.is_file())


def test_a_run_gets_files_and_record_of_the_stages_it_shares(source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "target")
    share_stages(source, target, [FIRST])
    assert files(target) == ["deep/er/a.txt", "one.txt", "run.json"]
    assert (target.root / "deep" / "er" / "a.txt").read_text() == "a"
    assert read_records(target) == {"first": read_records(source)["first"]}


def test_the_source_does_not_change_when_the_target_replaces_a_file(source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "target")
    share_stages(source, target, [FIRST])
    beside = target.root / "beside"
    beside.write_text("new")
    beside.replace(target.root / "one.txt")
    assert (source.root / "one.txt").read_text() == "one"


def test_what_an_interrupted_sharing_left_is_replaced(source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "target")
    (target.root / "deep").mkdir(parents=True)
    (target.root / "deep" / "stale.txt").write_text("stale")
    (target.root / "one.txt").write_text("stale")
    share_stages(source, target, [FIRST, SECOND])
    assert files(target) == ["deep/er/a.txt", "one.txt", "run.json"]
    assert (target.root / "one.txt").read_text() == "one"
    assert sorted(read_records(target)) == ["first", "second"]


def test_a_stage_that_the_target_has_begun_is_left_alone(source: RunFolder, tmp_path: Path) -> None:
    target = RunFolder(tmp_path / "target")
    own = {"first": StageRecord(False, "mine", {})}
    write_records(target, own)
    (target.root / "one.txt").write_text("mine")
    share_stages(source, target, [FIRST])
    assert read_records(target) == own
    assert (target.root / "one.txt").read_text() == "mine"


def test_files_are_copied_where_there_are_no_links(
    source: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(sharing.os, "link", refuse)
    share_stages(source, RunFolder(tmp_path / "target"), [FIRST])
    assert (tmp_path / "target" / "one.txt").read_text() == "one"
    assert (tmp_path / "target" / "one.txt").stat().st_nlink == 1


def test_a_copy_that_is_interrupted_leaves_nothing_that_passes_for_it(
    source: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(source: Path | str, target: Path | str) -> None:
        Path(target).write_text("o")
        raise KeyboardInterrupt

    monkeypatch.setattr(sharing.shutil, "copy2", break_off)
    with pytest.raises(KeyboardInterrupt):
        share_files(source.root / "one.txt", tmp_path / "two.txt", link=False)
    assert list(tmp_path.iterdir()) == [source.root]


@pytest.mark.parametrize(
    "change", [lambda records: {}, lambda records: {**records, "first": StageRecord(False, "f", {})}]
)
def test_an_unfinished_stage_cannot_be_shared(
    source: RunFolder, tmp_path: Path, change: Callable[[dict[str, StageRecord]], dict[str, StageRecord]]
) -> None:
    write_records(source, change(read_records(source)))
    with pytest.raises(ArtifactError, match="source has not finished the stage 'first', which is to be shared"):
        share_stages(source, RunFolder(tmp_path / "target"), [FIRST])
    assert not (tmp_path / "target").exists()
