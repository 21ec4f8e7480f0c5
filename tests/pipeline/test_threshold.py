import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import CONFIG, make_context
from tests.pipeline.test_refiners import IRN
from tests.tiny import make_dataset, with_settings
from weakseg.config.ranges import check_ranges
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline import judging
from weakseg.pipeline import threshold as subject
from weakseg.pipeline.artifacts import RunFolder, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import cut_image, open_cutter
from weakseg.pipeline.judging import draw_tagged
from weakseg.pipeline.refiners import refined_files
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.pipeline.stages import STAGES, classify, refine
from weakseg.pipeline.threshold import (
    MaskThreshold,
    load_choice,
    mask_threshold,
    require_number,
    settle_threshold,
    tell_of_no_threshold,
)
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.threshold.choice import CANDIDATES
from weakseg.refine.threshold.colour import score_colours
from weakseg.types import Sample, ScoreMaps

AUTO = ("refine.background_threshold", "auto")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (1,), (), (2,), (0, 1)), truth=True)
    return train, make_dataset(root, ((0,), ()), split="val")


def make_seeded(root: Path, splits: tuple[Dataset, Dataset], *settings: tuple[str, object]) -> Context:
    """Return a run with seeds that are worth 1 on the objects and 0.1 beside them."""
    context = make_context(root, splits, AUTO, *settings)
    for dataset in splits:
        for sample in dataset:
            truth = dataset.load_mask(sample)
            maps = torch.full((len(sample.keys), *truth.shape), 0.1)
            for one, key in zip(maps, sample.keys, strict=True):
                one[torch.from_numpy(truth == key + 1)] = 1.0
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), truth.shape))
    return context


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


def test_an_interrupted_stage_keeps_the_choice(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_seeded(tmp_path, splits)
    refine(context)
    masks = {path.name: path.read_bytes() for path in context.folder.masks.iterdir()}
    chosen = context.folder.threshold.read_bytes()
    context.folder.mask("train_3").unlink()
    monkeypatch.setattr(subject, "choose_on_tags", lambda *arguments: pytest.fail("chosen twice"))
    refine(context)
    assert context.folder.threshold.read_bytes() == chosen
    assert {path.name: path.read_bytes() for path in context.folder.masks.iterdir()} == masks


def test_the_same_seed_chooses_the_same_again(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    files = []
    for name in ("one", "other"):
        context = make_seeded(tmp_path / name, splits)
        settle_threshold(context)
        files.append(context.folder.threshold.read_bytes())
    assert files[0] == files[1]


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


@pytest.mark.slow
def test_only_masks_that_auto_cut_depend_on_its_rule(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = make_context(tmp_path / "chosen", splits, AUTO)
    fixed = make_context(tmp_path / "fixed", splits, ("refine.background_threshold", 0.3))
    for context in (chosen, fixed):
        run_stages(context, STAGES)
    monkeypatch.setattr(subject, "RULE_VERSION", subject.RULE_VERSION + 1)
    run_stages(fixed, STAGES)
    with pytest.raises(ConfigError, match=r"rule of background_threshold auto was \d, is \d; add --redo refine"):
        run_stages(chosen, STAGES)


@pytest.mark.slow
def test_redo_chooses_anew_and_a_number_leaves_no_choice_behind(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits, AUTO)
    run_stages(context, STAGES)
    context.folder.threshold.write_text("{}")
    run_stages(context, STAGES, redo="refine")
    assert load_choice(context.folder.threshold).images == 4
    context.folder.threshold.unlink()
    run_stages(context, STAGES)
    assert load_choice(context.folder.threshold).images == 4, "a file that is gone is made again"
    fixed = make_context(tmp_path, splits, ("refine.background_threshold", 0.3))
    with pytest.raises(ConfigError, match=r"refine\.background_threshold was auto, is 0\.3; .*add --redo refine"):
        run_stages(fixed, STAGES)
    run_stages(fixed, STAGES, redo="refine")
    assert not context.folder.threshold.exists()


@pytest.mark.parametrize("name", ["threshold.json", "confidence", "masks"])
def test_files_of_others_in_the_place_of_a_refinements_are_refused(
    tmp_path: Path, splits: tuple[Dataset, Dataset], name: str
) -> None:
    context = make_context(tmp_path, splits, AUTO, ("refine.confidence", True))
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_text("mine")
    with pytest.raises(ArtifactError, match=rf"{name} exists, but run\.json does not tell that the stage 'refine'"):
        run_stages(context, STAGES)
    assert (tmp_path / name).exists()
    assert not context.folder.state.exists()


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


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"threshold": "low", "candidates": [], "curve": []}'])
def test_a_damaged_choice_is_named(tmp_path: Path, text: str) -> None:
    path = RunFolder(tmp_path).threshold
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"threshold\.json is damaged .*--redo refine"):
        load_choice(path)


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
