from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.made_run import HEIGHT, WIDTH, make_run
from weakseg.config.schema import ReportConfig
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.report.doubts import look_for_doubts
from weakseg.report.opening import Opening, build_opening, list_commands
from weakseg.scoring.metrics_file import load_metrics


def open_report(context: Context) -> Opening:
    metrics = replace(load_metrics(context.folder.metrics), health=check_masks(context).health)
    return build_opening(context, metrics, look_for_doubts(context))


def test_five_images_are_shown_with_their_reason(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, 1, 2, 0, 1, 2))
    save_mask(context.folder.mask("train_4"), np.full((HEIGHT, WIDTH), 2, np.uint8))
    found = open_report(context)
    assert len(found.first) == 5
    first = found.first[0]
    assert (first.id, first.split, [tag.name for tag in first.tags]) == ("train_4", "train", ["bex"])
    assert first.why.startswith("seed and mask differ on ")
    assert [panel.caption for panel in first.panels] == ["Image", "Pseudo mask"]
    assert found.chosen_by.startswith("Where seed, mask, other thresholds")
    assert "on all 9 images" in found.chosen_by
    assert found.judgement.headline.endswith("mean IoU in %")


def test_without_pictures_there_are_names(tmp_path: Path) -> None:
    context = make_run(tmp_path, report=ReportConfig(gallery_images=0))
    assert all(image.panels == () for image in open_report(context).first)


def test_where_nothing_was_compared_classes_in_trouble_name_images(tmp_path: Path) -> None:
    context = make_run(tmp_path, val_tags=None)
    save_mask(context.folder.mask("train_0"), np.zeros((HEIGHT, WIDTH), np.uint8))
    metrics = replace(load_metrics(context.folder.metrics), health=check_masks(context).health)
    doubts = look_for_doubts(context)
    nothing = replace(doubts, images=tuple(replace(image, score=0.0) for image in doubts.images))
    found = build_opening(context, metrics, nothing)
    assert [(image.id, image.why) for image in found.first] == [("train_0", "avo: bad")]
    assert found.chosen_by == "The worst images of the classes in trouble."


def test_commands_name_the_folder_as_a_shell_takes_it() -> None:
    lines = [command.line for command in list_commands(Path("runs/my cats"))]
    assert lines[:3] == [
        "weakseg review 'runs/my cats'",
        "weakseg run 'runs/my cats' --out 'runs/my cats-2'",
        "weakseg report 'runs/my cats' 'runs/my cats-2'",
    ]
    assert list_commands(Path("runs/cats-2"), compare="weakseg report runs/cats runs/cats-2")[0].line.endswith("cats-2")
    by_classes = [command.line for command in list_commands(Path("runs/my cats"), by_classes=True)]
    assert by_classes == [lines[0] + " --order classes", *lines[1:]]
    assert list_commands(Path("runs/cats"))[-1].line == "weakseg export runs/cats --to cvat"
