from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.studies.sizes import SMALLER_STUDY
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.voc import open_voc
from weakseg.errors import ArtifactError, ConfigError, UsageError
from weakseg.studies.context.study import study_context, with_context
from weakseg.studies.folder import Study, StudyRequest

CONFIG = build_config(read_recipe("methods_critters"), (*SMALLER_STUDY, "--classifier.name=critter"))


def make_study(
    run: Path,
    *,
    config: RunConfig = CONFIG,
    values: tuple[float, ...] = (0.3, 0.95),
    seeds: tuple[int, ...] = (0,),
    split: str = "train",
) -> Study:
    request = StudyRequest(run, command="weakseg study context")
    return study_context(config, request, values=values, seeds=seeds, thresholds=(0.25,), split=split)


@pytest.mark.slow
def test_every_strength_has_a_row_with_the_gain_of_every_seed(tmp_path: Path) -> None:
    study = make_study(tmp_path, seeds=(0, 1))
    with study.folder.csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["p_context"] for row in rows] == ["0.3", "0.95"]
    for row in rows:
        for subject in ("map", "map_free", "seeds", "crf", "crf_fixed"):
            for seed in (0, 1):
                cam, cda, gain = (float(row[f"{who}_{subject}_seed{seed}"]) for who in ("cam", "cda", "gain"))
                assert gain == pytest.approx(cda - cam, abs=2e-6)
    assert study.folder.figure.exists()
    before = study.folder.csv.read_bytes()
    assert make_study(tmp_path, seeds=(0, 1)).folder.csv.read_bytes() == before
    assert make_study(tmp_path, values=(0.95,)).table.column("p_context") == ("0.95",)

    root = study.folder.results / "seed-0-0.95"
    biased, free = (open_voc(root / name, split="val") for name in ("data", "data-free"))
    assert [sample.id for sample in biased] == [sample.id for sample in free]
    (root / "cam" / "score-free.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"score-free\.json is damaged .* start the study again"):
        make_study(tmp_path)


@pytest.mark.slow
def test_without_validation_images_there_is_no_map(tmp_path: Path) -> None:
    table = make_study(tmp_path, config=with_settings(CONFIG, ("data.critters.val_images", 0)), values=(0.6,)).table
    assert table.column("cam_map") == table.column("gain_map_free") == (None,)
    assert table.column("gain_seeds") != (None,)


def test_only_the_context_changes() -> None:
    assert with_context(CONFIG, 0.1) == with_settings(CONFIG, ("data.critters.p_context", 0.1))


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        ((("data.name", "voc"),), (0.3,), "data.name: only the context of critters can be chosen, got voc"),
        ((("classifier.epochs", 3),), (0.3,), "classifier.epochs: expected an even number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, settings: tuple[tuple[str, object], ...], values: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(tmp_path / "run", config=with_settings(CONFIG, *settings), values=values)
    assert not (tmp_path / "run").exists()


def test_a_chance_above_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--values: data\.critters\.p_context is a chance within 0\.\.1, got 1\.5"):
        make_study(tmp_path / "run", values=(0.3, 1.5))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seeds", [(-1,), (0, 0)])
def test_a_seed_that_is_negative_or_given_twice_is_refused(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"--seeds: .* without repeats, got (-1|0 0)"):
        make_study(tmp_path / "run", seeds=seeds)
    assert not (tmp_path / "run").exists()


def test_a_chance_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--values: expected every value once, got 0\.3 twice"):
        make_study(tmp_path / "run", values=(0.3, 0.6, 0.3))
    assert not (tmp_path / "run").exists()
