import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.handover.test_export import SIZE_HW, draw_mask, make_run
from weakseg.cli import main
from weakseg.data.masks import encode_mask, read_mask
from weakseg.errors import ArtifactError, DataError, UsageError
from weakseg.files import write_bytes
from weakseg.handover.corrections.bring import bring_corrections
from weakseg.handover.export import export_run
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.edited_masks import remember_masks
from weakseg.types import IGNORE_LABEL

PARTIAL = np.full(SIZE_HW, 255, np.uint8)
PARTIAL[2:4, 1:6] = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return make_run(tmp_path_factory.mktemp("correct"))


@pytest.fixture
def context(made: Context, tmp_path: Path) -> Context:
    """The run in a copy of its folder."""
    return replace(made, folder=RunFolder(shutil.copytree(made.folder.root, tmp_path / "run")))


def open_store(context: Context) -> CorrectionStore:
    return CorrectionStore(context.folder.corrections, context.train.classes)


def ids_of(context: Context) -> list[str]:
    return [sample.id for sample in context.train]


def put(root: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        write_bytes(root / f"{name}.png", encode_mask(mask))
    return root


def test_changed_masks_are_kept_and_unchanged_ones_say_nothing(context: Context, tmp_path: Path) -> None:
    first, second, *_ = ids_of(context)
    source = put(tmp_path / "back", {first: PARTIAL, second: draw_mask(1)})
    brought = bring_corrections(context.folder.root, source=source)
    assert brought.describe() == (
        f"1 corrected masks -> {context.folder.corrections} (read as folder); 1 are the run's own masks and say nothing"
    )
    store = open_store(context)
    (kept,) = store
    assert (kept.id, kept.verdict, kept.source, kept.revision) == (first, None, "folder", 1)
    np.testing.assert_array_equal(store.read_mask(first), PARTIAL)
    assert bring_corrections(context.folder.root, source=source).known == 1
    brought = bring_corrections(context.folder.root, source=source, accept_unchanged=True)
    assert (brought.written, brought.accepted, brought.unchanged) == (0, 1, 0)
    accepted = store.read(second)
    assert accepted is not None
    assert (accepted.verdict, accepted.source) == ("right", "accepted")
    np.testing.assert_array_equal(store.read_mask(second), draw_mask(1))


@pytest.mark.parametrize("to", ["cvat", "label-studio", "coco", "yolo-seg"])
def test_an_export_that_nobody_has_changed_changes_nothing(to: str, context: Context) -> None:
    export_run(context.folder.root, to=to)
    source = context.folder.root / "exports" / f"{to}-masks-train"
    if to == "label-studio":
        tasks = json.loads((source / "tasks.json").read_text())
        (source / "tasks.json").write_text(json.dumps([{**task, "annotations": task["predictions"]} for task in tasks]))
    brought = bring_corrections(context.folder.root, source=source)
    assert (brought.format, brought.written, brought.unchanged) == (to.removesuffix("-seg"), 0, len(context.train))


def test_a_list_of_right_images_keeps_their_masks(context: Context, tmp_path: Path) -> None:
    first, second, *_ = ids_of(context)
    accept = tmp_path / "right.txt"
    accept.write_text(f"{first}.png\n{second}\n")
    source = put(tmp_path / "back", {second: PARTIAL})
    brought = bring_corrections(context.folder.root, source=source, accept=accept)
    assert (brought.written, brought.accepted) == (1, 2)
    store = open_store(context)
    assert (
        store.summary().describe() == "2 images: 2 corrected masks, 2 called right, 0 called wrong, 0 with other tags"
    )
    np.testing.assert_array_equal(store.read_mask(second), PARTIAL)
    np.testing.assert_array_equal(store.read_mask(first), draw_mask(0))
    assert bring_corrections(context.folder.root, accept=accept).known == 2
    accept.write_text("nobody\n")
    with pytest.raises(DataError, match="1 entries cannot be used"):
        bring_corrections(context.folder.root, accept=accept)


def test_what_cannot_be_used_is_named_and_nothing_is_written(context: Context, tmp_path: Path, told: list[str]) -> None:
    first, second, third, *_ = ids_of(context)
    small, odd = np.zeros((3, 9), np.uint8), np.full(SIZE_HW, 7, np.uint8)
    source = put(tmp_path / "back", {first: PARTIAL, second: small, third: odd, "elsewhere/x": PARTIAL})
    write_bytes(source / f"{first.rpartition('/')[2]}.png", encode_mask(PARTIAL))
    write_bytes(source / "bad.png", b"no picture")
    with pytest.raises(DataError, match=r"5 entries cannot be used, so nothing was written; .* --skip-bad"):
        bring_corrections(context.folder.root, source=source)
    assert not context.folder.corrections.exists()
    for text in (
        "expected a mask of 9 x 6 pixels like its image, got 9 x 3",
        "expected labels 0..2 and 255, got 7; number the classes",
        "'elsewhere/x' is no image of this run (nearest: ",
        "bad.png: 'bad' is no image of this run",
        "has a mask at",
    ):
        assert any(text in line for line in told), text
    told.clear()
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", source))
    with pytest.raises(DataError, match="5 entries cannot be used"):
        bring_corrections(context.folder.root, source=packed)
    assert any(line.startswith(f"{packed}/bad.png: ") for line in told), "not the folder that it was unpacked to"
    brought = bring_corrections(context.folder.root, source=source, skip_bad=True)
    assert (brought.written, brought.skipped) == (1, 5)


def test_255_is_not_taken_for_not_looked_at_where_nothing_else_is_in_the_mask(context: Context, tmp_path: Path) -> None:
    first = ids_of(context)[0]
    binary = np.where(PARTIAL == IGNORE_LABEL, PARTIAL, np.uint8(0))
    source = put(tmp_path / "back", {first: binary})
    with pytest.raises(DataError, match="1 entries cannot be used"):
        bring_corrections(context.folder.root, source=source)
    write_bytes(context.folder.mask(first), encode_mask(np.roll(binary, 1)))  # the run itself says so
    assert bring_corrections(context.folder.root, source=source).written == 1


def test_what_another_has_corrected_is_not_replaced_unasked(context: Context, tmp_path: Path) -> None:
    first = ids_of(context)[0]
    store = open_store(context)
    store.write(Correction(first, added_tags=("dog",)), draw_mask(3), expected_revision=0)
    source = put(tmp_path / "back", {first: PARTIAL})
    with pytest.raises(DataError, match="1 entries cannot be used"):
        bring_corrections(context.folder.root, source=source)
    np.testing.assert_array_equal(store.read_mask(first), draw_mask(3))
    bring_corrections(context.folder.root, source=source, replace_others=True)
    kept = store.read(first)
    assert kept is not None
    assert (kept.source, kept.revision, kept.added_tags) == ("folder", 2, ("dog",))
    put(source, {first: draw_mask(4)})
    assert bring_corrections(context.folder.root, source=source).written == 1  # the same source may go on


@pytest.mark.parametrize("remembered", [True, False])
def test_masks_edited_in_the_run_are_brought_from_there(remembered: bool, context: Context) -> None:
    folder, (first, second, *_) = context.folder, ids_of(context)
    if remembered:
        remember_masks(folder, ids_of(context))
        save_mask(folder.mask(first), PARTIAL)
        write_bytes(folder.mask(second), b"no picture")
    else:
        from PIL import Image

        Image.fromarray(PARTIAL).save(folder.mask(first))  # packed in another way, and without a palette
        write_bytes(folder.mask(second), b"no picture")
    brought = bring_corrections(folder.root, source=folder.masks, skip_bad=True)
    assert (brought.format, brought.written, brought.skipped) == ("masks", 1, 1)
    np.testing.assert_array_equal(open_store(context).read_mask(first), PARTIAL)
    np.testing.assert_array_equal(read_mask(folder.mask(first)), PARTIAL)


def test_there_must_be_something_to_bring(context: Context, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run is a run; masks edited in it are brought by --from .*masks$"):
        bring_corrections(context.folder.root, source=context.folder.root)
    with pytest.raises(UsageError, match="nothing to bring: expected --from"):
        bring_corrections(context.folder.root)
    with pytest.raises(ArtifactError):
        bring_corrections(tmp_path, source=tmp_path)


def test_the_command_says_what_it_did(context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(tmp_path / "back", {ids_of(context)[0]: PARTIAL})
    os.environ.pop("COLUMNS", None)
    assert main(["correct", str(context.folder.root), "--from", str(source), "--format", "folder"]) == 0
    assert capsys.readouterr().out.startswith("1 corrected masks -> ")
    assert main(["correct", str(context.folder.root), "--from", str(source), "--format", "coco"]) == 1
    assert "expected masks in the format coco, but it looks like folder" in capsys.readouterr().err
