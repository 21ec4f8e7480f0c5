from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.studies.sizes import TINY_STUDY
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.config.ranges import check_ranges
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import load_info, save_mask
from weakseg.pipeline.records import read_records
from weakseg.studies.methods.rows import configure_method, usual_methods
from weakseg.studies.methods.runs import (
    Refinement,
    SeedRuns,
    count_updates,
    restrict_config,
    with_seed,
)

CONFIG = restrict_config(build_config(read_recipe("methods_critters"), TINY_STUDY), split="train")


def differing(one: RunConfig, other: RunConfig) -> set[str]:
    """Names of the settings of classifier and localize that differ."""
    return {
        f"{section}.{name}"
        for section in ("classifier", "localize")
        for name, value in vars(getattr(one, section)).items()
        if getattr(getattr(other, section), name) != value
    }


def test_methods_differ_in_nothing_but_the_method() -> None:
    cam = configure_method(CONFIG, "cam")
    assert differing(configure_method(CONFIG, "rib"), cam) == {"localize.method"}
    assert differing(configure_method(CONFIG, "seam"), cam) == {"classifier.method"}
    assert differing(configure_method(CONFIG, "cda"), cam) == {"classifier.epochs"}


def test_a_method_is_the_same_whatever_method_the_recipe_has() -> None:
    other = with_settings(
        CONFIG, ("classifier.method", "seam"), ("classifier.cda.masks", "elsewhere"), ("localize.method", "rib")
    )
    for name in usual_methods(CONFIG):
        assert configure_method(other, name) == configure_method(CONFIG, name)


def test_cda_gets_half_the_epochs_and_none_that_cannot_be_halved() -> None:
    six = with_settings(CONFIG, ("classifier.epochs", 6))
    assert configure_method(six, "cda").classifier.epochs == 3
    with pytest.raises(ConfigError, match=r"classifier\.epochs: expected an even number, .* got 5"):
        configure_method(with_settings(CONFIG, ("classifier.epochs", 5)), "cda")


def test_a_seed_is_that_of_images_and_networks() -> None:
    config = with_seed(CONFIG, 7)
    assert (config.data.critters.seed, config.runtime.seed) == (7, 7)


def test_only_what_is_scored_gets_seeds() -> None:
    assert restrict_config(CONFIG, split="train").localize.splits == ("train",)
    assert restrict_config(CONFIG, split="val").localize.splits == ("train", "val")


@pytest.mark.parametrize("recipe", ["methods_photographs", "folder", "folder_quick"])
def test_a_run_of_a_study_can_be_gone_on_with(recipe: str) -> None:
    config = restrict_config(build_config(read_recipe(recipe), ["--data.root=photos"]), split="train")
    check_ranges(config)  # the masks have no confidence, so that the segmenter must not ask for it


def test_critters_of_several_seeds_cannot_lie_in_one_place() -> None:
    with pytest.raises(ConfigError, match=r"data\.root: a study draws critters for every seed .* got there"):
        restrict_config(with_settings(CONFIG, ("data.root", "there")), split="train")


@pytest.mark.parametrize("section", ["classifier", "refine.irn", "refine.psa"])
def test_a_study_of_methods_trains_its_networks_itself(section: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{section}\.released: a study of methods trains its .* got a\.pth$"):
        restrict_config(with_settings(CONFIG, (f"{section}.released", "a.pth")), split="train")


@pytest.mark.parametrize(
    ("refinement", "name"),
    [(Refinement("psa"), "psa"), (Refinement("crf", 0.1), "crf-0.1"), (Refinement("irn"), "irn")],
)
def test_a_refinement_names_its_folder(refinement: Refinement, name: str) -> None:
    assert refinement.name == name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SeedRuns:
    """Runs of one seed; tests ask for what they need. After less training maps are negative everywhere."""
    enough = with_settings(
        CONFIG,
        ("data.critters.images", 24),
        ("classifier.epochs", 8),
        ("classifier.name", "critter"),
        ("classifier.optim.learning_rate", 0.1),
    )
    return SeedRuns(with_seed(enough, 0), tmp_path_factory.mktemp("seed"))


@pytest.mark.slow
def test_rib_adapts_cams_classifier(runs: SeedRuns) -> None:
    cam, rib = runs.seeds("cam"), runs.seeds("rib")
    assert cam.folder.network("classifier").model.samefile(rib.folder.network("classifier").model)
    assert count_updates(rib) == count_updates(cam) == 48


@pytest.mark.slow
def test_masks_share_classifier_and_seeds_and_are_those_of_the_threshold(runs: SeedRuns) -> None:
    seeds = runs.seeds("cam")
    strict, lax = (runs.masks("cam", Refinement("crf", threshold)) for threshold in (0.99, 0.0))
    assert [context.folder.root.name for context in (strict, lax)] == ["cam-crf-0.99", "cam-crf-0"]
    for context in (strict, lax):
        for sample in context.train:
            assert context.folder.seed(sample.id).samefile(seeds.folder.seed(sample.id))
    masks = [[context.folder.mask(sample.id).read_bytes() for sample in context.train] for context in (strict, lax)]
    assert masks[0] != masks[1]
    records = read_records(strict.folder)
    assert records["classify"].fingerprint == read_records(seeds.folder)["classify"].fingerprint
    assert records["refine"].finished


@pytest.mark.slow
def test_cda_pastes_objects_of_cams_masks_and_makes_as_many_updates(runs: SeedRuns) -> None:
    cam, masked = runs.seeds("cam"), runs.masks("cam", runs.donor_refinement())
    for sample in cam.train:  # as if the method was a good one, so that there are objects to paste
        truth = cam.train.load_mask(sample)
        assert truth is not None
        save_mask(masked.folder.mask(sample.id), truth)
    cda = runs.seeds("cda")
    source = cda.config.classifier.cda.masks
    assert source is not None
    assert Path(source).samefile(cam.folder.root.parent / "cam-crf-0.25")
    assert (cam.config.classifier.epochs, cda.config.classifier.epochs) == (8, 4)
    assert any(entry["kept"] for entry in json.loads(cda.folder.network("classifier").donors.read_text()))
    assert count_updates(cda) == count_updates(cam) == 48


@pytest.mark.slow
def test_cda_without_any_object_is_half_a_training(runs: SeedRuns) -> None:
    donors = runs.seeds("cda").folder.network("classifier").donors
    kept = donors.read_bytes()
    donors.write_text(json.dumps([{"name": "cat", "kept": 0}]))
    assert count_updates(runs.seeds("cda")) == 24
    donors.write_text("{")
    with pytest.raises(ArtifactError, match=r"donors\.json is missing or damaged .* start the study again"):
        count_updates(runs.seeds("cda"))
    donors.write_bytes(kept)


@pytest.mark.slow
def test_irnet_gets_a_classifier_of_its_own_kind_once_for_all_methods(tmp_path: Path) -> None:
    runs = SeedRuns(CONFIG, tmp_path)
    for name in ("cam", "rib"):
        context = runs.masks(name, Refinement("irn"))
        weights = context.config.refine.irn.weights
        assert Path(weights).samefile(context.folder.root.parent / "backbone" / "classifier" / "model.safetensors")
        assert load_info(Path(weights))["name"] == "critter"
        assert load_info(context.folder.network("refiner").model)["weights_from"] == weights


def test_no_backbone_is_trained_where_the_classifiers_own_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = SeedRuns(with_settings(CONFIG, ("classifier.name", "critter")), tmp_path)
    asked: list[RunConfig] = []

    def note(context: object, stages: object, *, only: str) -> None:
        asked.append(context.config)  # type: ignore[attr-defined]

    monkeypatch.setattr("weakseg.studies.methods.runs.run_stages", note)
    monkeypatch.setattr("weakseg.studies.methods.runs.share_stages", lambda *arguments: None)
    runs.masks("cam", Refinement("irn"))
    assert {config.classifier.name for config in asked} == {"critter"}
    assert asked[-1].refine.irn.weights == "classifier"
    assert not (tmp_path / "backbone").exists()


def test_every_run_names_the_data_that_it_shares(tmp_path: Path) -> None:
    runs = SeedRuns(replace(CONFIG), tmp_path / "seed-0")
    assert runs.context.config.data.root == str(tmp_path / "seed-0" / "data")
    assert len(runs.context.train) == 12
