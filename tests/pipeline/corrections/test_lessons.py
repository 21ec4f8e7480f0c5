import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import NAMES, SIZE_HW, make_dataset
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, WeaksegError
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_tensors
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.lessons import collect_lessons, find_unlearnt, tell_unlearnt
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.pipeline.run_folder import learning_command, name_next
from weakseg.types import ClassSet

CLASSES = ClassSet(NAMES)
MASK = np.full(SIZE_HW, 2, np.uint8)
OWN = np.full(SIZE_HW, 1, np.uint8)
DRAWN, CALLED_RIGHT = digest_mask(MASK), digest_mask(OWN)


@pytest.fixture
def train(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "images")


def correct(run: RunFolder, correction: Correction, *, classes: ClassSet = CLASSES) -> None:
    mask = MASK if correction.has_mask else None
    CorrectionStore(run.corrections, classes).write(correction, mask, expected_revision=0)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "cats")
    save_mask(run.mask("train_0"), OWN)
    return run


@pytest.mark.parametrize(
    ("said", "taught"),
    [
        (Correction("train_0"), None),
        (Correction("train_0", has_mask=True), TaughtImage("train_0", DRAWN)),
        (Correction("train_0", "right", has_mask=True), TaughtImage("train_0", DRAWN, is_right=True)),
        (Correction("train_0", "right"), TaughtImage("train_0", CALLED_RIGHT, is_right=True)),
        (Correction("train_0", "wrong"), TaughtImage("train_0", is_wrong=True)),
        (Correction("train_0", "wrong", has_mask=True), TaughtImage("train_0", is_wrong=True)),
        (Correction("train_0", added_tags=("fox", "cat")), TaughtImage("train_0", added_tags=("cat", "fox"))),
    ],
)
def test_what_is_said_of_an_image_is_what_it_teaches(
    run: RunFolder, train: Dataset, said: Correction, taught: TaughtImage | None
) -> None:
    correct(run, said)
    lessons = collect_lessons(run, [train])
    assert lessons.images == ({} if taught is None else {"train_0": taught})
    assert set(lessons.mask_files) == ({"train_0"} if taught is not None and taught.mask else set())
    assert lessons.said == (taught is not None)


def teach(run: RunFolder, images: dict[str, TaughtImage], *, classes: ClassSet = CLASSES) -> Taught:
    from weakseg.files import write_json

    taught = Taught(run.taught, "/elsewhere", classes, images)
    write_json(run.taught_index, taught.to_json())
    return taught


def test_tags_that_the_run_was_taught_stay_and_what_is_said_last_counts(run: RunFolder, train: Dataset) -> None:
    teach(
        run,
        {
            "train_0": TaughtImage("train_0", DRAWN, added_tags=("dog", "fox"), removed_tags=("cat",)),
            "train_1": TaughtImage("train_1", DRAWN, added_tags=("fox",)),
            "train_2": TaughtImage("train_2", DRAWN),
        },
    )
    correct(run, Correction("train_0", added_tags=("cat",), removed_tags=("fox",)))
    assert collect_lessons(run, [train]).images == {
        "train_0": TaughtImage("train_0", added_tags=("cat", "dog"), removed_tags=("fox",)),
        "train_1": TaughtImage("train_1", added_tags=("fox",)),
    }


def test_images_that_are_gone_are_named_and_left_out(run: RunFolder, train: Dataset, told: list[str]) -> None:
    correct(run, Correction("gone/1", has_mask=True))
    lessons = collect_lessons(run, [train])
    assert (lessons.images, lessons.said) == ({}, 1)
    assert "1 corrected images of" in told[0]
    assert "not among the data any more and teach nothing (gone/1)" in told[0]


def damage_record(run: RunFolder) -> None:
    (run.corrections / "train_0.json").write_text("{")


def damage_mask(run: RunFolder) -> None:
    (run.corrections / "train_0.png").write_bytes(b"no picture")


def draw_larger(run: RunFolder) -> None:
    save_mask(run.corrections / "train_0.png", np.zeros((9, 7), np.uint8))


def tag_otherwise(run: RunFolder) -> None:
    more = ClassSet((*NAMES, "hen"))
    store = CorrectionStore(run.corrections, more)
    store.write(Correction("train_0", added_tags=("hen",)), expected_revision=1)


def train_on_others(run: RunFolder) -> None:
    save_tensors(run.network("classifier").model, {}, {"classes": ["dog", "cat", "fox"]})


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (damage_record, r"train_0\.json is damaged \("),
        (damage_mask, r"^corrected mask .*train_0\.png cannot be used"),
        (draw_larger, r"expected a mask of 33 x 24 pixels like its image, got 7 x 9"),
        (tag_otherwise, r"train_0\.json: unknown class 'hen'"),
        (train_on_others, r"corrections is of the classes dog, cat, fox, but the data now have cat, dog, fox"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    run: RunFolder, train: Dataset, break_it: object, message: str
) -> None:
    correct(run, Correction("train_0", has_mask=True))
    assert callable(break_it)
    break_it(run)
    with pytest.raises(ArtifactError, match=message) as caught:
        collect_lessons(run, [train])
    assert "\n" not in str(caught.value)


def test_a_mask_that_was_called_right_and_is_gone_is_named(run: RunFolder, train: Dataset) -> None:
    correct(run, Correction("train_3", "right"))
    with pytest.raises(ArtifactError, match=r"the mask of 'train_3' was called right, but .* cannot be read"):
        collect_lessons(run, [train])


@pytest.mark.parametrize(
    ("made_at_s", "record", "teaches"),
    [
        (-60, None, True),
        (60, None, True),  # a copy of the run: all its files are late
        (60, StageRecord(True, "", {}, finished_at="2001-01-01T10:00:00+0200"), True),
        (-60, StageRecord(True, "", {}, finished_at="2099-01-01T10:00:00+0200"), True),  # another mask was made again
        (60, StageRecord(True, "", {}, finished_at="2099-01-01T10:00:00+0200"), False),
        (60, StageRecord(False, "", {}), False),
        (60, StageRecord(True, "", {}), True),  # of an older version
    ],
)
def test_a_word_does_not_hold_of_a_mask_that_refine_has_made_since(
    run: RunFolder, train: Dataset, told: list[str], made_at_s: int, record: StageRecord | None, teaches: bool
) -> None:
    correct(run, Correction("train_0", "right"))
    made_at_s += int(time.time())
    os.utime(run.mask("train_0"), (made_at_s, made_at_s))
    if record is not None:
        write_records(run, {"refine": record})
    assert set(collect_lessons(run, [train]).images) == ({"train_0"} if teaches else set())
    assert ("have other masks than those that were called right or wrong" in " ".join(told)) == (not teaches)


def test_what_was_wrong_in_the_run_before_is_not_said_of_the_mask_made_since(
    run: RunFolder, train: Dataset, told: list[str]
) -> None:
    correct(run, Correction("train_0", "wrong", added_tags=("fox",)))
    lessons = find_unlearnt(run, [train], None)
    assert lessons is not None
    assert lessons.images["train_0"].is_wrong
    taught = Taught(run.taught, "", CLASSES, lessons.images)
    write_json(run.taught_index, taught.to_json())
    later_s = int(time.time()) + 60
    os.utime(run.mask("train_0"), (later_s, later_s))
    write_records(run, {"refine": StageRecord(True, "", {}, finished_at="2099-01-01T10:00:00+0200")})
    again = collect_lessons(run, [train])
    assert not again.images["train_0"].is_wrong
    assert again.images["train_0"].added_tags == ("fox",)  # a tag is said of the image, not of the mask
    assert again.overtaken == {"train_0"}
    assert find_unlearnt(run, [train], taught) is None  # the run has left it out, and nothing was said since
    assert told == []


def test_only_what_a_run_has_not_been_taught_is_told_with_the_command(
    run: RunFolder, train: Dataset, told: list[str]
) -> None:
    tell_unlearnt(run, train, None, None)
    assert told == []
    correct(run, Correction("train_0", has_mask=True))
    correct(run, Correction("train_1", "wrong"))
    lessons = find_unlearnt(run, [train], None)
    assert lessons is not None
    tell_unlearnt(run, train, None, None)
    assert f"weakseg run {run.root} --out {run.root}-2" in told[0]
    assert "(1 corrected mask, 1 wrong mask left out)" in told[0]
    taught = Taught(run.taught, "", CLASSES, lessons.images)
    assert find_unlearnt(run, [train], taught) is None
    assert find_unlearnt(run, [train.keep(["train_1", "train_2"])], taught) is None  # the other is left out of the run
    damage_record(run)
    tell_unlearnt(run, train, None, None)  # no error: the run is finished
    assert "is damaged" in told[-1]


@pytest.mark.parametrize(
    ("name", "there", "following"),
    [("cats", (), "cats-2"), ("cats-2", (), "cats-3"), ("cats", ("cats-2",), "cats-3"), ("x-y", (), "x-y-2")],
)
def test_the_next_run_is_named_after_this_one(
    tmp_path: Path, name: str, there: tuple[str, ...], following: str
) -> None:
    for other in there:
        (tmp_path / other).mkdir()
    assert name_next(tmp_path / name) == tmp_path / following
    assert learning_command(Path("my runs") / name).startswith(f"weakseg run 'my runs/{name}' --out 'my runs/")


def test_damage_is_an_error_of_the_user(run: RunFolder) -> None:
    assert issubclass(ArtifactError, WeaksegError)
    assert replace(TaughtImage("a"), is_wrong=True).teaches
