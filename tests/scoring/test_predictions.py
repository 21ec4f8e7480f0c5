"""Predictions of the validation split, which the stage `evaluate` makes before it scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.made_scored import CONFIG, context
from tests.tiny import make_dataset, make_segmenter, with_settings
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError
from weakseg.models.inference import predict_labels
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.scoring.evaluate import evaluate
from weakseg.scoring.predictions import predict_split

assert context, "a fixture"


def test_other_ranks_predict_and_leave_the_scoring_to_rank_0(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.scoring.evaluate.rank", lambda: 1)
    assert evaluate(context) == ""
    assert not context.folder.metrics.exists()


def test_missing_predictions_are_made_as_the_recipe_says(context: Context, tmp_path: Path) -> None:
    val = make_dataset(
        tmp_path / "images", ((0,), (1,)), split="val", names=("avo", "bex"), sizes_hw=((20, 33), (9, 7))
    )
    config = with_settings(CONFIG, ("evaluate.scales", (1.0, 0.5)), ("evaluate.flip", True), ("data.max_side_px", 24))
    context = replace(context, val=val, config=config)
    save_mask(context.folder.prediction("val_1"), np.zeros((9, 7), np.uint8))
    predict_split(context)
    segmenter = make_segmenter(num_labels=3)
    expected = predict_labels(segmenter, val.load_image(val.samples[0]), scales=(1.0, 0.5), flip=True, max_side_px=24)
    assert read_mask(context.folder.prediction("val_0")).tolist() == expected.tolist()
    assert (read_mask(context.folder.prediction("val_1")) == 0).all()


def test_without_a_validation_split_no_network_is_needed(context: Context) -> None:
    context.folder.network("segmenter").model.unlink()
    predict_split(replace(context, val=None))
    with pytest.raises(ArtifactError, match="expected a safetensors file at"):
        predict_split(context)
