import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_run import HEIGHT, WIDTH, make_run
from weakseg.config.load import to_yaml
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.scoring import differing_labels
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.pairs import NumberPair
from weakseg.scoring.two_runs import compare_runs
from weakseg.scoring.two_runs_text import describe_two_runs, show_gain


def finish(context: Context, *, time_s: float = 60.0, digest: str = "0" * 24) -> Context:
    """Add what `weakseg run` leaves besides: recipe, records, verdicts."""
    context.folder.recipe.write_text(to_yaml(context.config))
    parts = {"classifier.epochs": 5, "images and tags of train": digest, "result of other": digest}
    write_records(context.folder, {"classify": StageRecord(True, digest, parts, time_s=time_s, summary="s")})
    metrics = replace(load_metrics(context.folder.metrics), health=check_masks(context).health)
    save_metrics(context.folder.metrics, metrics)
    return context


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Context, Context]:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    save_mask(second.folder.mask("train_1"), np.full((HEIGHT, WIDTH), 2, np.uint8))
    config = replace(second.config, classifier=replace(second.config.classifier, epochs=7))
    return finish(first), finish(replace(second, config=config), time_s=90.0, digest="1" * 24)


def test_settings_stages_scores_and_images(pair: tuple[Context, Context]) -> None:
    first, second = (context.folder.root for context in pair)
    found = compare_runs(first, second)
    assert [(item.name, item.first, item.second) for item in found.settings] == [
        ("classifier.epochs", 5, 7),
        ("images and tags of train", "0" * 24, "1" * 24),
    ]
    assert [(item.name, item.first_s, item.second_s, item.is_same) for item in found.stages] == [
        ("classify", 60.0, 90.0, False)
    ]
    assert (found.classifier.first, found.classifier.gain) == (0.9, 0.0)
    assert [(item.subject, item.split) for item in found.scores] == [
        ("seeds", "train"),
        ("masks", "train"),
        ("seeds", "val"),
        ("masks", "val"),
        ("segmenter", "val"),
    ]
    assert all(item.same_truth and item.mean.gain == 0 for item in found.scores)
    assert [item.name for item in found.scores[0].classes] == ["background", "avo", "bex", "cim"]
    assert [(kind.kind, kind.images) for kind in found.labels.kinds] == [("seeds", 6), ("masks", 6), ("predictions", 3)]
    assert found.labels.images[0].id == "train_1"
    small = read_mask(pair[0].folder.mask("train_1"))[::4, ::4]
    assert found.labels.images[0].share == pytest.approx((small != 2).mean())
    assert found.labels.images[0].masks == (0.6, 0.6)
    assert {image.share for image in found.labels.images[1:]} == {0.0}
    health = {item.name: item for item in found.health}
    assert (health["bex"].first, health["bex"].second) == ("unsuspicious", "doubtful")
    assert (health["bex"].troubled, health["bex"].tagged) == ((0, 1), (3, 3))
    assert found.notes == ()
    assert json.loads(json.dumps(found.to_json()))["version"] == 1


def test_the_text_shows_all_of_it(pair: tuple[Context, Context]) -> None:
    first, second = (context.folder.root for context in pair)
    text = describe_two_runs(compare_runs(first, second), top=1)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:2] == [f"A: {first}", f"B: {second}"]
    for line in (
        "what differs: 2",
        "classifier.epochs 5 7",
        "images and tags of train other",
        "classify 1 min 0 s 1 min 30 s",
        "classifier, mAP, % 90.0 90.0 +0.0",
        "IoU per class, %: segmenter on val",
        "bex unsuspicious 0 of 3 doubtful 1 of 3",
        "images whose masks differ most",
    ):
        assert line in lines
    assert sum("train_1" in line for line in lines) == 1
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "train_1" not in describe_two_runs(compare_runs(first, second), top=0)


def test_runs_that_are_not_finished_are_compared_as_far_as_they_go(pair: tuple[Context, Context]) -> None:
    first, second = (context.folder for context in pair)
    second.metrics.unlink()
    second.image_scores.unlink()
    found = compare_runs(first.root, second.root)
    assert (found.scores, found.first.is_evaluated, found.second.is_evaluated) == ((), True, False)
    assert found.labels.images[0].masks == (0.6, None)
    assert found.notes == (f"{second.root} has no scores yet; 'weakseg run {second.root}' goes on with it",)
    assert "has no scores yet" in describe_two_runs(found, top=3)


def test_other_classes_are_paired_by_name_and_masks_are_not_compared(tmp_path: Path) -> None:
    first = finish(make_run(tmp_path / "a"))
    second = finish(make_run(tmp_path / "b", classes=("bex", "dun"), train_tags=(0,), val_tags=None))
    found = compare_runs(first.folder.root, second.folder.root)
    (seeds, masks) = found.scores
    assert [pair.name for pair in seeds.classes] == ["background", "avo", "bex", "cim", "dun"]
    assert not masks.same_truth
    assert masks.images == (3, 1)
    assert found.labels.images == ()
    assert "the runs have other classes" in found.notes[0]
    assert "not the same images" in describe_two_runs(found, top=3)


def test_the_masks_that_were_not_corrected_are_told_from_all_masks(pair: tuple[Context, Context]) -> None:
    first, second = (context.folder for context in pair)
    metrics = load_metrics(second.metrics)
    masks = next(score for score in metrics.scores if score.subject == "masks")
    apart = replace(masks, corrected=False, images=1, support=tuple(count - 1 for count in masks.support))
    scores = tuple(apart if score is masks else score for score in metrics.scores)
    save_metrics(second.metrics, replace(metrics, scores=scores))
    found = compare_runs(first.root, second.root)
    assert found.notes == (
        f"{second.root}: the score of masks on {masks.split} is that of the 1 which nobody has corrected",
    )
    text = describe_two_runs(found, top=0)
    assert "not the same images" in text
    assert "not the same truth" not in text


def test_a_gain_that_rounds_to_nothing_is_no_loss() -> None:
    assert show_gain(NumberPair("mean", 0.5, 0.4999)) == "+0.0"


def test_corrected_masks_are_held_against_corrected_ones(pair: tuple[Context, Context]) -> None:
    for context, means in zip(pair, ((0.3, 0.9), (0.4, 0.8)), strict=True):
        metrics = load_metrics(context.folder.metrics)
        masks = next(score for score in metrics.scores if score.subject == "masks")
        parts = [replace(masks, corrected=bool(place), mean_iou=mean) for place, mean in enumerate(means)]
        save_metrics(context.folder.metrics, replace(metrics, scores=tuple(parts)))
    found = compare_runs(pair[0].folder.root, pair[1].folder.root)
    told = [(item.subject, item.mean.first, item.mean.second) for item in found.scores]
    assert told == [("masks, not corrected", 0.3, 0.4), ("masks, corrected", 0.9, 0.8)]
    assert found.notes == ()


def test_of_many_images_some_are_compared(pair: tuple[Context, Context], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differing_labels, "MAX_COMPARED", 2)
    found = compare_runs(pair[0].folder.root, pair[1].folder.root)
    assert [image.id for image in found.labels.images] == ["train_0", "val_0"]
    assert found.notes == ("2 of 6 images were compared pixel by pixel, evenly spaced",)


def test_damaged_masks_are_counted(pair: tuple[Context, Context]) -> None:
    pair[0].folder.mask("val_0").write_bytes(b"nothing")
    found = compare_runs(pair[0].folder.root, pair[1].folder.root)
    assert "files that cannot be read and were left out: 1" in found.notes
    assert len(found.labels.images) == 5


def test_what_is_no_run_and_the_same_run_are_refused(pair: tuple[Context, Context], tmp_path: Path) -> None:
    root = pair[0].folder.root
    with pytest.raises(ArtifactError, match=r"nowhere is no run folder: expected a recipe\.yaml in it"):
        compare_runs(root, tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"expected two runs to compare, got .* twice"):
        compare_runs(root, root / ".." / root.name)
