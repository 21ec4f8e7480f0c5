from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_run import add_instances, make_run
from weakseg.config.schema import ReportConfig
from weakseg.errors import ArtifactError
from weakseg.pipeline.context import Context
from weakseg.report import gallery
from weakseg.report.gallery import build_gallery, share_out


def rank_by_gallery(context: Context) -> list[list[str]]:
    return [[image.id for image in group.images] for group in build_gallery(context)]


def test_gallery_ranks_predictions_and_masks_apart_worst_first(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    # The made-up IoU of predictions falls with the index, that of masks rises.
    assert rank_by_gallery(context) == [["val_2", "val_1", "val_0"], ["train_0", "train_1", "train_2"]]
    group = build_gallery(context)[0]
    assert group.images[0].scores == ("prediction 50.0", "pseudo mask 70.0 (tags given)")
    assert group.heading == "val: 3 of 3 images"


def test_images_without_truth_come_last_by_id(tmp_path: Path) -> None:
    context = make_run(tmp_path, val_tags=(0, 0, 0, 0), truth=lambda id: id in ("val_2", "val_3"))
    assert rank_by_gallery(context)[0] == ["val_3", "val_2", "val_0", "val_1"]


def test_image_of_both_splits_is_shown_once(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    assert context.val is not None
    context = replace(context, train=context.val)
    assert rank_by_gallery(context) == [["val_2", "val_1", "val_0"]]


def test_the_gallery_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MAX_SHOWN", 2)
    groups = build_gallery(make_run(tmp_path, report=ReportConfig(gallery_images=1000)))
    assert [(group.role, group.heading) for group in groups] == [
        ("val", "val: 1 of 3 images"),
        ("train", "train: 1 of 3 images"),
    ]
    assert groups[0].explanation.endswith("2 others are not shown (report.gallery_images, at most 2).")


def test_without_truth_the_most_doubtful_come_first(tmp_path: Path) -> None:
    context = make_run(tmp_path, val_tags=None, truth=lambda id: False)
    (group,) = build_gallery(context, {"train_2": 0, "train_0": 1})
    assert [image.id for image in group.images] == ["train_2", "train_0", "train_1"]
    assert group.explanation == "No image of this split has a truth mask: the most doubtful masks come first."
    (group,) = build_gallery(context)
    assert [image.id for image in group.images] == ["train_0", "train_1", "train_2"]


def test_panels_follow_the_pipeline(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    (val, train) = build_gallery(context)
    assert [panel.caption for panel in val.images[0].panels] == [
        "Image",
        "Seed: bex",
        "Pseudo mask",
        "Prediction",
        "Truth",
    ]
    untagged = train.images[2]
    assert untagged.tags == ()
    assert [panel.caption for panel in untagged.panels] == ["Image", "Pseudo mask", "Truth"]


def test_what_irn_makes_stands_beside_the_pseudo_mask(tmp_path: Path) -> None:
    (val, train) = build_gallery(add_instances(make_run(tmp_path)))
    assert [panel.caption for panel in train.images[0].panels] == [
        "Image",
        "Seed: avo",
        "Confident labels",
        "Pseudo mask",
        "Instances",
        "Truth",
    ]
    # Only training images have confident labels; an untagged image has a panel of no instances.
    captions = [panel.caption for panel in val.images[0].panels]
    assert captions == ["Image", "Seed: bex", "Pseudo mask", "Instances", "Prediction", "Truth"]
    assert [panel.caption for panel in train.images[2].panels][-2:] == ["Instances", "Truth"]


def test_damaged_instances_are_named_with_the_stage_to_run(tmp_path: Path) -> None:
    context = add_instances(make_run(tmp_path, train_tags=(0,), val_tags=None))
    context.folder.instance("train_0").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"train_0\.npz are damaged .*run 'refine' again"):
        build_gallery(context)


def test_missing_prediction_leaves_an_empty_panel(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=(0,))
    context.folder.prediction("val_0").unlink()
    (panel,) = [panel for panel in build_gallery(context)[0].images[0].panels if panel.caption == "Prediction"]
    assert panel.source is None
    assert panel.alt == "Prediction of val_0: missing"


def test_damaged_or_missing_scores_are_named_with_the_stage_to_run(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=None)
    context.folder.image_scores.write_text("id,mask_iou,segmenter_iou\nx,high,\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"image_scores\.csv is damaged .*'high'.* run the stage 'evaluate' again"):
        build_gallery(context)
    context.folder.image_scores.unlink()
    with pytest.raises(ArtifactError, match="run the stage 'evaluate' first"):
        build_gallery(context)


@given(places=st.integers(0, 40), sizes=st.lists(st.integers(0, 30), max_size=4))
def test_places_are_shared_evenly_and_none_is_wasted(places: int, sizes: list[int]) -> None:
    shares = share_out(places, sizes)
    assert sum(shares) == min(places, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    for share, size in zip(shares, sizes, strict=True):
        assert share == size or share >= max(shares) - 1
