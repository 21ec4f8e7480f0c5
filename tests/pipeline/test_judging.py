"""Which images the threshold is judged on, and what each of its cuts is."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.made_context import make_context
from tests.pipeline.made_seeded import AUTO, make_seeded, splits
from tests.tiny import with_settings
from weakseg.data.base import Dataset
from weakseg.pipeline import judging
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import cut_image, open_cutter
from weakseg.pipeline.judging import draw_tagged
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.pipeline.threshold import (
    load_choice,
    settle_threshold,
)
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.threshold.colour import score_colours
from weakseg.types import Sample

assert splits, "a fixture"


def test_the_curve_is_the_mean_information_of_the_tagged_images(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_seeded(tmp_path, splits)
    settle_threshold(context)
    candidates = load_choice(context.folder.threshold).candidates
    cutter, rows = open_cutter(context), []
    for sample in context.train:
        if sample.keys:
            item = pair_with_seed(context, sample, context.train.load_image(sample))
            rows.append(score_colours(cut_image(item, cutter, candidates)))
    curve = load_choice(context.folder.threshold).curve
    assert curve == pytest.approx(np.mean(rows, axis=0), abs=1e-6)
    assert json.loads(context.folder.threshold.read_text())["statistic"] == "colour information, bits per pixel"


def test_which_images_decide_follows_the_seed_alone(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, AUTO)
    drawn = [sample.id for sample in draw_tagged(context)]
    assert sorted(drawn) == ["train_0", "train_1", "train_3", "train_4"]
    assert [sample.id for sample in draw_tagged(context)] == drawn
    orders = {
        tuple(sample.id for sample in draw_tagged(make_context(tmp_path, splits, AUTO, ("runtime.seed", seed))))
        for seed in range(5)
    }
    assert len(orders) > 1


def test_large_images_are_few_but_never_none(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_seeded(tmp_path, splits)
    pixels = 24 * 33
    for limit, images in ((1, 1), (pixels, 1), (pixels + 1, 2), (10 * pixels, 4)):
        monkeypatch.setattr(judging, "MAX_PIXELS", limit)
        context.folder.threshold.unlink(missing_ok=True)
        settle_threshold(context)
        assert load_choice(context.folder.threshold).images == images
    monkeypatch.setattr(judging, "MAX_IMAGES", 3)
    context.folder.threshold.unlink()
    settle_threshold(context)
    assert load_choice(context.folder.threshold).images == 3


def test_no_image_is_loaded_twice(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, load, loaded = make_seeded(tmp_path, splits), Dataset.load_image, []

    def count(dataset: Dataset, sample: Sample) -> np.ndarray:
        loaded.append(sample.id)
        return load(dataset, sample)

    monkeypatch.setattr(Dataset, "load_image", count)
    settle_threshold(context)
    assert sorted(loaded) == ["train_0", "train_1", "train_3", "train_4"]


def test_every_cut_is_what_the_method_makes_of_it(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_seeded(tmp_path, splits)
    sample = splits[0].samples[4]
    item = pair_with_seed(context, sample, splits[0].load_image(sample))
    cuts = cut_image(item, open_cutter(context), (0.05, 0.5))
    maps = item.seed.full().numpy()
    for threshold, mask, seed_mask in zip((0.05, 0.5), cuts.masks, cuts.seed_masks, strict=True):
        assert mask.tolist() == seed_mask.tolist()
        assert mask.tolist() == seed_to_mask(maps, sample.keys, background_threshold=threshold).tolist()
    assert cuts.strongest.tolist() == maps.max(axis=0).tolist()
    untagged = splits[0].samples[2]
    crf = with_settings(context.config, ("refine.method", "crf"))
    item = pair_with_seed(context, untagged, splits[0].load_image(untagged))
    assert not open_cutter(Context(crf, context.folder, context.device, *splits, {}))(item, (0.0, 0.5)).any()
