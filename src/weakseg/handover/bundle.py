"""Bundles: a trained segmenter to hand over, without the data, the run, or any path of the machine it was trained on.

A bundle has the layout of a run folder as far as prediction reads it, so that what takes a run for its segmenter takes
a bundle as well.
"""

from __future__ import annotations

import dataclasses
import re
import types
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args, get_type_hints

import weakseg
from weakseg.config.load import to_yaml
from weakseg.config.network_names import HF_PREFIX
from weakseg.config.schema import RunConfig
from weakseg.data.export.folder import ExportFolder
from weakseg.data.lists import CLASSES_FILE
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, atomic_open, write_json, write_text
from weakseg.handover.model_card import CardFacts, write_card
from weakseg.pipeline.artifacts import RunFolder, load_info, load_tensors, save_tensors
from weakseg.pipeline.networks import WEIGHTS_FROM
from weakseg.pipeline.records import list_versions, read_records
from weakseg.predict.opened import digest_file, find_segmenter
from weakseg.predict.zipped import BUNDLE_FILE
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.scores import ClassifierScore, Metrics
from weakseg.types import ClassSet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")

FORMAT = 1
"""Version of `bundle.json`."""

CARD = "README.md"

_PRIVATE = re.compile(r"/|~|\.{1,2}[/\\]|\\\\|[A-Za-z]:[/\\]")
"""How a path begins that says where something lies on a machine."""

_PRIVATE_IN_TEXT = re.compile(
    rf"""(?<![\w/\\.~-])(?:{_PRIVATE.pattern})[^\s,;:'"()]*[/\\]([^\s,;:'"()/\\]*)""",
)
"""The same within a sentence; the group is the last part of the path."""

_NAMES = ("classes", "label_names")
"""Entries whose texts are names of classes, which may look like paths (Open Images calls a dog `/m/0bt9lr`)."""

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip, so that equal bundles are equal files; the earliest the format knows."""


def write_bundle(run: RunFolder, config: RunConfig, folder: ExportFolder) -> ClassSet:
    """Write a bundle.

    Args:
        run: The run, or another bundle.
        config: Its recipe.
        folder: Where to.

    Returns:
        The classes.

    Raises:
        ArtifactError: If there is no trained segmenter, or a file of the run is damaged.
    """
    tensors, info = load_tensors(find_segmenter(run.root))
    names = info.get("classes")
    if not isinstance(names, Sequence):
        raise ArtifactError(f"{run.network('segmenter').model}: expected a segmenter that weakseg trained")
    classes = ClassSet(tuple(str(name) for name in names))
    stripped = strip_config(config)
    public_info = strip_paths(info)
    assert isinstance(public_info, dict)
    metrics = load_metrics(run.metrics) if run.metrics.is_file() else None
    if metrics is not None:
        metrics = dataclasses.replace(
            metrics,
            classifier=_strip_classifier(metrics.classifier),
            notes=tuple(map(strip_text, metrics.notes)),
            health=None if metrics.health is None else metrics.health.without_ids(),
        )
        save_metrics(folder.claim(run.metrics.name), metrics)
    records = {
        name: dataclasses.replace(record, summary=strip_text(record.summary))
        for name, record in read_records(run).items()
    }
    facts = CardFacts(
        config=stripped,
        classes=classes,
        weights_from=str(public_info.get(WEIGHTS_FROM)),
        classifier_weights_from=_find_classifier_start(run, metrics),
        records=records,
        versions=_read_versions(run),
        metrics=metrics,
    )
    write_text(folder.claim(CARD), write_card(facts))
    write_text(folder.claim(run.recipe.name), to_yaml(stripped))
    write_text(folder.claim(CLASSES_FILE), "\n".join(classes) + "\n")
    weights = folder.claim(run.network("segmenter").model.relative_to(run.root).as_posix())
    save_tensors(weights, tensors, public_info)
    document = {
        "format": FORMAT,
        "weakseg": weakseg.__version__,
        "labels": list(classes.label_names),
        "weights": weights.relative_to(folder.root).as_posix(),
        "digest": digest_file(weights),
    }
    write_json(folder.claim(BUNDLE_FILE), document)
    return classes


def zip_bundle(folder: Path, names: Sequence[str], path: Path) -> None:
    """Write files of a folder as a zip, below a folder called like it."""
    with atomic_open(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(names):
            entry = zipfile.ZipInfo(f"{path.stem}/{name}", _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())


def strip_config(config: Section) -> Section:
    """Return a configuration (section) without paths: null where a setting may be, else the path's last part."""
    changes: dict[str, object] = {}
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = strip_config(value)
        elif isinstance(value, str) and strip_path(value) != value:
            hint = hints[field.name]
            optional = isinstance(hint, types.UnionType) and type(None) in get_args(hint)
            changes[field.name] = None if optional else strip_path(value)
    return dataclasses.replace(config, **changes)


def strip_paths(value: JsonValue) -> JsonValue:
    """Return plain values with every path cut to its last part; names of classes stay."""
    if isinstance(value, str):
        return strip_path(value)
    if isinstance(value, Mapping):
        return {key: entry if key in _NAMES else strip_paths(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [strip_paths(entry) for entry in value]
    return value


def strip_path(text: str) -> str:
    """Return the last part of a text that is a path from a root, a home or the working folder; any other as it is."""
    prefix = HF_PREFIX if text.startswith(HF_PREFIX) else ""
    path = text.removeprefix(prefix)
    if _PRIVATE.match(path) is None:
        return text
    return prefix + re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def strip_text(text: str) -> str:
    """Return a sentence with the paths in it cut to their last parts."""
    return _PRIVATE_IN_TEXT.sub(r"\1", text)


def _find_classifier_start(run: RunFolder, metrics: Metrics | None) -> str | None:
    """Say where the training of the run's classifier began, by its file or, in a bundle, by what was measured."""
    path = run.network("classifier").model
    if path.is_file():
        return strip_path(str(load_info(path).get(WEIGHTS_FROM)))
    if metrics is None or metrics.classifier is None:
        return None
    return strip_path(metrics.classifier.weights_from)


def _strip_classifier(score: ClassifierScore | None) -> ClassifierScore | None:
    return None if score is None else dataclasses.replace(score, weights_from=strip_path(score.weights_from))


def _read_versions(run: RunFolder) -> Mapping[str, JsonValue]:
    """Return the versions that trained, or those of now where the run does not say."""
    try:
        versions = decode_json(run.state.read_text(encoding="utf-8"))["versions"]
        return {str(name): str(version) for name, version in versions.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return list_versions()
