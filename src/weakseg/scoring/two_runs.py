"""One run against another: settings, stages, scores, classes, and the images whose masks differ most.

Only files of the two folders are read, no images and no networks: it takes seconds, and works on a run that is not
finished, or whose images have gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from weakseg.config.chosen import uncounted
from weakseg.config.load import to_plain
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.records import RESULT, StageRecord, flatten_settings, read_records
from weakseg.refine.health_words import ClassHealth, MaskHealth
from weakseg.scoring.differing_labels import DifferingLabels, find_differences
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.pairs import HealthPair, NumberPair, RunFacts, ScorePair, SettingPair, StagePair
from weakseg.scoring.scores import Metrics, Score

VERSION = 1
"""Raised when the keys of the JSON, or their meaning, change."""

NOT_THERE = "not there"
"""In place of the value of a setting, or of something else, that one of the runs does not have."""


@dataclass(frozen=True)
class TwoRuns:
    """One run against another.

    Args:
        first: The run that the other is held against.
        second: The other.
        settings: What differs of settings, images, tags and code, by name.
        stages: The stages that either run has.
        classifier: Mean average precision of the classifiers.
        scores: Every subject and split that both have scored.
        health: Class by class, without truth.
        labels: Where seeds, masks and predictions differ.
        notes: What could not be compared, and why.
    """

    first: RunFacts
    second: RunFacts
    settings: tuple[SettingPair, ...]
    stages: tuple[StagePair, ...]
    classifier: NumberPair
    scores: tuple[ScorePair, ...]
    health: tuple[HealthPair, ...]
    labels: DifferingLabels
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {"version": VERSION, **asdict(self)}


def compare_runs(first: Path, second: Path) -> TwoRuns:
    """Compare two runs by their files.

    Args:
        first: Folder of the run that the other is held against.
        second: Folder of the other.

    Raises:
        ArtifactError: If one is no run folder, both are the same, or a file is damaged.
    """
    if first.resolve() == second.resolve():
        raise ArtifactError(f"expected two runs to compare, got {first} twice")
    configs = (read_run_config(first), read_run_config(second))
    folders = (RunFolder(first), RunFolder(second))
    records = tuple(read_records(folder) for folder in folders)
    metrics = tuple(load_metrics(folder.metrics) if folder.metrics.is_file() else None for folder in folders)
    notes: list[str] = []
    for path, found in zip((first, second), metrics, strict=True):
        if found is None:
            notes.append(f"{path} has no scores yet; 'weakseg run {path}' goes on with it")
    for path, found, other in ((first, metrics[0], metrics[1]), (second, metrics[1], metrics[0])):
        notes += [f"{path}: {line}" for line in _tell_left_out(found, other)]
    same_classes = _have_same_classes(metrics[0], metrics[1])
    if not same_classes:
        notes.append("the runs have other classes, so that their masks are not compared pixel by pixel")
    return TwoRuns(
        first=RunFacts(str(first), metrics[0] is not None),
        second=RunFacts(str(second), metrics[1] is not None),
        settings=_pair_settings(configs, records),
        stages=_pair_stages(records[0], records[1]),
        classifier=NumberPair("mAP", _read_map(metrics[0]), _read_map(metrics[1])),
        scores=_pair_scores(metrics[0], metrics[1]),
        health=_pair_health(_read_health(metrics[0]), _read_health(metrics[1])),
        labels=find_differences(folders, configs, notes) if same_classes else DifferingLabels((), ()),
        notes=tuple(notes),
    )


def _have_same_classes(first: Metrics | None, second: Metrics | None) -> bool:
    return first is None or second is None or first.label_names == second.label_names


def _read_map(metrics: Metrics | None) -> float | None:
    return None if metrics is None or metrics.classifier is None else metrics.classifier.mean_average_precision


def _read_health(metrics: Metrics | None) -> MaskHealth | None:
    return None if metrics is None else metrics.health


def _pair_settings(
    configs: tuple[RunConfig, RunConfig], records: Sequence[Mapping[str, StageRecord]]
) -> tuple[SettingPair, ...]:
    """List the settings that differ, then what else the stages depend on: code, images, tags, files of others."""
    idle = set.intersection(*(set(_idle_sections(config)) for config in configs))
    settings = [_flatten(config) for config in configs]
    found = [
        SettingPair(name, settings[0].get(name, NOT_THERE), settings[1].get(name, NOT_THERE))
        for name in dict.fromkeys((*settings[0], *settings[1]))
        if settings[0].get(name, NOT_THERE) != settings[1].get(name, NOT_THERE)
        and not any(name.startswith(f"{section}.") for section in idle)
    ]
    others = [
        {
            name: value
            for record in run.values()
            for name, value in record.parts.items()
            if name not in settings[0] and not name.startswith(RESULT)
        }
        for run in records
    ]
    for name in sorted(others[0].keys() | others[1].keys()):
        values = [run.get(name, NOT_THERE) for run in others]
        if values[0] != values[1]:
            found.append(SettingPair(name, values[0], values[1]))
    return tuple(found)


def _idle_sections(config: RunConfig) -> list[str]:
    """Name the sections of methods that a run does not use."""
    return [f"{stage}.{name}" for stage in ("localize", "refine") for name in uncounted(config, stage)]


def _flatten(config: RunConfig) -> dict[str, JsonValue]:
    document = to_plain(config)
    assert isinstance(document, Mapping)
    return {
        path: value for section, child in document.items() for path, value in flatten_settings(section, child).items()
    }


def _pair_stages(first: Mapping[str, StageRecord], second: Mapping[str, StageRecord]) -> tuple[StagePair, ...]:
    def time_s(record: StageRecord | None) -> float | None:
        return record.time_s if record is not None and record.finished else None

    def rate(record: StageRecord | None) -> float | None:
        return None if record is None else record.images_per_s

    def fingerprint(record: StageRecord | None) -> str | None:
        return None if record is None else record.fingerprint

    known = [name for name in STAGE_ORDER if name in first or name in second]
    return tuple(
        StagePair(
            name=name,
            first_s=time_s(first.get(name)),
            second_s=time_s(second.get(name)),
            first_images_per_s=rate(first.get(name)),
            second_images_per_s=rate(second.get(name)),
            is_same=fingerprint(first.get(name)) == fingerprint(second.get(name)),
        )
        for name in known
    )


STAGE_ORDER = ("classify", "localize", "refine", "segment", "evaluate", "report")


def _pair_scores(first: Metrics | None, second: Metrics | None) -> tuple[ScorePair, ...]:
    if first is None or second is None:
        return ()
    pairs = [(score, _find_counterpart(score, second)) for score in first.scores]
    return tuple(_pair_score(a, b, first.label_names, second.label_names) for a, b in pairs if b is not None)


def _find_counterpart(score: Score, metrics: Metrics) -> Score | None:
    """Return another run's score of the same; corrected masks are held against corrected ones alone."""
    wanted = (score.subject, score.split, bool(score.corrected))
    return next((item for item in metrics.scores if (item.subject, item.split, bool(item.corrected)) == wanted), None)


def _pair_score(first: Score, second: Score, names: Sequence[str], other_names: Sequence[str]) -> ScorePair:
    mine = dict(zip(names, first.iou, strict=True))
    theirs = dict(zip(other_names, second.iou, strict=True))
    return ScorePair(
        subject=first.what if first.corrected == second.corrected else first.subject,
        split=first.split,
        images=(first.images, second.images),
        thresholds=(_describe_threshold(first), _describe_threshold(second)),
        mean=NumberPair("mean", first.mean_iou, second.mean_iou),
        classes=tuple(
            NumberPair(name, mine.get(name), theirs.get(name)) for name in dict.fromkeys((*names, *other_names))
        ),
        same_truth=first.support == second.support and tuple(names) == tuple(other_names),
    )


def _tell_left_out(metrics: Metrics | None, other: Metrics | None) -> list[str]:
    """Say which scores leave out masks that a person has corrected, where those of the other run hold all."""
    if metrics is None or other is None:
        return []
    return [
        f"the score of masks on {score.split} is that of the {score.images:,} which nobody has corrected"
        for score in metrics.scores
        if score.corrected is False
        and any(
            item.split == score.split and item.corrected is None
            for item in other.scores
            if item.subject == score.subject
        )
    ]


def _describe_threshold(score: Score) -> str | None:
    return None if score.threshold is None else f"{score.threshold:g} ({score.threshold_choice})"


def _pair_health(first: MaskHealth | None, second: MaskHealth | None) -> tuple[HealthPair, ...]:
    sides = [{} if health is None else {item.name: item for item in health.classes} for health in (first, second)]
    names = dict.fromkeys(name for side in sides for name in side)
    return tuple(_pair_class(name, sides[0].get(name), sides[1].get(name)) for name in names)


def _pair_class(name: str, first: ClassHealth | None, second: ClassHealth | None) -> HealthPair:
    def troubled(item: ClassHealth | None) -> int:
        return 0 if item is None else item.counts.empty + item.counts.nearly_full

    def tagged(item: ClassHealth | None) -> int:
        return 0 if item is None else item.counts.tagged

    return HealthPair(
        name=name,
        first=None if first is None else first.verdict,
        second=None if second is None else second.verdict,
        troubled=(troubled(first), troubled(second)),
        tagged=(tagged(first), tagged(second)),
    )
