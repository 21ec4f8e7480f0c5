"""`metrics.json`: all numbers of a run written down, and read back by the report and the tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.corrections.taught import TaughtCounts
from weakseg.scoring.health import plain_health, read_health
from weakseg.scoring.scores import AblationScore, ClassifierScore, ComparedSeeds, Curve, InstanceScore, Metrics, Score

Record = TypeVar("Record")


def save_metrics(path: Path, metrics: Metrics) -> None:
    """Write all numbers as JSON; undefined ones are null."""
    write_json(path, asdict(metrics) | {"health": None if metrics.health is None else plain_health(metrics.health)})


def load_metrics(path: Path) -> Metrics:
    """Read what `save_metrics` wrote, now or by an older version: what came later is then empty.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        document = decode_json(path.read_text(encoding="utf-8"))
        return Metrics(
            dataset=document["dataset"],
            label_names=tuple(document["label_names"]),
            classifier=None if document["classifier"] is None else ClassifierScore(**document["classifier"]),
            scores=tuple(_read(Score, entry) for entry in document["scores"]),
            curves=tuple(_read(Curve, entry) for entry in document["curves"]),
            compared=tuple(
                ComparedSeeds(entry["iterations"], _read(Curve, entry["curve"]))
                for entry in document.get("compared", ())
            ),
            instances=tuple(_read(InstanceScore, entry) for entry in document.get("instances", ())),
            ablation=tuple(_read(AblationScore, entry) for entry in document.get("ablation", ())),
            notes=tuple(document["notes"]),
            health=read_health(document.get("health")),
            taught=None if document.get("taught") is None else TaughtCounts(**document["taught"]),
        )
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage 'evaluate' first") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); run the stage 'evaluate' again") from None


def _read(kind: Callable[..., Record], entry: dict[str, JsonValue]) -> Record:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
