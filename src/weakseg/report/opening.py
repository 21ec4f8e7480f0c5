"""The report's first section: how good the masks probably are, which images to look at first, what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.file_names import printable
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import comparing_command
from weakseg.pipeline.corrections.weight import is_mostly_doubtful
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.run_folder import learning_command, name_next
from weakseg.pipeline.threshold import mask_threshold
from weakseg.pipeline.threshold_file import load_choice
from weakseg.refine.health_words import MaskHealth
from weakseg.report.doubts import Doubts
from weakseg.report.pictures import Painter, Panel, Swatch, label_swatches
from weakseg.report.verdict import Judgement, judge_masks
from weakseg.scoring.scores import Metrics
from weakseg.types import Sample

MAX_FIRST = 5
"""Images to look at first."""


@dataclass(frozen=True)
class FirstImage:
    """One of the images to look at first.

    Args:
        id: Image id, not escaped.
        split: Name of its split.
        tags: Its tags with their colours.
        why: Why it is among them.
        panels: The image and its mask; empty in a report without pictures.
    """

    id: str
    split: str
    tags: tuple[Swatch, ...]
    why: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Command:
    """A line to type.

    Args:
        what: What it does.
        line: The line; safe to be put into a shell.
    """

    what: str
    line: str


@dataclass(frozen=True)
class Opening:
    """What the section shows.

    Args:
        judgement: How good the masks are.
        first: The images to look at first.
        chosen_by: How these were found.
        commands: What to do next.
    """

    judgement: Judgement
    first: tuple[FirstImage, ...]
    chosen_by: str
    commands: tuple[Command, ...]


def build_opening(context: Context, metrics: Metrics, doubts: Doubts) -> Opening:
    """Gather the section.

    Args:
        context: A run whose evaluation is finished.
        metrics: Its numbers.
        doubts: What its files say against its masks.

    Raises:
        DataError: If an image that is shown cannot be read.
    """
    chosen, chosen_by = _choose(doubts, metrics.health)
    places = {sample.id: (dataset, sample) for dataset in seeded_datasets(context) for sample in dataset}
    return Opening(
        judgement=judge_masks(metrics, metrics.health, doubts.agreement, is_clear=_is_clear(context)),
        first=tuple(_show(context, *places[id], why) for id, why in chosen if id in places),
        chosen_by=chosen_by,
        commands=list_commands(
            context.folder.root,
            compare=comparing_command(context.folder),
            by_classes=metrics.health is not None and is_mostly_doubtful(metrics.health),
        ),
    )


def list_commands(run: Path, *, compare: str | None = None, by_classes: bool = False) -> tuple[Command, ...]:
    """Return what to type after a run, with the path of its folder as it was given.

    Args:
        run: Folder of the run.
        compare: For a run that learnt from corrections: what holds it against the run before.
        by_classes: Whether to correct some of every class, which teaches more where most classes are doubtful.
    """
    order = " --order classes" if by_classes else ""
    place = shlex.quote(printable(str(run)))
    again = shlex.quote(printable(str(name_next(run))))
    return (
        *(() if compare is None else (Command("See what the corrections before this run have changed", compare),)),
        Command("Look at the doubtful masks in the browser, and correct them", f"weakseg review {place}{order}"),
        Command("Learn again from what you have corrected", printable(learning_command(run))),
        Command("See what that has changed", f"weakseg report {place} {again}"),
        Command("Masks of new photographs", f"weakseg predict {place} NEW_PHOTOS --out NEW_MASKS"),
        Command("Hand the masks to another tool (cvat, coco, yolo-seg, ...)", f"weakseg export {place} --to cvat"),
    )


def _choose(doubts: Doubts, health: MaskHealth | None) -> tuple[list[tuple[str, str]], str]:
    """Return ids with reasons, and how they were found."""
    if doubts.is_telling:
        chosen = [
            (image.id, image.why or f"{image.score:.1f} times the usual disagreement")
            for image in doubts.images[:MAX_FIRST]
            if not image.corrected
        ]
        if doubts.from_review:
            return chosen, "The first of the queue of weakseg review, which has asked classifier and segmenter again."
        looked_at = len(doubts.images)
        of = "all" if looked_at == doubts.total else f"{looked_at:,} of"
        return chosen, (
            f"Where seed, mask, other thresholds and (on the validation split) the segmenter disagree most, on {of} "
            f"{doubts.total:,} images. weakseg review asks classifier and segmenter again, and orders them better."
        )
    worst: dict[str, str] = {}
    for item in () if health is None else health.troubled:
        for id in item.counts.worst:
            worst.setdefault(id, f"{item.name}: {item.verdict}")
    told = "The worst images of the classes in trouble." if worst else "No image stands out."
    return list(worst.items())[:MAX_FIRST], told


def _show(context: Context, dataset: Dataset, sample: Sample, why: str) -> FirstImage:
    panels: tuple[Panel, ...] = ()
    if context.config.report.gallery_images:
        painter = Painter(sample.id, dataset.load_image(sample))
        try:
            labels = read_mask(context.folder.mask(sample.id))
        except DataError:
            labels = None
        panels = (painter.show_image(), painter.show_labels("Pseudo mask", labels))
    return FirstImage(sample.id, dataset.split, sample_swatches(dataset, sample), why, panels)


def sample_swatches(dataset: Dataset, sample: Sample) -> tuple[Swatch, ...]:
    """Return the tags of an image with their colours."""
    swatches: Sequence[Swatch] = label_swatches(dataset.classes.label_names)
    return tuple(swatches[key + 1] for key in sample.keys)


def _is_clear(context: Context) -> bool | None:
    """Say whether the colours told candidates of the threshold apart; None unless `auto` chose it."""
    found = mask_threshold(context)
    if found is None or found.choice != "label-free":
        return None
    return load_choice(context.folder.threshold).is_clear
