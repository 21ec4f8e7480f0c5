from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.studies.sizes import TINY_STUDY
from weakseg.config.load import build_config, read_recipe
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.studies.methods.runs import restrict_config
from weakseg.studies.methods.scores import MethodScore, classifier_map, score_masks, score_seeds, scored_split
from weakseg.train.loop import EpochRecord
from weakseg.types import ScoreMaps

TRUTH = "digest"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Context:
    config = restrict_config(build_config(read_recipe("methods_critters"), TINY_STUDY), split="val")
    return prepare(config, RunFolder(tmp_path_factory.mktemp("data")))


@pytest.fixture
def context(prepared: Context, tmp_path: Path) -> Context:
    """A run with seeds that are 0.62 on the objects and 0.5 elsewhere, and masks that are the truth."""
    context = replace(prepared, folder=RunFolder(tmp_path / "run"))
    for split in ("train", "val"):
        for sample in scored_split(context, split):
            truth = scored_split(context, split).load_mask(sample)
            assert truth is not None
            keys = np.array(sample.keys).reshape(-1, 1, 1)
            maps = torch.where(torch.from_numpy(truth[None] == keys + 1), 0.62, 0.5).float()
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), (truth.shape[0], truth.shape[1])))
            save_mask(context.folder.mask(sample.id), truth)
    return context


def test_masks_that_are_the_truth_score_one_at_their_fixed_threshold(context: Context) -> None:
    assert score_masks(context, split="train", truth_digest=TRUTH) == MethodScore(1.0, 0.25, "fixed", 12)


def test_masks_of_affinitynet_have_no_threshold(context: Context) -> None:
    psa = replace(context, config=replace(context.config, refine=replace(context.config.refine, method="psa")))
    assert score_masks(psa, split="val", truth_digest=TRUTH) == MethodScore(1.0, None, "none", 5)


def test_seeds_are_scored_at_their_best_threshold(context: Context) -> None:
    found = score_seeds(context, split="val", truth_digest=TRUTH)
    assert (found.threshold_choice, found.images) == ("oracle", 5)
    assert found.mean_iou is not None
    assert found.threshold is not None
    assert found.mean_iou > 0.5  # the seed is rebuilt from its scales, which blurs the outline
    assert 0.5 / 0.62 <= found.threshold < 1


def test_a_score_is_kept_and_not_counted_again(context: Context) -> None:
    first = score_masks(context, split="train", truth_digest=TRUTH)
    for sample in context.train:
        context.folder.mask(sample.id).unlink()
    assert score_masks(context, split="train", truth_digest=TRUTH) == first


def test_a_score_is_counted_again_when_the_truth_has_changed(context: Context, told: list[str]) -> None:
    assert score_masks(context, split="train", truth_digest=TRUTH).mean_iou == 1.0
    for sample in context.train:
        path = context.folder.mask(sample.id)
        save_mask(path, np.zeros_like(read_mask(path)))
    again = score_masks(context, split="train", truth_digest="other")
    assert again.mean_iou is not None
    assert again.mean_iou < 0.5
    assert told == [f"{context.folder.root / 'score-masks.json'}: scored again, since truth masks have changed"]
    assert score_masks(context, split="train", truth_digest="other") == again
    assert len(told) == 1


def test_a_score_of_which_the_truth_is_not_known_is_counted_again(context: Context) -> None:
    write_json(context.folder.root / "score-masks.json", {"mean_iou": 0.1, "threshold": None, "images": 1})
    assert score_masks(context, split="train", truth_digest=TRUTH) == MethodScore(1.0, 0.25, "fixed", 12)


def test_a_damaged_score_is_named(context: Context) -> None:
    (context.folder.root / "score-masks.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"score-masks\.json is missing or damaged .* start the study again"):
        score_masks(context, split="train", truth_digest=TRUTH)


@pytest.mark.parametrize(("metrics", "expected"), [({"map": 0.25}, 0.25), ({"map": float("nan")}, None), ({}, None)])
def test_the_classifiers_score_is_that_of_its_last_epoch(
    context: Context, monkeypatch: pytest.MonkeyPatch, metrics: dict[str, float], expected: float | None
) -> None:
    records = (EpochRecord(1, 0.5, 0.1, {"map": 0.9}), EpochRecord(2, 0.4, 0.1, metrics))
    monkeypatch.setattr("weakseg.studies.methods.scores.load_history", lambda folder: records)
    assert classifier_map(context) == expected


def test_a_kept_score_is_plain_json(context: Context) -> None:
    score_masks(context, split="train", truth_digest=TRUTH)
    kept = json.loads((context.folder.root / "score-masks.json").read_text())
    assert kept == {"images": 12, "mean_iou": 1.0, "threshold": 0.25, "threshold_choice": "fixed", "truth": TRUTH}
    write_json(context.folder.root / "score-masks.json", {**kept, "mean_iou": None})
    assert score_masks(context, split="train", truth_digest=TRUTH).mean_iou is None
