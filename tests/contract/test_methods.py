"""What every registered localiser and refiner keeps: settings, help, errors, sizes, classes, resuming."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import AUGMENT, contents, make_context
from tests.pipeline.saved_networks import CLASSES
from tests.tiny import make_classifier, make_dataset
from tests.tiny_clip import save_clip
from tests.tiny_sam3 import save_sam3
from weakseg.arguments.verbs import new_parser
from weakseg.config.load import add_config_arguments, build_config, read_recipe, to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.errors import ConfigError
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Result, find_localizer
from weakseg.methods import MethodFacts
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.method_versions import name_method_version
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.pipeline.refiners import make_masks, refined_files
from weakseg.pipeline.seeds import REFINER
from weakseg.refine.method import RefineContext, SeededImage, find_refiner
from weakseg.registry import LOCALIZERS, REFINERS
from weakseg.types import Sample, ScoreMaps

METHODS = [("localize", facts) for facts in LOCALIZERS.usable()] + [("refine", facts) for facts in REFINERS.usable()]
EACH = pytest.mark.parametrize(("stage", "facts"), METHODS, ids=lambda value: getattr(value, "name", value))
CHOOSE = {"localize": "--localize.method", "refine": "--refine.method"}
CPU = torch.device("cpu")
SAVED = {"clip_es": save_clip, "sam3": save_sam3}
"""Makes the network of a localiser that needs one."""
SIZE_HW = (25, 38)
RANDOM = ("--refine.irn.weights=none", "--refine.psa.weights=none")
TINY_NAMES = {"irn": "critter", "psa": "critter38"}
"""Backbones of the networks that refiners train; others' refiners bring their own."""


@pytest.fixture(scope="module")
def help_text() -> str:
    parser = new_parser("run", "")
    add_config_arguments(parser)
    return " ".join(parser.format_help().split())


@EACH
def test_it_says_what_it_is(stage: str, facts: MethodFacts[Any]) -> None:
    assert all((facts.summary, facts.source, facts.licence))
    assert "\n" not in facts.summary
    assert facts.version >= 1


@pytest.mark.slow
@EACH
def test_its_settings_survive_a_recipe(tmp_path: Path, stage: str, facts: MethodFacts[Any]) -> None:
    config = build_config({}, (f"{CHOOSE[stage]}={facts.name}", *RANDOM))
    (tmp_path / "recipe.yaml").write_text(to_yaml(config))
    assert build_config(read_recipe(str(tmp_path / "recipe.yaml"))) == config


@EACH
def test_the_help_has_it_and_all_its_settings(help_text: str, stage: str, facts: MethodFacts[Any]) -> None:
    assert f"`{facts.name}`: {facts.summary}" in help_text
    for item in dataclasses.fields(facts.settings):
        assert f"--{stage}.{facts.name}.{item.name}" in help_text


@EACH
def test_a_wrong_key_is_told_with_the_nearest(stage: str, facts: MethodFacts[Any]) -> None:
    for item in dataclasses.fields(facts.settings)[:1]:
        path = f"{stage}.{facts.name}.{item.name}"
        with pytest.raises(ConfigError, match=rf"^{path}x: no such setting.*did you mean '{path}'\?$"):
            build_config({stage: {facts.name: {f"{item.name}x": 1}}})


@EACH
def test_a_higher_version_is_another_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, facts: MethodFacts[Any]
) -> None:
    context = make_context(tmp_path, (make_dataset(tmp_path / "images"), None), (f"{stage}.method", facts.name))
    finder = {"localize": "localizer_facts", "refine": "refiner_facts"}[stage]
    monkeypatch.setattr(f"weakseg.pipeline.method_versions.{finder}", lambda section: replace(facts, version=1))
    assert name_method_version(context, stage) == {}
    monkeypatch.setattr(f"weakseg.pipeline.method_versions.{finder}", lambda section: replace(facts, version=2))
    assert name_method_version(context, stage) == {f"version of {stage}.method {facts.name}": 2}


def sample(keys: tuple[int, ...], num_classes: int) -> Sample:
    tags = np.zeros(num_classes, np.uint8)
    tags[list(keys)] = 1
    return Sample("one", Path("one.png"), tags, np.ones(num_classes, np.bool_))


def image(size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)


TAGS = pytest.mark.parametrize(("keys", "num_classes"), [((0, 2), 3), ((), 3), ((0,), 1), ((7, 79), 80)])


@contextmanager
def open_localizer(
    name: str, train: Dataset, num_classes: int, folder: Path, *, device: torch.device = CPU
) -> Iterator[tuple[torch.nn.Module, ImageLocalizer]]:
    classifier = make_classifier(num_classes=num_classes).eval().to(device)
    words = ["--localize.scales=[1.0,0.5]", "--localize.rib.iterations=2", "--localize.rib.partners=1"]
    if name in SAVED:
        words.append(f"--localize.{name}.model={SAVED[name](folder / 'network')}")
    config = build_config({}, words)
    section = replace(config.localize, rib=replace(config.localize.rib, partner_augment=AUGMENT))

    def look_through(work: Callable[[Sample, np.ndarray], Result], /, *, label: str) -> Iterator[Result]:
        assert label
        return (work(sample, train.load_image(sample)) for sample in train if sample.keys)

    localizer, runtime = find_localizer(name), replace(config.runtime, workers=0)
    trained = classifier if localizer.needs_classifier else None
    context = LocalizeContext(trained, section, train, runtime, folder, look_through, device)
    with localizer.open(context) as localize:
        yield classifier, localize


@pytest.mark.slow
@TAGS
@pytest.mark.parametrize("name", LOCALIZERS.names())
def test_a_localizer_gives_maps_of_the_tags_and_leaves_all_as_it_was(
    tmp_path: Path, name: str, keys: tuple[int, ...], num_classes: int
) -> None:
    names = tuple(f"class {number}" for number in range(num_classes))
    train = make_dataset(tmp_path, ((), (0,)), names=names)
    pixels = image()
    with open_localizer(name, train, num_classes, tmp_path / "localizer") as (classifier, localize):
        before = {key: value.clone() for key, value in classifier.state_dict().items()}
        maps = localize(sample(keys, num_classes), pixels, 0).maps
        again = localize(sample(keys, num_classes), pixels, 0).maps
    assert maps.keys == keys
    assert maps.size_hw == SIZE_HW
    assert all(len(scale) == len(keys) and bool(scale.isfinite().all()) for scale in maps.scales)
    assert all(torch.equal(one, two) for one, two in zip(maps.scales, again.scales, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert pixels.tolist() == image().tolist()


def build_network(name: str) -> torch.nn.Module | None:
    network = find_refiner(name).trains
    if network is None:
        return None
    generator = torch.Generator().manual_seed(0)
    return network.build(TINY_NAMES[name], settings=None, backbone=None, generator=generator).eval()


def make_refine_config() -> RunConfig:
    words = ("--refine.irn.name=critter", "--refine.psa.name=critter38", "--refine.irn.pad_px=null")
    return build_config({}, (*words, *RANDOM))


@pytest.mark.slow
@TAGS
@pytest.mark.parametrize("name", REFINERS.names())
def test_a_refiner_gives_a_mask_of_the_tags_at_every_threshold(
    name: str, keys: tuple[int, ...], num_classes: int
) -> None:
    refiner = find_refiner(name)
    context = RefineContext(make_refine_config().refine, CPU, build_network(name))
    scores = torch.rand(len(keys), 7, 10, generator=torch.Generator().manual_seed(0))
    seed = ScoreMaps(keys, (scores.clone(),), SIZE_HW)
    item = SeededImage(sample(keys, num_classes), image(), seed, SIZE_HW)
    thresholds = (0.3, 0.2, 0.6) if refiner.has_threshold else ()
    refined = refiner.open(context)(item, thresholds)
    masks = [refined.mask.labels, *refined.others]
    assert len(masks) == max(1, len(thresholds))
    for mask in masks:
        assert (mask.shape, mask.dtype) == (SIZE_HW, np.uint8)
        assert set(np.unique(mask)) <= {0, *(key + 1 for key in keys)}
    assert 0 <= refined.mask.confidence.min() <= refined.mask.confidence.max() <= 1
    assert refined.instances is None
    assert torch.equal(seed.scales[0], scores)
    assert item.image.tolist() == image().tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", REFINERS.names())
def test_a_refiner_makes_the_masks_that_are_gone_and_no_others(tmp_path: Path, name: str) -> None:
    sizes_hw = (SIZE_HW, (33, 24), SIZE_HW)
    splits = (make_dataset(tmp_path / "images", ((0,), (1, 2), ()), sizes_hw=sizes_hw), None)
    chosen = (("refine", make_refine_config().refine), ("refine.method", name), ("localize.splits", ("train",)))
    context = make_context(tmp_path / "run", splits, *chosen)
    network = build_network(name)
    if network is not None:
        settings = context.config.refine.network
        assert settings is not None
        info = describe_network(settings, CLASSES, kind=REFINER, weights_from="random")
        save_network(context.folder.network(REFINER), network, info, ())
    for item, size_hw in zip(context.train, sizes_hw, strict=True):
        save_seed(context.folder.seed(item.id), ScoreMaps(item.keys, (torch.rand(len(item.keys), 6, 8),), size_hw))
    datasets = seeded_datasets(context)
    make_masks(context, datasets)
    before = contents(context.folder.root)
    context.folder.mask("train_1").unlink()
    kept = {path: path.stat().st_mtime_ns for path in context.folder.masks.iterdir()}
    make_masks(context, datasets)
    assert contents(context.folder.root) == before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert {path.name for path in refined_files(context, datasets)} >= {f"train_{number}.png" for number in range(3)}
