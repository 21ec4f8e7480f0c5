from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from tests.pipeline.made_context import make_context
from tests.tiny import make_classifier, make_dataset
from weakseg.config.ranges import check_ranges
from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import write_bytes
from weakseg.localize import prototype_files
from weakseg.localize.prototype_files import load_prototypes, save_prototypes
from weakseg.localize.prototypes import Prototypes, prototype_score_maps
from weakseg.pipeline import localizers, localizing
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.localizers import open_localizer
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES
from weakseg.train import distributed

SETTINGS = (("localize.method", "lpcam"), ("localize.similarity_temperature", 0.1), ("localize.lpcam.clusters", 3))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    splits = make_dataset(tmp_path / "images"), make_dataset(tmp_path / "images", ((0,), ()), split="val")
    return make_context(tmp_path / "run", splits, *SETTINGS)


def file_of(context: Context) -> Path:
    return context.folder.localizer / "prototypes.safetensors"


def open_once(context: Context) -> dict[int, Prototypes]:
    with open_localizer(context, make_classifier()):
        return load_prototypes(file_of(context))


def test_prototypes_of_every_class_are_found_kept_and_read_again(context: Context) -> None:
    found = open_once(context)
    assert sorted(found) == [0, 1, 2]
    assert all(1 <= len(own.shown) <= 3 for own in found.values())
    before = file_of(context).read_bytes()
    open_once(context)  # reads the file
    assert file_of(context).read_bytes() == before
    file_of(context).unlink()
    open_once(context)
    assert file_of(context).read_bytes() == before


def test_an_image_is_compared_with_the_prototypes_as_the_recipe_says(context: Context) -> None:
    classifier, sample = make_classifier(), context.train.samples[3]
    image = context.train.load_image(sample)
    with open_localizer(context, classifier) as localizer:
        found = localizer(sample, image, 0)
    expected = prototype_score_maps(
        classifier,
        image,
        sample.tags,
        load_prototypes(file_of(context)),
        scales=(1.0, 0.5),
        similarity_temperature=0.1,
    )
    assert found.stopped_by is None
    assert found.maps.keys == (0, 1)
    assert all(torch.equal(own, other) for own, other in zip(found.maps.scales, expected.scales, strict=True))


def test_processes_that_share_the_images_find_the_same_prototypes(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_once(context)
    path, place = file_of(context), [1]
    alone = path.read_bytes()
    path.unlink()
    for module in (localizers, prototype_files, distributed):
        monkeypatch.setattr(module, "world_size", lambda: 2)
        monkeypatch.setattr(module, "rank", lambda: place[0])

    def wait() -> None:
        if place[0] == 1:
            raise InterruptedError  # the second process comes as far as its part

    for module in (prototype_files, distributed):
        monkeypatch.setattr(module, "wait_for_all", wait)
    with pytest.raises(InterruptedError):
        open_once(context)
    assert [found.name for found in path.parent.iterdir()] == ["features.1.safetensors"]
    place[0] = 0
    open_once(context)
    assert path.read_bytes() == alone


@pytest.mark.slow
def test_a_run_writes_seeds_and_the_prototypes_they_came_from(context: Context) -> None:
    run_stages(context, STAGES[:2])
    assert file_of(context).is_file()
    assert load_seed(context.folder.seed("train_4")).keys == (1, 2)
    assert load_seed(context.folder.seed("train_5")).keys == ()


@pytest.mark.slow
def test_joined_passes_make_the_same_seeds(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stages(context, STAGES[:2])
    alone = {sample.id: load_seed(context.folder.seed(sample.id)) for sample in context.train}
    for path in context.folder.seeds.rglob("*.*"):
        path.unlink()
    monkeypatch.setattr(localizing, "joins_passes", lambda _: True)  # as on a GPU
    runtime = replace(context.config.runtime, images_at_once=4)
    run_stages(replace(context, config=replace(context.config, runtime=runtime)), STAGES[:2])
    for sample_id, seed in alone.items():
        again = load_seed(context.folder.seed(sample_id))
        assert again.keys == seed.keys
        for own, other in zip(again.scales, seed.scales, strict=True):
            torch.testing.assert_close(own, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("method", "joins"), [("cam", True), ("lpcam", True), ("rib", False), ("clip_es", False)])
def test_passes_are_joined_where_all_images_go_through_the_same_weights(
    method: str, joins: bool, context: Context
) -> None:
    config = replace(
        context.config,
        localize=replace(context.config.localize, method=method),
        runtime=replace(context.config.runtime, images_at_once=4),
    )
    on_gpu = replace(context, config=config, device=torch.device("cuda"))
    assert localizing.joins_passes(on_gpu) == joins
    assert not localizing.joins_passes(replace(on_gpu, device=torch.device("cpu")))


def test_a_damaged_or_a_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prototypes.safetensors"
    with pytest.raises(ArtifactError, match="run the stage"):
        load_prototypes(path)
    write_bytes(path, save({"weight": np.zeros(2)}))
    with pytest.raises(ArtifactError, match="holds no prototypes; delete it and run the stage 'localize' again"):
        load_prototypes(path)


def test_without_any_tag_there_are_no_prototypes_and_no_maps(tmp_path: Path) -> None:
    context = make_context(tmp_path / "run", (make_dataset(tmp_path / "images", ((), ())), None), *SETTINGS)
    assert open_once(context) == {}
    path = tmp_path / "empty.safetensors"
    save_prototypes(path, {})
    assert load_prototypes(path) == {}


def test_seam_has_maps_of_its_own(context: Context) -> None:
    seam = (("classifier.method", "seam"), ("classifier.name", "critter38"))
    config = make_context(context.folder.root, (context.train, None), *SETTINGS, *seam).config
    with pytest.raises(ConfigError, match=r"'lpcam' works with classifier\.method plain, got seam"):
        check_ranges(config)
