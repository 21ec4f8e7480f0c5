"""The background threshold `auto`: what it chooses, what is written of it, and where there is nothing to choose."""

from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import CONFIG, make_context
from tests.pipeline.made_seeded import AUTO, make_seeded, splits
from tests.pipeline.test_refiners import IRN
from tests.tiny import make_dataset, with_settings
from weakseg.config.ranges import check_ranges
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.refiners import refined_files
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.pipeline.stages import classify, refine
from weakseg.pipeline.threshold import (
    MaskThreshold,
    load_choice,
    mask_threshold,
    require_number,
    settle_threshold,
    tell_of_no_threshold,
)
from weakseg.refine.threshold.choice import CANDIDATES
from weakseg.types import ScoreMaps

assert splits, "a fixture"


@pytest.mark.parametrize("method", ["none", "crf"])
def test_auto_refines_at_the_threshold_it_has_written_down(
    tmp_path: Path, splits: tuple[Dataset, Dataset], method: str
) -> None:
    context = make_seeded(tmp_path, splits, ("refine.method", method), ("refine.crf.iterations", 2))
    assert context.folder.threshold in refined_files(context, [context.train])
    how = "" if method == "none" else " by CRF"
    summary = refine(context)
    choice = load_choice(context.folder.threshold)
    assert summary == f"masks of 7 images{how}, background threshold {choice.threshold:g} (label-free)"
    assert set(choice.candidates) < set(CANDIDATES), "at the lowest, seeds take more than three times the usual area"
    assert choice.images == 4, "the untagged image tells nothing"
    assert choice.threshold >= 0.1, "below it everything is foreground"
    assert mask_threshold(context) == MaskThreshold(choice.threshold, "label-free")
    cutter = open_cutter(context)
    for sample in context.train:
        item = pair_with_seed(context, sample, context.train.load_image(sample))
        expected = cutter(item, (choice.threshold,))[0]
        assert read_mask(context.folder.mask(sample.id)).tolist() == expected.tolist()


@pytest.mark.slow
def test_auto_serves_irn_too(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    without_instances = [setting for setting in IRN if setting[0] != "refine.irn.instances"]
    context = make_seeded(tmp_path, splits, *without_instances)
    classify(context)
    refine(context)
    choice = load_choice(context.folder.threshold)
    assert choice.is_clear
    cutter = open_cutter(context)
    for sample in context.train:
        item = pair_with_seed(context, sample, context.train.load_image(sample))
        expected = cutter(item, (choice.threshold,))[0]
        assert read_mask(context.folder.mask(sample.id)).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("method", "threshold", "expected"),
    [
        ("psa", "auto", ["'auto' has no effect, since 'psa' has no such threshold; refine.psa.walk_alpha weakens"]),
        ("psa", 0.15, []),
        ("crf", "auto", []),
    ],
)
def test_it_is_said_where_there_is_nothing_to_choose(
    method: str, threshold: str | float, expected: list[str], told: list[str]
) -> None:
    config = with_settings(CONFIG.refine, ("method", method), ("background_threshold", threshold))
    tell_of_no_threshold(config)
    assert len(told) == len(expected)
    assert all(part in message for part, message in zip(expected, told, strict=True))


def test_large_images_are_cut_as_small_copies(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_seeded(tmp_path, splits, ("data.max_side_px", 16), ("refine.method", "crf"))
    refine(context)
    assert read_mask(context.folder.mask("train_0")).shape == (24, 33)
    assert load_choice(context.folder.threshold).is_clear


def test_empty_seeds_give_the_usual_threshold_and_a_warning(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    context = make_context(tmp_path, splits, AUTO)
    for dataset in splits:
        for sample in dataset:
            maps = torch.zeros(len(sample.keys), 3, 4)
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), (24, 33)))
    with caplog.at_level("WARNING", logger="weakseg"):
        assert settle_threshold(context) == 0.15
    assert "no candidate is better than another on 4 tagged images, so 'auto' takes 0.15; look at" in caplog.text


@pytest.mark.parametrize("method", ["none", "crf"])
def test_without_a_tagged_image_every_mask_is_background(
    tmp_path: Path, splits: tuple[Dataset, Dataset], told: list[str], method: str
) -> None:
    untagged = make_dataset(tmp_path / "untagged", ((), ()))
    context = make_seeded(tmp_path / "run", (untagged, splits[1]), ("refine.method", method))
    assert refine(context).endswith("background threshold 0.15 (label-free)")
    choice = load_choice(context.folder.threshold)
    assert (choice.images, choice.is_clear, set(choice.curve)) == (0, False, {None})
    warning = (
        "refine.background_threshold: no candidate is better than another on 0 tagged images, so 'auto' takes 0.15; "
        "tag images, or give a number"
    )
    assert told.count(warning) == 1
    assert not any(read_mask(context.folder.mask(sample.id)).any() for sample in untagged)


def test_a_recipe_without_seeds_to_choose_on_is_refused_at_once() -> None:
    config = with_settings(CONFIG, AUTO, ("localize.splits", ("val",)))
    with pytest.raises(ConfigError) as raised:
        check_ranges(config)
    assert str(raised.value) == (
        "localize.splits: refine.background_threshold 'auto' is chosen on the seeds of 'train', got val; add it, or "
        "give a number"
    )
    check_ranges(with_settings(config, ("refine.background_threshold", 0.2)))


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_any_number_of_classes_and_a_single_image_will_do(tmp_path: Path, num_classes: int) -> None:
    names = [f"class {index}" for index in range(num_classes)]
    train = make_dataset(tmp_path / "images", ((num_classes - 1,),), names=names)
    context = make_seeded(
        tmp_path / "run", (train, make_dataset(tmp_path / "images", ((0,),), split="val", names=names))
    )
    assert settle_threshold(context) >= 0.1
    assert load_choice(context.folder.threshold).images == 1


def test_a_number_is_taken_as_it_is(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, ("refine.background_threshold", 0.3))
    assert settle_threshold(context) == require_number(context.config.refine) == 0.3
    assert mask_threshold(context) == MaskThreshold(0.3, "fixed")
    assert str(mask_threshold(context)) == "0.3 (fixed)"
    assert not context.folder.threshold.exists()
    assert context.folder.threshold not in refined_files(context, splits)


def test_affinitynet_has_no_threshold(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, AUTO, ("refine.method", "psa"))
    assert mask_threshold(context) is None
    assert context.folder.threshold not in refined_files(context, splits)
    with pytest.raises(ConfigError, match="'psa' has no background threshold"):
        open_cutter(context)


def test_what_stands_in_the_way_is_named(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, AUTO, ("localize.splits", ("val",)))
    with pytest.raises(ConfigError, match=r"refine\.background_threshold 'auto' learns from the seeds of 'train'; add"):
        settle_threshold(context)
    with pytest.raises(ConfigError, match=r"expected a number, since values around it are compared, got auto"):
        require_number(context.config.refine)
    with pytest.raises(ArtifactError, match=r"there is no .*threshold\.json; run the stage 'refine' first"):
        mask_threshold(context)
