from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.made_run import make_run, make_seed
from tests.tiny import with_settings
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.comparison import choose_compared, compared_iterations
from weakseg.pipeline.context import Context
from weakseg.report.comparison import build_comparison
from weakseg.report.page import report
from weakseg.scoring.compare import score_comparison
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.types import ScoreMaps

pytestmark = pytest.mark.slow


def make_compared_run(root: Path, *, truth: bool = True) -> Context:
    """A run whose two tagged validation images are compared: CAM finds the wide ring only, RIB the class."""
    made = make_run(root, val_tags=(1, None, 0), truth=lambda id: truth)
    config = with_settings(made.config, ("localize.compared_images", 5), ("localize.rib.iterations", 4))
    context = replace(made, config=config)
    compared = choose_compared(config.localize, [context.train, context.val])
    for sample in compared:
        for number in compared_iterations(config.localize):
            seed = make_seed(sample, sample.keys[0])
            blurred = ScoreMaps(seed.keys, (seed.scales[0].sqrt().sqrt(),), seed.size_hw)
            flat = ScoreMaps(seed.keys, (torch.ones_like(seed.scales[0]),), seed.size_hw)
            save_seed(context.folder.adaptation(number, sample.id), {0: flat, 2: blurred, 4: seed}[number])
    return context


def with_comparison(context: Context) -> Context:
    metrics = load_metrics(context.folder.metrics)
    save_metrics(context.folder.metrics, replace(metrics, compared=score_comparison(context, [], set())))
    return context


def test_every_state_is_swept_over_the_same_images(tmp_path: Path) -> None:
    compared = score_comparison(make_compared_run(tmp_path), [], set())
    assert [(seeds.iterations, seeds.curve.images, seeds.curve.split) for seeds in compared] == [
        (0, 2, "val"),
        (2, 2, "val"),
        (4, 2, "val"),
    ]
    cam, _, rib = (seeds.curve.best_mean_iou for seeds in compared)
    assert cam is not None
    assert rib is not None
    assert rib > cam + 0.2


def test_without_truth_the_comparison_is_shown_but_not_scored(tmp_path: Path) -> None:
    notes: list[str] = []
    context = make_compared_run(tmp_path, truth=False)
    assert score_comparison(context, notes, set()) == ()
    assert notes == ["val: no truth masks of the compared images, so CAM and RIB are only shown"]
    section = build_comparison(context, load_metrics(context.folder.metrics))
    assert section is not None
    assert (section.rows, section.chart) == ((), None)
    captions = [panel.caption for panel in section.images[0].panels]
    assert captions == ["Image", "bex: CAM", "bex: after 2", "bex: after 4"]


def test_the_section_tells_scores_gains_and_thresholds(tmp_path: Path) -> None:
    context = with_comparison(make_compared_run(tmp_path))
    section = build_comparison(context, load_metrics(context.folder.metrics))
    assert section is not None
    assert section.lead.startswith("2 tagged images of val, evenly spaced, tags given;")
    assert [row.name for row in section.rows] == ["CAM", "RIB after 2 iterations", "RIB after 4 iterations"]
    assert section.rows[0].difference == ""
    gain = float(section.rows[2].mean_iou) - float(section.rows[0].mean_iou)
    assert float(section.rows[2].difference) == pytest.approx(gain, abs=0.11)
    assert section.rows[2].threshold.endswith("(oracle)")
    assert section.chart is not None
    assert section.chart.title == "CAM and RIB seeds on 2 images of val, tags given"
    assert [image.id for image in section.images] == ["val_0", "val_2"]
    assert section.images[0].panels[-1].caption == "Truth"


def test_runs_that_compare_nothing_have_no_such_section(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    assert score_comparison(context, [], set()) == ()
    assert build_comparison(context, load_metrics(context.folder.metrics)) is None
    report(context)
    assert 'id="comparison"' not in context.folder.report.read_text()


def test_the_page_shows_the_section(tmp_path: Path) -> None:
    context = with_comparison(make_compared_run(tmp_path))
    report(context)
    page = context.folder.report.read_text()
    assert 'href="#comparison"' in page
    assert "RIB after 4 iterations" in page
    assert 'alt="bex: after 2 of val_0"' in page
