"""Records of how files were made: `run.json` with each stage, and what a fingerprint or a study covers, by name."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import weakseg
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.artifacts import RunFolder

Record = TypeVar("Record")

DIGEST_BYTES = 12
"""Length of fingerprints and digests; 24 hexadecimal digits."""

FORMAT = 1
"""Of `run.json` (docs/runs.md); raised when what older versions of weakseg read of it changes."""

CONTENTS = "contents of "
"""How the parts of a fingerprint begin that are digests of files; a setting's name follows."""


RESULT = "result of "
"""How those begin that are fingerprints of earlier stages; the stage's name follows."""


@dataclass(frozen=True)
class StageRecord:
    """What `run.json` says of a stage.

    Args:
        finished: False while it runs or after it was interrupted.
        fingerprint: Digest of `parts`.
        parts: Everything the fingerprint covers, by name.
        time_s: Wall-clock seconds spent by all commands that worked on it, but for those that were killed.
        parts_time_s: Seconds that commands with `--part` spent on it besides, added up.
        images: How many images it has looked at, in a training those of all epochs; 0 until finished, where they do not
            count, and of older versions.
        summary: The stage's one-line summary, empty until finished.
        finished_at: When it was finished, ISO 8601; empty until then, and of older versions.
    """

    finished: bool
    fingerprint: str
    parts: Mapping[str, JsonValue]
    time_s: float = 0.0
    summary: str = ""
    finished_at: str = ""
    parts_time_s: float = 0.0
    images: int = 0

    @property
    def images_per_s(self) -> float | None:
        """How many images a second, by all that worked on it together; None where nobody knows."""
        spent_s = self.time_s + self.parts_time_s
        return self.images / spent_s if self.images and spent_s > 0 else None

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {
            "finished": self.finished,
            "fingerprint": self.fingerprint,
            "parts": dict(self.parts),
            "time_s": round(self.time_s, 1),
            "summary": self.summary,
            "finished_at": self.finished_at,
            "parts_time_s": round(self.parts_time_s, 1),
            "images": self.images,
        }


def read_records(folder: RunFolder) -> dict[str, StageRecord]:
    """Read the state of every stage that has begun in a run folder.

    Raises:
        ArtifactError: If `run.json` is damaged.
    """

    def parse(document: Any) -> dict[str, StageRecord]:
        if document.get("format", FORMAT) > FORMAT:
            raise ArtifactError(
                f"{folder.state} was written by weakseg {document['versions']['weakseg']}, which is newer than "
                f"{weakseg.__version__}; update weakseg"
            )
        return {name: StageRecord(**record) for name, record in document["stages"].items()}

    return read_record(folder.state, parse, whole="the run folder") or {}


def read_record(path: Path, parse: Callable[[Any], Record], *, whole: str) -> Record | None:
    """Read what a folder records of how it was made; None if it has no record.

    Args:
        path: The record, JSON.
        parse: Turns the document into what is wanted; what it raises on another document counts as damage.
        whole: The folder, for the message.

    Raises:
        ArtifactError: If the record is damaged.
    """
    if not path.is_file():
        return None
    try:
        return parse(decode_json(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete {whole} and start again") from None


def write_records(folder: RunFolder, records: Mapping[str, StageRecord]) -> None:
    """Write the state of every stage, and the versions of what computes."""
    stages = {name: record.to_json() for name, record in records.items()}
    write_json(folder.state, {"format": FORMAT, "versions": list_versions(), "stages": stages})


def list_versions() -> dict[str, JsonValue]:
    """Return the versions of what computes."""
    return {
        "weakseg": weakseg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def digest_parts(parts: Mapping[str, JsonValue]) -> str:
    """Return the fingerprint of named parts."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=DIGEST_BYTES).hexdigest()


def flatten_settings(prefix: str, value: JsonValue) -> dict[str, JsonValue]:
    """Map the dotted name of every setting within a section to its value."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        path: item for key, child in value.items() for path, item in flatten_settings(f"{prefix}.{key}", child).items()
    }


def describe_changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> str:
    """Say which parts of a fingerprint differ: `classifier.epochs was 5, is 3`."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            if key.startswith(("images and tags", "result of", "saliency maps", CONTENTS)):
                changes.append(f"{key} changed")
            elif key not in old:
                changes.append(f"{key} is new: {new[key]}")
            elif key not in new:
                changes.append(f"{key} was {old[key]}, and is no more")
            else:
                changes.append(f"{key} was {old[key]}, is {new[key]}")
    return "; ".join(changes)
