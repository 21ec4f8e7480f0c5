from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.photos import make_photos
from tests.studies.sizes import SMALLER_STUDY
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, DataError, UsageError, WeaksegError
from weakseg.pipeline.context import Context
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stage import Stage
from weakseg.studies.choices import choose_thresholds
from weakseg.studies.folder import Study, StudyRequest
from weakseg.studies.methods.study import study_methods

CONFIG = build_config(read_recipe("methods_critters"), SMALLER_STUDY)


def make_study(
    run: Path,
    *,
    config: RunConfig = CONFIG,
    methods: tuple[str, ...] = ("cam",),
    masks: tuple[str, ...] = ("crf",),
    seeds: tuple[int, ...] = (0,),
    thresholds: tuple[float, ...] = (0.25,),
    split: str = "train",
    redo: bool = False,
) -> Study:
    request = StudyRequest(run, redo=redo, command="weakseg study methods")
    return study_methods(config, request, methods=methods, masks=masks, seeds=seeds, thresholds=thresholds, split=split)


def forbid_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stage that has anything to do fail."""

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr("weakseg.pipeline.runner.remove_half_written", fail)


@pytest.mark.long
@pytest.mark.slow
def test_every_method_is_refined_in_every_way_and_goes_on_without_doing_anything_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, methods=(), masks=())
    assert all(path.exists() for path in study.folder.outputs)
    with study.folder.csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["CAM", "RIB", "SEAM", "CDA", "LPCAM"]
    for row in rows:
        assert all(
            0 <= float(row[name]) <= 1
            for name in ("map", "seeds", "crf", "crf_fixed", "psa", "irn", "irn_fixed", "par")
        )
        assert (row["crf"], row["crf_threshold"], row["seeds_seed0"]) == (row["crf_fixed"], "0.25", row["seeds"])
        assert float(row["irn"]) >= float(row["irn_fixed"])
    assert study.folder.times.read_text().splitlines()[0] == (
        "method,classify_s,localize_s,crf_s,psa_s,irn_s,par_s,"
        "localize_image_s,crf_image_s,psa_image_s,irn_image_s,par_image_s"
    )
    record = json.loads(study.folder.record.read_text())
    assert (record["study"], record["seed"], record["finished"]) == ("methods", 0, True)
    before = study.folder.csv.read_bytes(), study.folder.times.read_bytes(), study.folder.figure.read_bytes()

    forbid_stages(monkeypatch)
    again = make_study(tmp_path, methods=(), masks=()).folder
    assert (again.csv.read_bytes(), again.times.read_bytes(), again.figure.read_bytes()) == before
    fewer = make_study(tmp_path, methods=("seam", "rib"), masks=("psa",)).table
    assert fewer.column("method") == ("RIB", "SEAM")
    assert [column.name for column in fewer.columns if not column.hidden][-6:] == [
        "psa",
        "classify_s",
        "localize_s",
        "psa_s",
        "localize_image_s",
        "psa_image_s",
    ]


@pytest.mark.slow
def test_an_interrupted_study_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_study(tmp_path / "whole", seeds=(0, 1), thresholds=(0.1, 0.25))

    calls: list[str] = []

    def run_until_killed(context: Context, stages: Sequence[Stage], *, only: str) -> None:
        calls.append(only)
        if len(calls) == 6:  # the first masks are there, the second seeds are not
            raise KeyboardInterrupt
        run_stages(context, stages, only=only)

    with monkeypatch.context() as patched:
        patched.setattr("weakseg.studies.methods.runs.run_stages", run_until_killed)
        with pytest.raises(KeyboardInterrupt):
            make_study(tmp_path / "killed", seeds=(0, 1), thresholds=(0.1, 0.25))
    assert not (tmp_path / "killed" / "studies" / "methods" / "table.csv").exists()
    again = make_study(tmp_path / "killed", seeds=(0, 1), thresholds=(0.1, 0.25))
    assert again.folder.csv.read_bytes() == whole.folder.csv.read_bytes()
    assert again.table.column("crf_threshold_seed1")[0] in (0.1, 0.25)


@pytest.mark.slow
def test_superpixels_stand_in_for_masks_to_merge_and_each_seed_has_those_of_its_own_images(tmp_path: Path) -> None:
    study = make_study(tmp_path, masks=("merge",), seeds=(0, 1))
    assert all(0 <= value <= 1 for value in study.table.column("merge"))
    one, other = (
        sorted((study.folder.results / f"seed-{seed}" / "superpixels").iterdir(), key=lambda path: path.name)
        for seed in (0, 1)
    )
    assert one
    common = {path.name for path in one} & {path.name for path in other}
    assert any((one[0].parent / name).read_bytes() != (other[0].parent / name).read_bytes() for name in common)


@pytest.mark.slow
def test_seeds_of_the_validation_split_are_scored_when_asked_for(tmp_path: Path) -> None:
    study = make_study(tmp_path, masks=("irn",), split="val")
    assert study.table.title.endswith("critters val, 2 images, tags given")


def test_other_settings_are_refused_until_redo_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weakseg.studies.methods.study.SeedRuns", stop)
    with pytest.raises(KeyboardInterrupt):
        make_study(tmp_path)
    other = with_settings(CONFIG, ("classifier.epochs", 4))
    with pytest.raises(ConfigError, match=r"other settings: classifier\.epochs was 2, is 4; add --redo"):
        make_study(tmp_path, config=other)
    with pytest.raises(ConfigError, match="split was train, is val"):
        make_study(tmp_path, split="val")
    with pytest.raises(KeyboardInterrupt):
        make_study(tmp_path, config=other, redo=True)


def test_the_methods_of_the_recipe_are_no_settings_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weakseg.studies.methods.study.SeedRuns", stop)
    varied = (
        ("classifier.method", "seam"),
        ("localize.method", "rib"),
        ("refine.method", "none"),
        ("data.critters.seed", 5),
        ("runtime.seed", 5),
        ("runtime.workers", 1),
    )
    for config in (CONFIG, with_settings(CONFIG, *varied)):
        with pytest.raises(KeyboardInterrupt):
            make_study(tmp_path, config=config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("cma",)}, "--methods: expected some of cam, rib, seam, cda, lpcam, clip_es, .*, got 'cma'"),
        ({"masks": ("none",)}, "--masks: expected some of crf, psa, irn, par, merge, got 'none'"),
        ({"seeds": ()}, "--seeds: expected one or more whole numbers .* got none"),
        ({"seeds": (0, -1)}, "--seeds: expected one or more whole numbers from 0 on without repeats, got 0 -1"),
        ({"seeds": (0, 1, 0)}, "--seeds: .* without repeats, got 0 1 0"),
        ({"methods": ("cam", "cam")}, "--methods: expected every value once, got cam twice"),
        ({"masks": ("crf", "psa", "crf")}, "--masks: expected every value once, got crf twice"),
        ({"thresholds": (0.1, 0.1)}, "--thresholds: expected every value once, got 0.1 twice"),
        ({"thresholds": (1.5,)}, "--thresholds: expected values within 0..1, got 1.5"),
        ({"split": "test"}, "--split: expected one of train, val, got 'test'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_study(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ((("classifier.name", "critter"),), {"methods": ("seam",)}, "classifier.name: expected one of .* got critter"),
        ((("classifier.name", "critter"),), {"masks": ("psa",)}, "refine.psa.name: expected the .* own, critter"),
        ((("classifier.epochs", 3),), {"methods": ("cda",)}, "classifier.epochs: expected an even number"),
        ((("data.critters.val_images", 0),), {"split": "val"}, "--split val: the recipe has no validation split"),
        ((("data.root", "x"),), {}, "data.root: a study draws critters"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, settings: tuple[tuple[str, object], ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(tmp_path / "run", config=with_settings(CONFIG, *settings), **options)
    assert not (tmp_path / "run").exists()


def test_data_without_truth_are_refused_before_any_training(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", count=6)
    photos = with_settings(CONFIG, ("data.name", "folder"), ("data.root", str(tmp_path / "photos")), ("data.val", None))
    with pytest.raises(DataError, match=r"folder train: no tagged image has a truth mask .* data set with masks"):
        make_study(tmp_path / "run", config=photos)
    assert not list((tmp_path / "run").rglob("classifier"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((("data.root", "nowhere"),), r"data\.root: there is no folder .*nowhere"),
        ((("classifier.weights", "gone.pth"),), r"^classifier\.weights: .*gone\.pth.* no such file"),
        ((("refine.psa.weights", "gone.pth"),), r"^refine\.psa\.weights: .*gone\.pth.* no such file"),
        ((("refine.saliency.folder", "gone"),), r"^refine\.saliency\.folder: there is no folder .*gone"),
    ],
)
def test_redo_removes_nothing_when_something_the_study_needs_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[tuple[str, object], ...], message: str
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weakseg.studies.methods.study.SeedRuns", stop)
    make_photos(tmp_path / "photos", count=6)
    photos = with_settings(CONFIG, ("data.name", "folder"), ("data.root", str(tmp_path / "photos")))
    with pytest.raises(KeyboardInterrupt):
        make_study(tmp_path / "run", config=photos, masks=())
    result = tmp_path / "run" / "studies" / "methods" / "results" / "seed-0" / "result"
    result.parent.mkdir(parents=True)
    result.touch()
    with pytest.raises(WeaksegError, match=message):
        make_study(tmp_path / "run", config=with_settings(photos, *settings), masks=(), redo=True)
    assert result.exists()


def test_the_recipes_threshold_is_always_among_those_of_the_crf() -> None:
    assert choose_thresholds(CONFIG, ()) == (0.125, 0.25, 0.5)
    assert choose_thresholds(CONFIG, (0.4, 0.1)) == (0.1, 0.25, 0.4)
    high = replace(CONFIG, refine=replace(CONFIG.refine, background_threshold=0.8))
    assert choose_thresholds(high, ()) == (0.4, 0.8)
