"""The released settings as docs/sources.md lists them, recipe by recipe."""

from dataclasses import replace
from pathlib import Path

import pytest

from weakseg.arguments.requests import parse_recipe_words
from weakseg.config.own_recipes import list_recipes
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError

pytestmark = pytest.mark.slow

DATA = ("voc", "critters")


def read(name: str) -> RunConfig:
    request = parse_recipe_words("run", [name])
    assert request is not None
    return request.config


def test_every_built_in_recipe_is_there() -> None:
    methods = {f"{method}_{data}" for method in ("psa", "seam", "cda_irn", "cda_psa", "cda_seam") for data in DATA}
    methods |= {"methods_critters", "methods_photographs"}
    others = {"demo", "demo_quick", "voc", "coco", "irn_voc", "rib_voc", "rib_coco", "deeplab_critters"}
    others |= {"folder", "folder_quick", "folder_best", "clip_es"}
    assert set(list_recipes()) == others | methods


@pytest.mark.parametrize(
    ("name", "learning_rate", "threshold", "logit_stop", "area_ratio", "partners"),
    [("rib_voc", 8e-6, 0.4, 600, 0.7, 20), ("rib_coco", 5e-6, 0.5, 1000, 0.8, 15)],
)
def test_released_settings_of_rib(
    name: str, learning_rate: float, threshold: float, logit_stop: float, area_ratio: float, partners: int
) -> None:
    config = read(name).localize
    rib = config.rib
    assert (config.method, config.scales, rib.iterations) == ("rib", (1.0, 0.5, 1.5, 2.0), 10)
    assert (rib.learning_rate, rib.threshold, rib.logit_stop) == (learning_rate, threshold, logit_stop)
    assert (rib.area_threshold, rib.area_ratio, rib.partners) == (0.3, area_ratio, partners)
    assert (rib.variant, rib.pooling, rib.partner_draws, rib.partner_augment.crop_px) == (
        "released",
        "gndrp",
        "fresh",
        512,
    )


@pytest.mark.parametrize(
    ("name", "foreground", "background", "mask", "power", "pad_px"),
    [
        ("irn_voc", 0.30, 0.05, 0.25, 1.0, 512),
        ("rib_voc", 0.35, 0.17, 0.27, 1.3, 512),
        ("rib_coco", 0.35, 0.17, 0.22, 1.3, None),
    ],
)
def test_released_settings_of_irn(
    name: str, foreground: float, background: float, mask: float, power: float, pad_px: int | None
) -> None:
    refine = read(name).refine
    irn, crf = refine.irn, refine.crf
    assert (refine.method, irn.foreground, irn.background) == ("irn", foreground, background)
    assert (refine.background_threshold, irn.seed_power, irn.pad_px) == (mask, power, pad_px)
    assert (irn.walk_radius, irn.walk_beta, irn.walk_doublings, irn.radius) == (5, 10.0, 8, 10)
    assert (irn.instances, irn.instance_threshold) == (True, 0.25)
    assert (crf.gaussian, crf.bilateral, crf.certainty, crf.iterations) == ((3, 3), (50, 5, 10), 0.7, 10)


@pytest.mark.parametrize(
    ("name", "learning_rate", "images", "steps"),
    [
        ("voc", 2.5e-4, 10_582, 30_000),
        ("irn_voc", 2.5e-4, 10_582, 30_000),
        ("rib_voc", 2.5e-4, 10_582, 30_000),
        ("coco", 2e-4, 82_783, 100_000),
        ("rib_coco", 2e-4, 82_783, 100_000),
    ],
)
def test_released_settings_of_deeplab(name: str, learning_rate: float, images: int, steps: int) -> None:
    segmenter = read(name).segmenter
    assert (segmenter.name, segmenter.weights, segmenter.augment.crop_px) == ("resnet101", "imagenet", 321)
    assert (segmenter.optim.learning_rate, segmenter.optim.power, segmenter.batch_size) == (learning_rate, 0.9, 10)
    assert segmenter.epochs * (images // 10) == pytest.approx(steps, rel=0.02)


DEEPLAB_RECIPES = [
    *("voc", "coco", "irn_voc", "rib_voc", "rib_coco"),
    *(f"{method}_voc" for method in ("psa", "seam", "cda_irn", "cda_psa", "cda_seam")),
]


@pytest.mark.parametrize("name", DEEPLAB_RECIPES)
def test_full_size_recipes_train_and_test_as_deeplab_does(name: str) -> None:
    config = read(name)
    segmenter, evaluate = config.segmenter, config.evaluate
    assert (segmenter.multi_scale, segmenter.aspp_rates) == ((0.75, 0.5), (6, 12, 18, 24))
    assert (segmenter.batch_size, segmenter.accumulate, segmenter.balance) == (10, 2, "foreground_background")
    assert (segmenter.fixed_norm, segmenter.caffe_form) == (True, False)
    assert (evaluate.scales, evaluate.flip, evaluate.ablate) == ((1.0,), False, True)
    crf = evaluate.crf
    assert (crf.enabled, crf.gaussian, crf.bilateral, crf.iterations) == (True, (1, 3), (67, 3, 4), 10)


def test_other_recipes_keep_the_plain_segmenter() -> None:
    for name in ("demo", "folder"):
        config = read(name)
        assert (config.segmenter.multi_scale, config.segmenter.accumulate, config.segmenter.balance) == ((), 1, "none")
        assert (config.evaluate.crf.enabled, config.evaluate.ablate) == (name == "folder", False)


def test_the_small_twin_has_every_part() -> None:
    config = read("deeplab_critters")
    assert (config.segmenter.multi_scale, config.segmenter.accumulate) == ((0.75, 0.5), 2)
    assert config.segmenter.balance == "foreground_background"
    assert (config.evaluate.crf.enabled, config.evaluate.ablate) == (True, True)


@pytest.mark.parametrize(
    ("recipe", "folder"), [("mine.yml", "mine"), ("my.first.yaml", "my.first"), ("demo", "demo"), ("a/b.yml", "b")]
)
def test_a_run_is_called_like_its_recipe(
    recipe: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    if recipe != "demo":
        (tmp_path / recipe).write_text("data:\n  name: critters\n")
    request = parse_recipe_words("run", [recipe])
    assert request is not None
    assert request.out == Path("runs") / folder


@pytest.mark.parametrize("name", ["folder", "folder_quick", "folder_best"])
def test_recipes_for_photographs_start_from_weights_that_come_with_the_package(name: str) -> None:
    config = read(name)
    assert (config.classifier.name, config.classifier.weights) == ("efficientnet_lite0", "imagenet")
    assert (config.segmenter.name, config.segmenter.weights) == ("efficientnet_lite0", "classifier")
    assert config.refine.background_threshold == "auto"
    assert (config.localize.method, config.localize.similarity_temperature) == ("lpcam", 0.1)


def test_clip_es_needs_no_classifier_and_has_the_released_settings() -> None:
    config, folder = read("clip_es"), read("folder")
    own = config.localize.clip_es
    assert (config.localize.method, config.localize.scales, own.box_threshold) == ("clip_es", (1.0,), 0.4)
    assert (own.prompts, len(own.backgrounds)) == (("a clean origami {}.",), 25)
    assert config.segmenter == replace(folder.segmenter, weights="imagenet")
    assert config.refine.background_threshold == "auto"


def test_what_asks_for_a_classifier_is_refused_without_one_all_at_once() -> None:
    words = ["folder", "--localize.method=clip_es", "--localize.compared_images=3", "--refine.method=irn"]
    with pytest.raises(ConfigError) as caught:
        parse_recipe_words("run", words)
    assert str(caught.value) == (
        "localize.method: 'clip_es' works without a classifier, but these settings need one: "
        "localize.similarity_temperature 0.1 (set null), localize.compared_images 3 (set 0), "
        "refine.irn.weights classifier (set imagenet or a path), segmenter.weights classifier (set imagenet or a path)"
    )
