from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_run import HEIGHT, WIDTH, make_run
from weakseg.files import write_json
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.corrections.taught import Taught, TaughtImage
from weakseg.report import doubts as module
from weakseg.report.doubts import look_for_doubts
from weakseg.scoring.evidence import Evidence, name_sources, write_evidence


def test_a_mask_that_is_not_what_its_seed_says_comes_first(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, 1, None))
    save_mask(context.folder.mask("train_1"), np.full((HEIGHT, WIDTH), 2, np.uint8))
    found = look_for_doubts(context)
    assert found.images[0].id == "train_1"
    assert found.images[0].why.startswith("seed and mask differ on ")
    assert (found.from_review, found.total, len(found.images)) == (False, 6, 6)
    assert found.places["train_1"] == 0
    assert found.is_telling
    agreement = found.agreement
    assert agreement.seed is not None
    assert 0.8 < agreement.seed < 0.95  # one of six masks is wrong nearly everywhere
    assert agreement.segmenter is not None
    assert agreement.stable is None  # no map of confidence


def test_corrected_images_come_last(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, 1, None))
    save_mask(context.folder.mask("train_1"), np.full((HEIGHT, WIDTH), 2, np.uint8))
    write_json(context.folder.corrections / "train_1.json", {"id": "train_1"})
    found = look_for_doubts(context)
    assert (found.images[-1].id, found.images[-1].corrected) == ("train_1", True)  # a damaged file is somebody's work
    (context.folder.corrections / "train_1.json").unlink()
    store = CorrectionStore(context.folder.corrections, context.train.classes)
    store.write(Correction("train_1"), expected_revision=0)  # all was taken back
    assert look_for_doubts(context).images[0].id == "train_1"


def test_masks_that_a_person_gave_do_not_count_as_doubts_of_seed_and_refinement(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, 1, None))
    before = look_for_doubts(context).agreement.seed
    save_mask(context.folder.mask("train_1"), np.full((HEIGHT, WIDTH), 2, np.uint8))
    taught = Taught(
        context.folder.taught, "r", context.train.classes, {"train_1": TaughtImage("train_1", mask="0" * 24)}
    )
    after = look_for_doubts(replace(context, taught=taught)).agreement.seed
    assert before is not None
    assert after is not None
    assert abs(before - after) < 0.02
    assert len(look_for_doubts(replace(context, taught=taught)).images) == 6


def test_masks_just_cut_from_their_seeds_agree_with_them(tmp_path: Path) -> None:
    found = look_for_doubts(make_run(tmp_path, val_tags=None))
    assert found.agreement.seed is not None
    assert found.agreement.seed > 0.9  # seeds are rebuilt at a quarter of the size
    assert (found.agreement.segmenter, found.agreement.stable) == (None, None)


def test_images_without_tags_tell_nothing(tmp_path: Path) -> None:
    found = look_for_doubts(make_run(tmp_path, train_tags=(None, None), val_tags=None))
    assert [image.id for image in found.images] == ["train_0", "train_1"]
    assert (found.agreement.seed, found.is_telling) == (1.0, False)


def test_files_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    context.folder.mask("train_0").unlink()
    context.folder.seed("train_1").write_bytes(b"nothing")
    context.folder.prediction("val_0").unlink()
    found = look_for_doubts(context)
    assert {image.id for image in found.images} == {"train_2", "val_0", "val_1", "val_2"}
    assert found.total == 5


def test_of_many_images_some_evenly_spaced_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOOKED_AT", 2)
    found = look_for_doubts(make_run(tmp_path))
    assert sorted(image.id for image in found.images) == ["train_0", "val_0"]
    assert found.total == 6


def test_what_review_has_measured_goes_first(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, 1), val_tags=None)
    evidence = [
        Evidence(
            f"train_{place}", "train", 0.1 * place, 0.0, 0.0, None, {place: 0.2}, (1, 0, 0), (True,) * 3, (0.9,) * 3
        )
        for place in (0, 1)
    ]
    write_evidence(context.folder, name_sources(context.folder), evidence)
    found = look_for_doubts(context)
    assert found.from_review
    assert [image.id for image in found.images] == ["train_1", "train_0"]
    write_evidence(context.folder, {"version": -1}, evidence)  # of other results
    assert not look_for_doubts(context).from_review
