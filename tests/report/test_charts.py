from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_run import make_run
from weakseg.files import write_json
from weakseg.report.charts import Key, build_threshold_charts, build_training_charts
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import ClassifierScore, Curve, Metrics

NO_SCORES = Metrics("folder", ("background", "a"), ClassifierScore("val", 4, None, "random"), (), (), ())


pytestmark = pytest.mark.usefixtures("undrawn")


def make_metrics(curve: Curve) -> Metrics:
    return Metrics("folder", ("background", "a"), ClassifierScore("val", 4, None, "random"), (), (curve,), ())


def test_threshold_chart_names_its_split_its_images_and_both_thresholds(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    metrics = load_metrics(context.folder.metrics)
    chart = build_threshold_charts(metrics)[1]
    assert chart.title == "Seeds on val, 3 images, tags given"
    assert "at 0.3, the best of all tried on this truth (oracle)" in chart.caption
    assert "The masks made from them at 0.25 (fixed)" in chart.caption
    assert chart.keys[-2:] == (Key("oracle, 0.3", "dot"), Key("fixed, 0.25", "rule"))


def test_a_threshold_that_the_run_has_chosen_is_marked_too(tmp_path: Path) -> None:
    metrics = load_metrics(make_run(tmp_path).folder.metrics)
    chosen = (
        replace(score, threshold_choice="label-free") if score.subject == "masks" else score for score in metrics.scores
    )
    chart = build_threshold_charts(replace(metrics, scores=tuple(chosen)))[1]
    assert "The masks made from them at 0.25 (label-free)" in chart.caption
    assert chart.keys[-1] == Key("label-free, 0.25", "rule")


def test_the_lowest_of_equally_good_thresholds_is_marked() -> None:
    curve = Curve("val", 4, (0.0, 0.25, 0.5), (0.2, 0.6, 0.6), (0.5, 0.5, None), (1.0, 0.5, 0.0))
    (chart,) = build_threshold_charts(make_metrics(curve))
    assert chart.caption == "Mean IoU of the seeds is 60.0 at 0.25, the best of all tried on this truth (oracle)."


def test_curve_without_any_defined_value_has_no_best_threshold() -> None:
    curve = Curve("val", 4, (0.0, 0.5), (None, None), (None, None), (None, None))
    (chart,) = build_threshold_charts(make_metrics(curve))
    assert chart.caption == "No threshold has a defined mean IoU."
    assert [key.mark for key in chart.keys] == ["main", "second", "third"]


def test_training_charts_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=None)
    charts = build_training_charts(context.folder, NO_SCORES)
    assert [chart.title for chart in charts] == [
        "Classifier: loss",
        "Classifier: learning rate",
        "Segmenter: loss",
        "Segmenter: learning rate",
    ]
    assert charts[0].caption == "Mean over each epoch's steps; 0.5000 in the last."


def test_best_epoch_is_the_earliest_among_equals_and_undefined_ones_are_passed_over(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=(0,))
    records = [
        {"epoch": k + 1, "loss": 1.0, "learning_rate": 0.1, "metrics": {"map": value}}
        for k, value in enumerate([None, 0.75, 0.75, 0.5])
    ]
    write_json(context.folder.network("classifier").history, records)
    chart = build_training_charts(context.folder, NO_SCORES)[1]
    assert chart.title == "Classifier: mAP on val, 4 images"
    assert chart.caption == "50.0 after the last epoch, 75.0 at best (epoch 2)."


@pytest.mark.parametrize("values", [[None, None, 0.75], [None]])
def test_a_single_value_among_many_epochs_is_no_curve(values: list[float | None], tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=(0,))
    records = [
        {"epoch": k + 1, "loss": 1.0, "learning_rate": 0.1, "metrics": {} if value is None else {"map": value}}
        for k, value in enumerate(values)
    ]
    write_json(context.folder.network("classifier").history, records)
    titles = [chart.title for chart in build_training_charts(context.folder, NO_SCORES)]
    assert [title for title in titles if title.startswith("Classifier")] == [
        "Classifier: loss",
        "Classifier: learning rate",
    ]
