import json
from pathlib import Path

import pytest
import torch

from tests.pipeline import made_jobs
from tests.tiny import make_dataset, with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, UsageError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.engines import choose_engine
from weakseg.pipeline.image_jobs import OneProcess
from weakseg.pipeline.part_words import Part, parse_part
from weakseg.pipeline.parts import (
    Finishing,
    HandedOut,
    PartDone,
    PartOf,
    StoppedAtImages,
    ended_parts,
    read_handed_out,
)
from weakseg.pipeline.records import StageRecord, read_records, write_records

DEMO = with_settings(build_config(read_recipe("demo")), ("runtime.workers", 0))
SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "10", "SLURM_ARRAY_TASK_MIN": "0"}


def slurm(**changed: str) -> dict[str, str]:
    return {**SLURM, **{f"SLURM_ARRAY_TASK_{name}": value for name, value in changed.items()}}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("3/10", {}, Part(3, 10)),
        ("1/1", SLURM, Part(1, 1)),
        ("auto", SLURM, Part(8, 10)),
        ("auto", slurm(MIN="1", ID="1"), Part(1, 10)),
        ("auto", slurm(ID="9", COUNT="4", STEP="3"), Part(4, 4)),
        ("auto/100", slurm(MIN="7", COUNT="1"), Part(8, 100)),  # one task of an array started again
        ("auto/100", {"JOB_COMPLETION_INDEX": "0"}, Part(1, 100)),
        ("auto/1", {"JOB_COMPLETION_INDEX": "0"}, Part(1, 1)),
    ],
)
def test_a_part_is_read_or_told_by_the_batch_system(text: str, environment: dict[str, str], expected: Part) -> None:
    assert parse_part(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("3", {}, "^--part: expected I/N such as 3/10, auto, or auto/N, got '3'$"),
        ("a/b", {}, "got 'a/b'"),
        ("0/10", {}, "^--part 0/10: there is no part 0/10 \\(parts count from 1; at most 1000000 parts\\)$"),
        ("11/10", {}, "there is no part 11/10"),
        ("1/10000000", {}, "there is no part 1/10000000"),
        ("auto", {}, "expected SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX in the environment, where Slurm and"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETION_INDEX does not tell the number of parts; write auto/N"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3"}, "expected a number in the variable SLURM_ARRAY_TASK_COUNT, got ''"),
        ("auto", slurm(ID="30"), "there is no part 31/10 \\(so say Slurm's variables; write auto/N"),
        ("auto/5", slurm(ID="5"), "since SLURM_ARRAY_TASK_ID is 5; with auto/N tasks count from 0"),
        ("auto/5", {"JOB_COMPLETION_INDEX": "x"}, "expected a number in the variable JOB_COMPLETION_INDEX, got 'x'"),
    ],
)
def test_what_is_no_part_is_named(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_part(text, environment)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    train = make_dataset(tmp_path / "images", ((0,), (1,), (2,), (0, 1), ()))
    val = make_dataset(tmp_path / "images", ((0,), (1,)), split="val")
    return Context(DEMO, RunFolder(tmp_path / "run"), torch.device("cpu"), train, val, {})


def splits(context: Context) -> list[Dataset]:
    assert context.val is not None
    return [context.train, context.val]


def finish(context: Context) -> None:
    Finishing(OneProcess()).work_off(context, made_jobs.SIZES, splits(context))


def work_on(context: Context, part: Part) -> None:
    with pytest.raises(PartDone, match=rf"^localize: part {part} is done, \d images \(measuring\)$"):
        PartOf(part, OneProcess()).work_off(context, made_jobs.SIZES, splits(context))


def made(context: Context) -> list[str]:
    return sorted(path.stem for path in (context.folder.root / "sizes").glob("*.txt"))


def test_parts_make_together_what_is_handed_out(context: Context, told: list[str]) -> None:
    with pytest.raises(StoppedAtImages, match=r"^localize: 7 images are to be worked on \(measuring\)$"):
        finish(context)
    assert (context.folder.root / "prepared").exists(), "what all need is there before they begin"
    assert read_handed_out(context.folder) == HandedOut("localize", "sizes", 7)
    work_on(context, Part(2, 3))
    assert made(context) == ["train_1", "train_4"]
    work_on(context, Part(2, 3))  # twice does no harm
    work_on(context, Part(3, 3))
    assert ended_parts(context.folder) == [Part(2, 3), Part(3, 3)]
    note = json.loads((context.folder.parts / "3-of-3.json").read_text())
    assert sorted(note) == ["host", "images", "process", "time_s"]
    work_on(context, Part(1, 3))
    finish(context)
    assert len(made(context)) == 7
    assert told == ["localize: 3 parts have ended after 0 s of work"]


def test_the_time_of_parts_is_added_to_that_of_their_stage_once(context: Context) -> None:
    write_records(context.folder, {"localize": StageRecord(False, "f", {}, parts_time_s=1.0)})
    with pytest.raises(StoppedAtImages):
        finish(context)
    work_on(context, Part(1, 1))
    note = context.folder.parts / "1-of-1.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "time_s": 2.5}))
    for _ in range(2):
        finish(context)
        assert read_records(context.folder)["localize"].parts_time_s == 3.5


@pytest.mark.parametrize(
    ("parts", "missing", "said"),
    [
        ([Part(1, 4), Part(3, 4)], "train_1, train_3, val_0", "of 4 parts, those that have not ended: 2, 4"),
        ([Part(1, 1)], "val_1", "all 1 parts have ended, so that files were removed since then"),
        ([Part(1, 9), Part(2, 9), Part(1, 2)], "train_3, val_0", "those that have not ended: 3, 4, 5, 6, 7, ..."),
    ],
)
def test_what_is_missing_is_named_with_the_parts_that_have_not_ended(
    parts: list[Part], missing: str, said: str, context: Context
) -> None:
    with pytest.raises(StoppedAtImages):
        finish(context)
    for part in parts:
        work_on(context, part)
    if parts == [Part(1, 1)]:
        made_jobs.output(context, "val_1").unlink()
    with pytest.raises(ArtifactError) as raised:
        finish(context)
    assert f" of 7 images have no file yet (measuring: {missing}); " in str(raised.value)
    assert said in str(raised.value)
    assert str(raised.value).endswith(f"or 'weakseg run {context.folder.root}' to make here what is missing")


def test_what_no_part_has_begun_is_handed_out_again(context: Context) -> None:
    """The command may have been killed before it could say so."""
    for _ in range(2):
        with pytest.raises(StoppedAtImages):
            finish(context)


def test_a_part_of_another_number_of_parts_makes_what_is_missing(context: Context) -> None:
    with pytest.raises(StoppedAtImages):
        finish(context)
    work_on(context, Part(1, 2))
    work_on(context, Part(1, 1))
    finish(context)


def test_a_part_does_not_make_what_came_before(context: Context) -> None:
    with pytest.raises(ArtifactError, match=r"files of 7 images are gone that were there when images were handed out"):
        PartOf(Part(1, 2), OneProcess()).work_off(context, made_jobs.SIZES, splits(context))


def test_a_damaged_note_of_what_is_handed_out_is_named(context: Context) -> None:
    with pytest.raises(StoppedAtImages):
        finish(context)
    (context.folder.parts / "handed_out.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"handed_out.json is damaged"):
        finish(context)


def test_the_words_of_a_command_choose_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = choose_engine(part="2/3")
    assert isinstance(engine, PartOf)
    assert engine.part == Part(2, 3)
    assert isinstance(choose_engine(finish=True), Finishing)
    with pytest.raises(UsageError, match=r"^--part 2/3 works on images and --finish on what lies between; leave one"):
        choose_engine(part="2/3", finish=True)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert isinstance(choose_engine(finish=True), Finishing), "trainings may use several processes"
    with pytest.raises(UsageError, match=r"^--part 2/3: torchrun has started 4 processes"):
        choose_engine(part="2/3")
