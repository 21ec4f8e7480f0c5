from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_run import HEIGHT, WIDTH, make_run
from tests.report.test_page import parse, read_report
from weakseg.config.schema import ReportConfig
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.report.health import HealthSection, build_health_section
from weakseg.scoring.metrics_file import load_metrics, save_metrics


def spoil(context: Context) -> Context:
    """Leave no pixel of `avo`, and store what that says."""
    for dataset in (context.train, context.val):
        for sample in dataset or ():
            if sample.keys == (0,):
                save_mask(context.folder.mask(sample.id), np.zeros((HEIGHT, WIDTH), np.uint8))
    metrics = replace(load_metrics(context.folder.metrics), health=check_masks(context).health)
    save_metrics(context.folder.metrics, metrics)
    return context


def section_of(context: Context) -> HealthSection:
    found = build_health_section(context, load_metrics(context.folder.metrics))
    assert found is not None
    return found


def test_the_worst_class_comes_first_with_its_images(tmp_path: Path) -> None:
    found = section_of(spoil(make_run(tmp_path)))
    assert (found.verdict, found.word) == ("bad", "Bad")
    assert [(row.swatch.name, row.verdict, row.empty) for row in found.troubled] == [("avo", "bad", "2")]
    assert [(row.swatch.name, row.verdict) for row in found.others] == [("bex", "unsuspicious"), ("cim", "no images")]
    assert found.lead == "1 bad of 2 classes on 6 images of train and val, 1 of them without tags."
    (group,) = found.groups
    assert group.heading == "avo: 2 of 2 tagged images"
    assert [image.id for image in group.images] == ["train_0", "val_1"]
    assert [panel.caption for panel in group.images[0].panels] == ["Image", "Seed: avo", "Pseudo mask"]


def test_without_a_gallery_there_are_ids_but_no_pictures(tmp_path: Path) -> None:
    found = section_of(spoil(make_run(tmp_path, report=ReportConfig(title="t", gallery_images=0))))
    assert found.groups == ()
    assert found.troubled[0].worst == ("train_0", "val_1")


def test_a_mask_that_is_gone_has_an_empty_place(tmp_path: Path) -> None:
    context = spoil(make_run(tmp_path))
    context.folder.mask("train_0").unlink()
    assert section_of(context).groups[0].images[0].panels[-1].source is None


def test_nothing_judged_no_section(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    assert build_health_section(context, load_metrics(context.folder.metrics)) is None


@pytest.mark.slow
def test_the_classes_follow_the_verdict(tmp_path: Path) -> None:
    page = parse(read_report(spoil(make_run(tmp_path))))
    ids = page.attributes("id")
    assert ids.index("verdict") < ids.index("masks") < ids.index("gallery") < ids.index("results")
    assert "Class by class: bad 1 bad of 2 classes on 6 images of train and val, 1 of them without tags." in page.text
    assert "2 of 2 tagged images have no avo pixel." in page.text
    assert "See train_0, val_1." in page.text
    assert "The other classes" in page.text


@pytest.mark.slow
def test_runs_evaluated_before_are_judged_by_the_report(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    page = parse(read_report(context))
    assert (
        "Class by class: nothing suspicious Nothing suspicious in 2 classes on 6 images of train and val" in page.text
    )
    assert load_metrics(context.folder.metrics).health is None  # another stage's file


@pytest.mark.slow
def test_a_run_of_80_classes_without_any_tag(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(80)]
    page = parse(read_report(make_run(tmp_path, classes=names, train_tags=(None,), val_tags=None)))
    assert "Class by class: nothing to look for" in page.text
