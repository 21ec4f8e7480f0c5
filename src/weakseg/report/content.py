"""Putting what a run found out into words and numbers for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from weakseg.config.load import to_yaml
from weakseg.data.base import Problem
from weakseg.ops.color import heat
from weakseg.pipeline.context import Context
from weakseg.pipeline.records import StageRecord, read_records
from weakseg.pipeline.refiner_networks import makes_instances
from weakseg.pipeline.telling import format_duration
from weakseg.report.ablation import build_ablation
from weakseg.report.charts import build_threshold_charts, build_training_charts
from weakseg.report.comparison import build_comparison
from weakseg.report.donors import build_donor_section
from weakseg.report.doubts import look_for_doubts
from weakseg.report.facts import build_facts, tell_count
from weakseg.report.gallery import NO_PLACES, GalleryGroup, build_gallery
from weakseg.report.health import build_health_section
from weakseg.report.instances import build_instance_section, describe_precision
from weakseg.report.opening import build_opening
from weakseg.report.pictures import Swatch, hex_colour, label_swatches, unsure_swatch
from weakseg.report.view import (
    Bar,
    Card,
    CardGroup,
    ClassColumn,
    ClassGroup,
    ClassRow,
    Fact,
    ProblemGroup,
    Report,
    ScoreRow,
    StageTime,
)
from weakseg.scoring.from_counts import NAN
from weakseg.scoring.scores import Metrics, Score, Subject, percent
from weakseg.scoring.threshold_choices import THRESHOLD_CHOICES
from weakseg.scoring.two_runs import STAGE_ORDER

MAX_EXAMPLES = 3
"""Problems of one kind that are quoted; the rest is counted."""

OWN_STAGE = "report"
"""The stage that writes the page cannot say on it how long it takes."""

HEAT_STOPS = 9
"""Colours that the gallery's scale of the heat map is drawn with."""

_SUBJECTS: dict[Subject, str] = {"seeds": "Seeds", "masks": "Masks", "segmenter": "Segmenter"}

_SEVERITIES = ("error", "warning", "note")


def build_report(context: Context, metrics: Metrics) -> Report:
    """Gather what the report of a run says.

    Args:
        context: A run whose evaluation is finished.
        metrics: Its numbers.

    Raises:
        ArtifactError: If a file of an earlier stage is missing or damaged.
        DataError: If an image or mask that the gallery shows cannot be read.
    """
    splits = [dataset for dataset in (context.train, context.val) if dataset is not None]
    class_groups = group_scores(metrics.scores)
    used = {score.threshold_choice for score in metrics.scores}
    legend = label_swatches(metrics.label_names)
    doubts = look_for_doubts(context)
    gallery = build_gallery(context, doubts.places if doubts.is_telling else NO_PLACES)
    return Report(
        title=context.config.report.title or context.folder.root.resolve().name,
        lead=_describe_run(context),
        opening=build_opening(context, metrics, doubts),
        health=build_health_section(context, metrics),
        card_groups=_group_cards(context, metrics),
        facts=build_facts(context, metrics),
        scores=tuple(_score_row(score) for score in metrics.scores),
        choices=tuple(Fact(choice, text) for choice, text in THRESHOLD_CHOICES.items() if choice in used),
        notes=metrics.notes,
        class_groups=tuple(_class_group(group) for group in class_groups),
        class_rows=tuple(_class_row(k, swatch, class_groups) for k, swatch in enumerate(legend)),
        instances=build_instance_section(metrics),
        ablation=build_ablation(metrics),
        threshold_charts=build_threshold_charts(metrics),
        comparison=build_comparison(context, metrics),
        donors=None if metrics.classifier is None else build_donor_section(context.folder),
        training_charts=build_training_charts(context.folder, metrics),
        gallery=gallery,
        legend=(*legend[1:], unsure_swatch()),
        heat_stops=_heat_stops(),
        has_instances=makes_instances(context.config),
        problems=group_problems(problem for dataset in splits for problem in dataset.problems),
        times=list_times(read_records(context.folder)),
        recipe=to_yaml(context.config),
        pictures=_describe_pictures(context, gallery),
    )


def group_scores(scores: Sequence[Score]) -> tuple[tuple[Score, ...], ...]:
    """Put scores on the same truth together, in the order of their first one."""
    groups: dict[tuple[str, int, tuple[int, ...]], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.split, score.images, score.support), []).append(score)
    return tuple(tuple(group) for group in groups.values())


def group_problems(problems: Iterable[Problem]) -> tuple[ProblemGroup, ...]:
    """Count problems by kind, the worst first; what two splits both report counts once."""
    groups: dict[tuple[int, str], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        groups.setdefault((_SEVERITIES.index(problem.severity), problem.kind), []).append(problem)
    return tuple(
        ProblemGroup(
            severity=found[0].severity,
            kind=kind,
            count=len(found),
            examples=tuple(f"{problem.where}: {problem.message}" for problem in found[:MAX_EXAMPLES]),
            more=max(0, len(found) - MAX_EXAMPLES),
        )
        for (_, kind), found in sorted(groups.items(), key=lambda item: item[0])
    )


def list_times(records: Mapping[str, StageRecord]) -> tuple[StageTime, ...]:
    """Say how long each finished stage took, all commands that worked on it taken together, but the report itself."""
    return tuple(
        StageTime(
            name=name,
            time=format_duration(record.time_s),
            parts=format_duration(record.parts_time_s) if record.parts_time_s else "",
            images=f"{record.images:,}" if record.images else "",
            rate="" if record.images_per_s is None else f"{record.images_per_s:.3g}",
        )
        for name in STAGE_ORDER
        if (record := records.get(name)) is not None and record.finished and name != OWN_STAGE
    )


def _describe_run(context: Context) -> str:
    classes = len(context.train.classes)
    checked = "" if context.val is None else f", checked on {len(context.val)} of {context.val.split}"
    return (
        f"From image-level tags to pixel masks and a segmentation network: {context.train.name}, "
        f"{tell_count(classes, 'class', 'classes')}, trained on {tell_count(len(context.train), 'image')} "
        f"of {context.train.split}{checked}."
    )


def _group_cards(context: Context, metrics: Metrics) -> tuple[CardGroup, ...]:
    """Put the headline numbers of each split together: what was learned from says less than what was not."""
    cards = _build_cards(metrics)
    groups = []
    for split in dict.fromkeys(split for split, _ in cards):
        is_val = context.val is not None and split == context.val.split
        note = (
            "Held out: the networks have not learned from these images, so that this is what to expect of new ones."
            if is_val
            else "Learned from: the networks have seen these images and their tags."
        )
        own = tuple(card for other, card in cards if other == split)
        groups.append(CardGroup("val" if is_val else "train", f"On {split}", note, own))
    return tuple(groups)


def _build_cards(metrics: Metrics) -> list[tuple[str, Card]]:
    """Return the headline numbers, each with its split."""
    cards = []
    for score in metrics.scores:
        if score.corrected:  # a person's work, not the run's
            continue
        title, detail = f"{_SUBJECTS[score.subject]}, mean IoU", f"{score.split}, {_describe_conditions(score)}"
        detail += "" if score.undefined is None else f"; {score.undefined}"
        card = Card(title, percent(score.mean_iou, undefined=NAN), detail, score.subject)
        cards.append((score.split, card))
    for found in metrics.instances:
        card = Card("Instances, AP50", percent(found.mean_ap50), describe_precision(found), "instances")
        cards.append((found.split, card))
    classifier = metrics.classifier
    if classifier is not None and classifier.split is not None:
        value = percent(classifier.mean_average_precision)
        detail = f"{classifier.split}, {tell_count(classifier.images, 'image')}, tags as truth"
        detail += "" if classifier.released_sha256 is None else ", released, not trained here"
        cards.append((classifier.split, Card("Classifier, mAP", value, detail, "classifier")))
    return cards


def _describe_pictures(context: Context, gallery: Sequence[GalleryGroup]) -> str:
    """Say how many images are shown, of how many."""
    shown = sum(len(group.images) for group in gallery)
    total = len({sample.id for dataset in (context.train, context.val) for sample in dataset or ()})
    return f"{shown:,} of {tell_count(total, 'image')} shown, the worst of each split first."


def _describe_threshold(score: Score) -> str:
    return "none" if score.threshold is None else f"{score.threshold:g} ({score.threshold_choice})"


def _describe_conditions(score: Score) -> str:
    tags = "tags given" if score.given_tags else "no tags given"
    threshold = "no threshold" if score.threshold is None else f"threshold {_describe_threshold(score)}"
    whose = score.what.removeprefix(score.subject)
    return f"{tell_count(score.images, 'image')}{whose}, {tags}, {threshold}"


def _score_row(score: Score) -> ScoreRow:
    defined = sum(value is not None for value in score.iou)
    return ScoreRow(
        kind=score.subject,
        subject=_SUBJECTS[score.subject] + score.what.removeprefix(score.subject),
        split=score.split,
        images=f"{score.images:,}",
        tags="given" if score.given_tags else "not given",
        threshold=_describe_threshold(score),
        mean_iou=percent(score.mean_iou, undefined=NAN),
        labels=f"{defined} of {len(score.iou)}",
        pixel_accuracy=percent(score.pixel_accuracy),
    )


def _class_group(scores: Sequence[Score]) -> ClassGroup:
    columns = [ClassColumn(score.subject, _SUBJECTS[score.subject], _describe_conditions(score)) for score in scores]
    return ClassGroup(scores[0].split, tuple(columns))


def _class_row(label: int, swatch: Swatch, groups: Sequence[Sequence[Score]]) -> ClassRow:
    cells = tuple(
        (f"{group[0].support[label]:,}", tuple(Bar.of(score.subject, score.iou[label]) for score in group))
        for group in groups
    )
    return ClassRow(swatch, cells)


def _heat_stops() -> tuple[str, ...]:
    return tuple(hex_colour(colour) for colour in heat(np.linspace(0.0, 1.0, HEAT_STOPS)[None])[0])
