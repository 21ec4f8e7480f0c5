from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import SIZE_HW, make_dataset, with_settings
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.ops.metrics import ThresholdSweep
from weakseg.pipeline.artifacts import save_seed
from weakseg.studies.rib.figure import MAX_TICKS, SIZE_IN, draw_rib
from weakseg.studies.rib.passes import Adapted, Pass
from weakseg.studies.rib.table import Row, make_table
from weakseg.studies.rib.values import SWEEPS
from weakseg.studies.table import Table
from weakseg.types import ScoreMaps

CONFIG = with_settings(RunConfig(), ("localize.rib.iterations", 3), ("evaluate.threshold_steps", 10))


def make_maps(dataset: Dataset, sample_id: str, fill: float) -> ScoreMaps:
    """A map of 1 on the object and `fill` elsewhere, at the size at which `ScoreMaps.full` does not resample it."""
    sample = next(sample for sample in dataset if sample.id == sample_id)
    truth = dataset.load_mask(sample)
    assert truth is not None
    values = np.full((32, 48), fill, np.float32)
    values[: SIZE_HW[0], : SIZE_HW[1]][truth == sample.keys[0] + 1] = 1.0
    return ScoreMaps(sample.keys, (torch.from_numpy(values)[None],), SIZE_HW)


def write_pass(one: Pass, dataset: Dataset, how: Mapping[str, Adapted], fills: Mapping[int, float]) -> None:
    """Write a pass whose maps after n iterations are `fills[n]` off the object."""
    for sample_id, adapted in how.items():
        for iterations in range(1, adapted.iterations + 1) if one.keeps_steps else (adapted.iterations,):
            save_seed(one.seed(iterations, sample_id), make_maps(dataset, sample_id, fills[iterations]))
        one.record(sample_id).write_text(json.dumps(asdict(adapted)))


def make_rows(root: Path, dataset: Dataset) -> list[Row]:
    cam, rib = Pass(root / "cam", CONFIG), Pass(root / "rib", CONFIG, keeps_steps=True)
    write_pass(
        cam,
        dataset,
        {id: Adapted(0, None, time_s, ()) for id, time_s in (("train_0", 9.0), ("train_1", 1.0))},
        {0: 0.85},
    )
    write_pass(
        rib,
        dataset,
        {
            "train_0": Adapted(3, "completed", 3.5, (1.0, 2.0, 3.0)),
            "train_1": Adapted(2, "area", 2.5, (1.5, 2.25)),
        },
        {1: 0.85, 2: 0.55, 3: 0.25},
    )
    return [Row("CAM", cam), *(Row(str(k), rib, limit=k) for k in (1, 2, 3)), Row("end", rib)]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "images", ((0,), (1,)))


@pytest.fixture
def table(tmp_path: Path, dataset: Dataset) -> Table:
    return make_table(dataset, make_rows(tmp_path, dataset), SWEEPS["K"], CONFIG, faults=set())


def test_the_title_says_what_was_measured_on_what(table: Table) -> None:
    assert table.title == "RIB over K: seeds on train, 2 images, tags given, oracle thresholds"


def test_perfect_maps_score_one_at_the_lowest_threshold_that_clears_their_background(table: Table) -> None:
    assert table.column("value") == ("CAM", "1", "2", "3", "end")
    assert table.column("mean_iou") == table.column("precision") == table.column("recall") == (1.0,) * 5
    # At 3 the first image's maps have gone on to 0.25, the second's have stopped at 0.55.
    assert table.column("oracle_threshold") == (0.9, 0.9, 0.6, 0.6, 0.6)


def test_scores_are_those_of_a_sweep_over_all_images(tmp_path: Path, dataset: Dataset) -> None:
    one = Pass(tmp_path / "half", CONFIG)
    sweep = ThresholdSweep(4, np.arange(10) / 10)
    for sample in dataset:
        maps = ScoreMaps(sample.keys, (torch.rand(1, 6, 9, generator=torch.Generator().manual_seed(1)),), SIZE_HW)
        save_seed(one.seed(0, sample.id), maps)
        one.record(sample.id).write_text(json.dumps(asdict(Adapted(0, None, 1.0, ()))))
        truth = dataset.load_mask(sample)
        assert truth is not None
        sweep.update(maps.full().numpy(), maps.keys, truth)
    row = make_table(dataset, [Row("CAM", one)], SWEEPS["K"], CONFIG, faults=set()).rows[0]
    result = sweep.result()
    best = result.best_index
    expected = (result.best_mean_iou, result.best_threshold, result.precision[best], result.recall[best])
    assert row[1:5] == pytest.approx(expected, abs=1e-6)


def test_each_k_sees_what_had_happened_by_then(table: Table) -> None:
    assert table.column("iterations") == (None, 1.0, 2.0, 2.5, 2.5)
    assert table.column("completed") == (None, 1.0, 0.5, 0.5, 0.5)
    assert table.column("area") == (None, 0.0, 0.5, 0.5, 0.5)
    assert table.column("logit") == table.column("diverged") == (None, 0.0, 0.0, 0.0, 0.0)


def test_seconds_are_the_median_until_then(table: Table) -> None:
    assert table.column("seconds_per_image") == (5.0, 1.25, 2.125, 2.625, 3.0)


def test_the_notes_tell_all_other_settings_and_how_k_is_to_be_read(table: Table) -> None:
    assert table.notes[0].startswith("folder train; precision and recall")
    assert table.notes[1].startswith(
        "K is localize.rib.iterations, 3 in the recipe; learning_rate 8e-06, pooling gndrp"
    )
    assert "over which the learning rate decays" in table.notes[2]


def test_another_sweep_names_its_own_setting_and_has_no_note_on_k(tmp_path: Path, dataset: Dataset) -> None:
    table = make_table(dataset, make_rows(tmp_path, dataset)[:1], SWEEPS["margin"], CONFIG, faults=set())
    assert table.notes[1].startswith("margin is localize.rib.logit_stop, 600.0 in the recipe; iterations 3")
    assert "logit_stop 6" not in table.notes[1].replace("logit_stop, ", "")
    assert len(table.notes) == 2


def test_an_adaptation_without_any_map_counts_as_it_ended(tmp_path: Path, dataset: Dataset) -> None:
    one = Pass(tmp_path / "rib", CONFIG, keeps_steps=True)
    for sample in dataset:
        save_seed(one.seed(0, sample.id), ScoreMaps(sample.keys, (torch.zeros(1, 3, 5),), SIZE_HW))
        one.record(sample.id).write_text(json.dumps(asdict(Adapted(0, "diverged", 0.5, ()))))
    table = make_table(dataset, [Row("2", one, limit=2)], SWEEPS["K"], CONFIG, faults=set())
    assert (table.column("iterations"), table.column("diverged")) == ((0.0,), (1.0,))
    assert table.column("seconds_per_image") == (0.5,)
    assert table.column("precision") == (None,)  # nothing is foreground


def test_the_figure_draws_every_value_and_labels_its_axes(table: Table) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN)
    draw_rib(figure, table, SWEEPS["K"])
    scores, foreground, stops = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == [SWEEPS["K"].label] * 3
    assert [axes.get_ylabel().endswith("(%)") for axes in figure.axes] == [True] * 3
    assert list(scores.lines[0].get_ydata()) == [100.0] * 4
    assert [tick.get_text() for tick in foreground.get_xticklabels()] == ["1", "2", "3", "end"]
    assert [bar.get_height() for bar in stops.patches] == [100, 50, 50, 50, 0, 50, 50, 50]
    assert figure.get_suptitle() == table.title


def test_an_axis_of_scores_spans_enough_not_to_magnify_noise(table: Table) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN)
    rows = tuple((row[0], 0.5 + 0.001 * place, *row[2:]) for place, row in enumerate(table.rows))
    draw_rib(figure, replace(table, rows=rows), SWEEPS["K"])
    assert figure.axes[0].get_ylim() == pytest.approx((50.2 - 2.5, 50.2 + 2.5))


def test_with_many_values_some_go_unlabelled(table: Table) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_IN)
    rows = (table.rows[0], *((str(k), *table.rows[1][1:]) for k in range(1, 26)))
    draw_rib(figure, Table(table.title, table.columns, rows, ()), SWEEPS["K"])
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["1", "4", "7", "10", "13", "16", "19", "22", "25"]
    assert len(labels) <= MAX_TICKS
