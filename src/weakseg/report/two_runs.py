"""One run against another as a page: `weakseg report A B`. The numbers are those of `weakseg compare A B`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.telling import format_duration, show_progress
from weakseg.report.gallery import GalleryImage
from weakseg.report.opening import sample_swatches
from weakseg.report.pictures import Painter, Panel, Swatch, label_swatches, picture_side, unsure_swatch
from weakseg.report.rendering import lay_out
from weakseg.report.words import WORDS, Word
from weakseg.scoring.differing_labels import ImageDifference
from weakseg.scoring.pairs import HealthPair, NumberPair, ScorePair
from weakseg.scoring.scores import percent
from weakseg.scoring.truth import read_truth
from weakseg.scoring.two_runs import TwoRuns, compare_runs
from weakseg.scoring.two_runs_text import show_gain, show_setting, show_threshold, show_verdict
from weakseg.types import Sample

TEMPLATE = "two_runs.html.j2"

MAX_SHOWN = 100
"""The page shows no more images, however many are asked for."""

NO_GAIN = 0.0005
"""A difference that is printed as 0.0."""


@dataclass(frozen=True)
class NumberRow:
    """A number of both runs as the cells of a table.

    Args:
        name: What it is of.
        details: What else the row says.
        first: In the first run.
        second: In the second.
        gain: How far the second is above the first.
        mark: Style class: `better`, `worse` or `equal`.
    """

    name: str
    details: tuple[str, ...]
    first: str
    second: str
    gain: str
    mark: str


@dataclass(frozen=True)
class ClassTable:
    """The IoU per class of one kind of label map."""

    title: str
    rows: tuple[NumberRow, ...]


@dataclass(frozen=True)
class PairImage:
    """An image whose masks differ.

    Args:
        image: With the pictures of both runs.
        split: Name of its split.
        share: Share of the pixels that differ, as text.
    """

    image: GalleryImage
    split: str
    share: str


@dataclass(frozen=True)
class PairReport:
    """Everything that the template needs, in the order of the page.

    Args:
        first: Folder of the run that the other is held against.
        second: Folder of the other.
        lead: The outcome in a sentence.
        scores: Mean IoU by subject and split, and the classifier's mAP.
        differing: How far seeds, masks and predictions differ, in words.
        settings: Name and both values of what differs.
        images: Images whose masks differ most.
        pictures: How many are shown, and why those.
        legend: Colours of the classes.
        classes: IoU per class, a table per score.
        health: Name, both verdicts and counts of each class.
        stages: Name, both times, and whether the result is the same.
        notes: What could not be compared.
        words: The words that are explained.
    """

    first: str
    second: str
    lead: str
    scores: tuple[NumberRow, ...]
    differing: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]
    images: tuple[PairImage, ...]
    pictures: str
    legend: tuple[Swatch, ...]
    classes: tuple[ClassTable, ...]
    health: tuple[tuple[str, str, str, str, str], ...]
    stages: tuple[tuple[str, str, str, str], ...]
    notes: tuple[str, ...]
    words: tuple[Word, ...] = WORDS


def write_comparison(first: Path, second: Path, out: Path, *, max_images: int) -> str:
    """Write the page of one run against another, and say so in a line.

    Args:
        first: Folder of the run that the other is held against.
        second: Folder of the other.
        out: The page.
        max_images: How many images are shown, those whose masks differ most.

    Raises:
        ArtifactError: If one is no run folder, or a file of it is damaged.
        DataError: If the images that are to be shown cannot be read.
    """
    view = build_pair(compare_runs(first, second), max_images=max_images)
    page = lay_out(TEMPLATE, {"pair": view})
    write_text(out, page)
    return f"{out}: {len(view.images)} images shown, {len(page.encode()) / 1e6:.1f} MB"


def build_pair(found: TwoRuns, *, max_images: int) -> PairReport:
    """Gather what the page says.

    Args:
        found: The comparison.
        max_images: How many images are shown.

    Raises:
        ArtifactError, DataError: See `write_comparison`.
    """
    differing = [image for image in found.labels.images if image.share > 0]
    wanted = differing[: min(max_images, MAX_SHOWN)]
    context = _open_either(found) if wanted else None
    images = () if context is None else tuple(_show_images(context, found, wanted))
    return PairReport(
        first=found.first.path,
        second=found.second.path,
        lead=_describe_outcome(found),
        scores=(*(_score_row(score) for score in found.scores), *_classifier_rows(found.classifier)),
        differing=tuple(
            f"{kind.kind} differ on {kind.share:.1%} of the pixels, mean over {kind.images:,} images"
            for kind in found.labels.kinds
        ),
        settings=tuple((pair.name, *show_setting(pair)) for pair in found.settings),
        images=images,
        pictures=f"{len(images)} of {len(differing):,} images whose masks differ, those that differ most first.",
        legend=() if context is None else (*label_swatches(context.train.classes.label_names)[1:], unsure_swatch()),
        classes=tuple(
            ClassTable(f"{score.subject} on {score.split}", tuple(_number_row(pair, ()) for pair in score.classes))
            for score in found.scores
            if score.subject != "seeds"  # at thresholds that nobody could have chosen
        ),
        health=tuple(_health_row(pair) for pair in found.health),
        stages=tuple(
            (pair.name, _time(pair.first_s), _time(pair.second_s), "same result" if pair.is_same else "")
            for pair in found.stages
        ),
        notes=found.notes,
    )


def _open_either(found: TwoRuns) -> Context:
    """Open the second run for its images, or the first where those of the second have gone."""
    try:
        return open_run(Path(found.second.path))
    except (ArtifactError, DataError):
        return open_run(Path(found.first.path))


def _describe_outcome(found: TwoRuns) -> str:
    """Say which masks are better, as far as that can be known."""
    told = [
        f"{score.subject} on {score.split} {100 * score.mean.gain:+z.1f}"
        for score in found.scores
        if score.subject != "seeds" and score.same_truth and score.mean.gain is not None
    ]
    if told:
        return f"B against A, points of mean IoU: {'; '.join(told)}."
    if found.health:
        counts = [sum(pair.troubled[side] for pair in found.health) for side in (0, 1)]
        return (
            f"There is no truth to measure by. Masks in trouble, by class and image: {counts[0]:,} in A, "
            f"{counts[1]:,} in B."
        )
    return "There are no scores to compare, only masks."


def _score_row(score: ScorePair) -> NumberRow:
    images = " / ".join(f"{count:,}" for count in dict.fromkeys(score.images))
    details = (score.split, images, show_threshold(score), "the same" if score.same_truth else "not the same")
    return _number_row(score.mean, details, name=score.subject)


def _classifier_rows(pair: NumberPair) -> tuple[NumberRow, ...]:
    if pair.first is None and pair.second is None:
        return ()
    return (_number_row(pair, ("", "", "", "tags"), name="classifier, mAP"),)


def _number_row(pair: NumberPair, details: tuple[str, ...], *, name: str | None = None) -> NumberRow:
    gain = pair.gain
    mark = "equal" if gain is None or abs(gain) < NO_GAIN else "better" if gain > 0 else "worse"
    return NumberRow(name or pair.name, details, percent(pair.first), percent(pair.second), show_gain(pair), mark)


def _health_row(pair: HealthPair) -> tuple[str, str, str, str, str]:
    first = show_verdict(pair.first, pair.troubled[0], pair.tagged[0])
    return (pair.name, *first, *show_verdict(pair.second, pair.troubled[1], pair.tagged[1]))


def _time(value_s: float | None) -> str:
    return "not done" if value_s is None else format_duration(value_s)


def _show_images(context: Context, found: TwoRuns, wanted: Sequence[ImageDifference]) -> Iterator[PairImage]:
    places = {sample.id: (dataset, sample) for dataset in (context.train, context.val) if dataset for sample in dataset}
    folders = (RunFolder(Path(found.first.path)), RunFolder(Path(found.second.path)))
    with show_progress("drawing images") as tick:
        for done, item in enumerate(wanted):
            if item.id in places:
                image = _show_image(folders, *places[item.id], item, side_px=picture_side(len(wanted)))
                yield PairImage(image, item.split, f"{item.share:.1%} of the pixels differ")
            tick(done + 1, len(wanted))


def _show_image(
    folders: tuple[RunFolder, RunFolder], dataset: Dataset, sample: Sample, item: ImageDifference, *, side_px: int
) -> GalleryImage:
    image = dataset.load_image(sample)
    painter = Painter(sample.id, image, side_px=side_px)
    panels: list[Panel] = [painter.show_image()]
    for name, folder in zip("AB", folders, strict=True):
        panels.append(_show_file(painter, f"{name}: pseudo mask", folder.mask(sample.id)))
    predictions = [folder.prediction(sample.id) for folder in folders]
    if all(path.is_file() for path in predictions):
        for name, path in zip("AB", predictions, strict=True):
            panels.append(_show_file(painter, f"{name}: prediction", path))
    truth = read_truth(dataset, sample, image.shape[:2]) if dataset.mask_reader is not None else None
    if truth is not None:
        panels.append(painter.show_labels("Truth", truth))
    return GalleryImage(sample.id, sample_swatches(dataset, sample), _describe_iou(item), tuple(panels))


def _show_file(painter: Painter, caption: str, path: Path) -> Panel:
    try:
        return painter.show_labels(caption, read_mask(path))
    except DataError:
        return painter.show_labels(caption, None)


def _describe_iou(item: ImageDifference) -> tuple[str, ...]:
    pairs = (("pseudo mask", item.masks), ("prediction", item.predictions))
    return tuple(
        f"{what} A {percent(first)}, B {percent(second)}"
        for what, (first, second) in pairs
        if first is not None or second is not None
    )
