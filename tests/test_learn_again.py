"""The loop from a run over corrections to the next run, and the one after that."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.photos import TINY, TINY_CRITTERS
from tests.run_files import read_files
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.records import read_records
from weakseg.scoring.metrics_file import load_metrics

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

WORDS = (*TINY_CRITTERS, *TINY, "--refine.confidence=true", "--refine.background_threshold=0.3")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a`, with corrections; `b`, which has learnt from them."""
    root = tmp_path_factory.mktemp("loop")
    assert main(["run", "demo", *WORDS, "--out", str(root / "a")]) == 0
    context = open_run(root / "a")
    train = context.train.samples
    assert context.val is not None
    store = CorrectionStore(context.folder.corrections, context.train.classes)
    for sample, columns in (
        (context.train.samples[0], 48),
        (context.train.samples[1], 20),
        (context.val.samples[0], 48),
    ):
        dataset = context.val if sample in context.val.samples else context.train
        mask = dataset.load_mask(sample)
        assert mask is not None
        mask = mask.copy()
        mask[:, columns:] = 255
        store.write(Correction(sample.id, has_mask=True), mask, expected_revision=0)
    store.write(Correction(train[2].id, "right"), expected_revision=0)
    store.write(Correction(train[3].id, "wrong"), expected_revision=0)
    shutil.copytree(root / "a", root / "untouched")
    assert main(["run", str(root / "a"), "--out", str(root / "b")]) == 0
    return root


def ids(runs: Path) -> list[str]:
    return [sample.id for sample in open_run(runs / "a").train]


def test_the_run_that_was_corrected_stays_as_it_was(runs: Path) -> None:
    assert read_files(runs / "a") == read_files(runs / "untouched")


def test_what_comes_out_the_same_is_taken_over(runs: Path) -> None:
    a, b = RunFolder(runs / "a"), RunFolder(runs / "b")
    assert b.network("classifier").model.samefile(a.network("classifier").model)
    assert all(b.seed(sample_id).samefile(a.seed(sample_id)) for sample_id in ids(runs))
    kept = [key for key in ids(runs) if not (b.taught / f"{key}.png").is_file()]
    assert len(kept) == 9
    for sample_id in kept:  # copied with their times, since the threshold is the same
        for one, other in ((a.mask, b.mask), (a.confidence_map, b.confidence_map)):
            assert one(sample_id).stat().st_mtime_ns == other(sample_id).stat().st_mtime_ns
    before, after = read_records(a), read_records(b)
    same = {name for name in before if before[name].fingerprint == after[name].fingerprint}
    assert same == {"classify", "localize"}


def test_masks_are_a_persons_where_somebody_has_looked(runs: Path) -> None:
    a, b = RunFolder(runs / "a"), RunFolder(runs / "b")
    for sample_id in ids(runs):
        own, mask = read_mask(a.mask(sample_id)), read_mask(b.mask(sample_id))
        path = b.taught / f"{sample_id}.png"
        corrected = read_mask(path) if path.is_file() else np.full_like(own, 255)
        seen = corrected != 255
        assert (mask[seen] == corrected[seen]).all()
        assert (mask[~seen] == own[~seen]).all()  # at the same threshold
        assert not b.mask(sample_id).samefile(a.mask(sample_id))  # people edit masks where they are
    partial = read_mask(b.taught / f"{ids(runs)[1]}.png")
    assert (partial == 255).any()
    assert (partial != 255).any()


def test_records_scores_and_notes_tell_how_much_a_person_has_done(runs: Path) -> None:
    records = read_records(RunFolder(runs / "b"))
    assert records["refine"].parts["corrected masks"] == 4
    assert (records["segment"].parts["corrected masks"], records["segment"].parts["segmenter.corrected_weight"]) == (
        3,
        "auto",
    )
    assert "11 images" in records["segment"].summary
    assert "3 of them with corrected masks, 1 wrong masks left out" in records["segment"].summary
    metrics = load_metrics(RunFolder(runs / "b").metrics)
    told = [(score.subject, score.split, score.images, score.corrected) for score in metrics.scores]
    assert told == [
        ("seeds", "train", 12, None),
        ("masks", "train", 9, False),
        ("masks", "train", 3, True),
        ("seeds", "val", 5, None),
        ("masks", "val", 4, False),
        ("masks", "val", 1, True),
        ("segmenter", "val", 5, None),
    ]
    assert metrics.taught is not None
    assert (metrics.taught.masks, metrics.taught.right, metrics.taught.wrong, metrics.taught.others) == (3, 1, 1, 1)
    assert any(
        note.startswith("a person has helped: 3 corrected masks (1 of them called right)") for note in metrics.notes
    )
    assert "3 corrected masks (1 of them called right)" in (runs / "b" / "report.html").read_text()


def test_the_same_command_and_the_run_alone_go_on(runs: Path) -> None:
    before = read_files(runs / "b")
    assert main(["run", str(runs / "a"), "--out", str(runs / "b")]) == 0
    assert main(["run", str(runs / "b")]) == 0
    assert read_files(runs / "b") == before


def test_the_bundle_says_that_a_person_has_helped(runs: Path) -> None:
    assert main(["export", str(runs / "b"), "--to", "bundle", "--out", str(runs / "bundle")]) == 0
    card = next((runs / "bundle").rglob("*.md")).read_text()
    assert "3 of which a person has corrected" in card
    assert "Only 3 of its training masks were corrected by hand." in card


def test_the_next_run_learns_tags_too_and_trains_its_classifier_again(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    b = open_run(runs / "b")
    sample = next(sample for sample in b.train.samples[4:] if not sample.tags.all())
    added = next(name for name in b.train.classes if not sample.tags[b.train.classes.index(name)])
    store = CorrectionStore(b.folder.corrections, b.train.classes)
    store.write(Correction(sample.id, added_tags=(added,)), expected_revision=0)
    assert main(["run", str(runs / "b")]) == 0
    assert "has not learnt from its corrections" in capsys.readouterr().err
    assert main(["run", str(runs / "b"), "--out", str(runs / "c")]) == 0
    c = open_run(runs / "c")
    assert c.taught is not None
    assert c.taught.count(c.train, c.val).masks == 3
    changed = next(one for one in c.train if one.id == sample.id)
    assert added in c.train.classes.decode(changed.tags)
    records = read_records(c.folder)
    assert records["classify"].parts["images with corrected tags"] == 1
    assert not c.folder.network("classifier").model.samefile(b.folder.network("classifier").model)
    state = json.loads(c.folder.state.read_text())
    assert all(stage["finished"] for stage in state["stages"].values())


def test_a_run_does_not_train_on_edited_masks_even_if_they_are_kept(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "a")
    shutil.copytree(runs / "untouched", run.root)
    sample_id = ids(runs)[5]
    from PIL import Image

    mask = read_mask(run.mask(sample_id))
    Image.fromarray(np.where(mask == 0, 1, 0).astype(np.uint8)).save(run.mask(sample_id))
    assert main(["correct", str(run.root), "--from", str(run.masks)]) == 0
    assert f"weakseg run {run.root} --out {run.root}-2  learns from them" in capsys.readouterr().out
    assert main(["run", str(run.root), "--redo", "segment"]) == 1
    error = capsys.readouterr().err
    assert "training on the masks stops here: 1 mask in" in error
    assert f"weakseg run {run.root} --out {run.root}-2" in error
    assert main(["run", str(run.root), "--redo", "refine"]) == 0
    assert (run.corrections / f"{sample_id}.png").is_file()
