from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.made_run import make_run
from tests.tiny import make_dataset, make_segmenter, with_settings
from weakseg.config.schema import EvaluateConfig, RunConfig, SegmenterCRFConfig
from weakseg.data.masks import read_mask
from weakseg.models.inference import predict_labels
from weakseg.ops.crf_settings import DEEPLAB_CRF, CRFSettings
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.networks import save_network
from weakseg.pipeline.segmenters import describe_segmenter
from weakseg.report.ablation import AblationRow, build_ablation
from weakseg.report.page import report
from weakseg.scoring.ablation import make_crf, predict_steps, prediction_steps, score_ablation
from weakseg.scoring.evaluate import EVALUATE
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.predictions import predict_split
from weakseg.scoring.scores import AblationScore, ClassifierScore, Metrics
from weakseg.scoring.summary import print_summary

pytestmark = pytest.mark.slow

CRF = SegmenterCRFConfig(enabled=True, gaussian=(2.0, 3.0), bilateral=(9.0, 30.0, 4.0), iterations=2)
EVERYTHING = EvaluateConfig(scales=(1.0, 0.5), flip=True, crf=CRF, ablate=True)
SETTINGS = CRFSettings((2.0, 3.0), (9.0, 30.0, 4.0), 2)


def make_context(root: Path, config: EvaluateConfig, *, truth: bool = True) -> Context:
    val = make_dataset(root / "images", ((0,), (1, 2)), split="val", sizes_hw=((24, 33), (17, 9)), truth=truth)
    folder = RunFolder(root / "run")
    segmenter = make_segmenter()
    info = describe_segmenter(segmenter, "critter", val.classes, weights_from="random")
    save_network(folder.network("segmenter"), segmenter, info, ())
    run = replace(with_settings(RunConfig(), ("runtime.workers", 0)), evaluate=config)
    return Context(run, folder, torch.device("cpu"), val, val, {})


def test_without_ablation_there_is_the_recipes_own_way_only() -> None:
    (step,) = prediction_steps(replace(EVERYTHING, ablate=False))
    assert (step.scales, step.flip, step.crf) == ((1.0, 0.5), True, SETTINGS)


def test_each_step_adds_to_the_one_before_and_the_last_is_the_recipes() -> None:
    steps = prediction_steps(EVERYTHING)
    assert [(step.name, step.scales, step.flip, step.crf) for step in steps] == [
        ("single scale", (1.0,), False, None),
        ("+ scales", (1.0, 0.5), False, None),
        ("+ flip", (1.0, 0.5), True, None),
        ("+ CRF", (1.0, 0.5), True, SETTINGS),
    ]
    assert steps[0].describe() == "scale 1, not flipped, no CRF"
    assert steps[3].describe() == "scales 1, 0.5, flipped too, CRF (2, 3), (9, 30, 4), 2 iterations"


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (EvaluateConfig(ablate=True), ["single scale"]),
        (EvaluateConfig(ablate=True, crf=CRF), ["single scale", "+ CRF"]),
        (EvaluateConfig(ablate=True, flip=True), ["single scale", "+ flip"]),
        (EvaluateConfig(ablate=True, scales=(2.0,)), ["single scale", "+ scales"]),
    ],
)
def test_what_the_recipe_leaves_out_is_no_step(config: EvaluateConfig, names: list[str]) -> None:
    steps = prediction_steps(config)
    assert [step.name for step in steps] == names
    assert (steps[-1].scales, steps[-1].flip, steps[-1].crf) == (config.scales, config.flip, make_crf(config.crf))


def test_a_crf_is_off_unless_enabled() -> None:
    assert make_crf(SegmenterCRFConfig()) is None
    assert make_crf(SegmenterCRFConfig(enabled=True)) == DEEPLAB_CRF


def test_every_step_predicts_what_it_would_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (25, 42, 3), dtype=np.uint8)
    segmenter = make_segmenter()
    steps = prediction_steps(EVERYTHING)
    for step, labels in zip(steps, predict_steps(segmenter, image, steps, max_side_px=30), strict=True):
        alone = predict_labels(segmenter, image, scales=step.scales, flip=step.flip, crf=step.crf, max_side_px=30)
        assert (labels == alone).all(), step.name


def test_the_masks_of_every_step_are_written_and_the_prediction_is_the_last(tmp_path: Path) -> None:
    context = make_context(tmp_path, EVERYTHING)
    predict_split(context)
    folder = context.folder
    files = {path.relative_to(folder.root).as_posix() for path in EVALUATE.files(context)}
    masks = {
        f"{place}/val_{n}.png" for n in (0, 1) for place in ("ablation/single", "ablation/scales", "ablation/flip")
    }
    assert files == {"metrics.json", "image_scores.csv", "predictions/val_0.png", "predictions/val_1.png", *masks}
    image = context.train.load_image(context.train.samples[0])
    expected = predict_labels(make_segmenter(), image, scales=(1.0, 0.5), flip=True, crf=SETTINGS)
    assert (read_mask(folder.prediction("val_0")) == expected).all()
    assert "ablation" in EVALUATE.outputs


def test_a_mask_of_any_step_that_is_gone_is_made_again(tmp_path: Path) -> None:
    context = make_context(tmp_path, EVERYTHING)
    predict_split(context)
    gone, kept = context.folder.ablated("flip", "val_1"), context.folder.prediction("val_0")
    before, written_ns = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    predict_split(context)
    assert gone.read_bytes() == before
    assert kept.stat().st_mtime_ns == written_ns


def test_steps_are_scored_by_hand(tmp_path: Path) -> None:
    context = make_context(tmp_path, replace(EVERYTHING, flip=False))
    for sample in context.train:
        truth = context.train.load_mask(sample)
        assert truth is not None
        known = np.where(truth == 255, 0, truth)
        save_mask(context.folder.ablated("single", sample.id), np.zeros_like(truth))
        save_mask(context.folder.ablated("scales", sample.id), np.where(known == 3, 0, known).astype(np.uint8))
        save_mask(context.folder.prediction(sample.id), known)
    notes: list[str] = []
    scores = score_ablation(context, notes, set())
    assert [(score.name, score.split, score.images) for score in scores] == [
        (name, "val", 2) for name in ("single scale", "+ scales", "+ CRF")
    ]
    assert scores[0].iou[1:] == (0.0, 0.0, 0.0)
    assert scores[1].iou[1:] == (1.0, 1.0, 0.0)
    assert scores[2].iou == (1.0, 1.0, 1.0, 1.0)
    assert [score.mean_iou == 1.0 for score in scores] == [False, False, True]
    assert notes == []


def test_nothing_to_leave_out_is_said(tmp_path: Path) -> None:
    notes: list[str] = []
    assert score_ablation(make_context(tmp_path, EvaluateConfig(ablate=True)), notes, set()) == ()
    assert notes == ["evaluate.ablate: neither scales, flip nor CRF are on, so there is nothing to leave out"]


def test_without_truth_validation_or_wish_there_is_no_ablation(tmp_path: Path) -> None:
    untrue = make_context(tmp_path / "a", EVERYTHING, truth=False)
    predict_split(untrue)
    assert score_ablation(untrue, [], set()) == ()
    assert score_ablation(replace(untrue, val=None), [], set()) == ()
    assert score_ablation(make_context(tmp_path / "b", replace(EVERYTHING, ablate=False)), [], set()) == ()


SCORES = tuple(
    AblationScore(name, f"as {name}", "val", 7, mean_iou, (0.5, None))
    for name, mean_iou in (("single scale", 0.5), ("+ flip", 0.512), ("+ CRF", None))
)


def make_metrics() -> Metrics:
    classifier = ClassifierScore(None, 0, None, "random")
    return Metrics("folder", ("background", "avo"), classifier, (), (), (), ablation=SCORES)


def test_scores_come_back_from_the_file(tmp_path: Path) -> None:
    save_metrics(tmp_path / "metrics.json", make_metrics())
    assert load_metrics(tmp_path / "metrics.json").ablation == SCORES


def test_the_report_says_what_each_step_adds() -> None:
    section = build_ablation(make_metrics())
    assert section is not None
    assert section.lead == ("Segmenter on val, 7 images, no tags given, no threshold. Each row adds to the one before.")
    assert section.rows == (
        AblationRow("single scale", "as single scale", "50.0", ""),
        AblationRow("+ flip", "as + flip", "51.2", "+1.2"),
        AblationRow("+ CRF", "as + CRF", "–", ""),
    )
    assert build_ablation(replace(make_metrics(), ablation=())) is None


def test_the_terminal_lists_the_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    folder = RunFolder(tmp_path)
    save_metrics(folder.metrics, make_metrics())
    print_summary(folder)
    line = "segmenter on val, 7 images, no tags, mIoU step by step: single scale 50.0, + flip 51.2, + CRF –"
    assert line in capsys.readouterr().out.splitlines()


def test_the_page_shows_the_steps_only_where_there_are_any(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    report(context)
    assert "At test time" not in context.folder.report.read_text(encoding="utf-8")
    save_metrics(context.folder.metrics, replace(load_metrics(context.folder.metrics), ablation=SCORES))
    report(context)
    page = context.folder.report.read_text(encoding="utf-8")
    assert '<a href="#ablation">At test time</a>' in page
    section = page.split('<section id="ablation"')[1].split("</section>")[0]
    assert [cell in section for cell in ("as + flip", ">51.2<", ">+1.2<", ">–<", "7 images")] == [True] * 5
