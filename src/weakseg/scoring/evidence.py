"""What speaks against each mask of a run, in shares of its pixels; what `weakseg review` has measured of it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.documents import decode_json
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import read_records
from weakseg.refine.masks import seed_to_mask
from weakseg.types import Sample

VERSION = 1
"""Raised when the same run gives other evidence."""

STAGES = ("classify", "localize", "refine", "segment")
"""What the evidence is made of; made again, they make it anew."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one image.

    Args:
        id: The image.
        split: Name of its split.
        free: Share of the pixels on which the segmenter's labels and the mask differ, 0..1; None without a segmenter.
        given: The same with the segmenter's labels restricted to the image's tags.
        seed: Share of the pixels on which the seed, cut at the background threshold, and the mask differ; None for a
            method without a threshold.
        unstable: Share of the pixels that another threshold would label otherwise (`refine.stable_within`); None if the
            run has not tried that on the image.
        shares: Share of the pixels that each tagged class has in the mask, by class index.
        tags: 0 or 1 per class.
        known: Whether each tag is known.
        likely: How likely the classifier thinks each class, 0..1.
    """

    id: str
    split: str
    free: float | None
    given: float | None
    seed: float | None
    unstable: float | None
    shares: dict[int, float]
    tags: tuple[int, ...]
    known: tuple[bool, ...]
    likely: tuple[float, ...]


def measure_image(
    sample: Sample,
    split: str,
    mask: NDArray[np.uint8],
    *,
    maps: NDArray[np.float32],
    threshold: float | None,
    confidence: NDArray[np.uint8] | None,
    probabilities: NDArray[np.float32] | None,
    likely: Sequence[float],
) -> Evidence:
    """Put together what is known of one image.

    Args:
        sample: The image.
        split: Name of its split.
        mask: (H, W) uint8, its mask at the size that networks see.
        maps: (K, H, W) float32 in 0..1, its seed, one map per tag.
        threshold: The background threshold; None for a method without one.
        confidence: uint8 of any shape, 0 where another threshold labels otherwise; None if none was tried.
        probabilities: (L, H, W) float32 of the segmenter; None without one.
        likely: How likely the classifier thinks each class.
    """
    free = given = None
    if probabilities is not None:
        own = [0, *(key + 1 for key in sample.keys)]
        free = differing_share(probabilities.argmax(axis=0), mask)
        given = differing_share(np.array(own)[probabilities[own].argmax(axis=0)], mask)
    seed = None
    if threshold is not None:
        seed = differing_share(seed_to_mask(maps, sample.keys, background_threshold=threshold), mask)
    return Evidence(
        id=sample.id,
        split=split,
        free=free,
        given=given,
        seed=seed,
        unstable=None if confidence is None else float(np.mean(confidence == 0)),
        shares={key: float(np.mean(mask == key + 1)) for key in sample.keys},
        tags=tuple(int(tag) for tag in sample.tags),
        known=tuple(bool(known) for known in sample.known),
        likely=tuple(round(float(value), 6) for value in likely),
    )


def differing_share(labels: NDArray[np.integer], mask: NDArray[np.uint8]) -> float:
    """Return the share of the pixels on which two label maps of one size differ, 0..1."""
    return float(np.mean(labels != mask))


def name_sources(folder: RunFolder) -> dict[str, JsonValue]:
    """Name what the evidence depends on: the stages as they are now."""
    records = read_records(folder)
    return {"version": VERSION, **{name: records[name].fingerprint for name in STAGES if name in records}}


def write_evidence(folder: RunFolder, made_of: dict[str, JsonValue], known: Iterable[Evidence]) -> None:
    """Keep what was measured, with what it depends on."""
    write_json(folder.evidence, {"made_of": made_of, "images": [asdict(found) for found in known]})


def read_evidence(folder: RunFolder, made_of: dict[str, JsonValue]) -> dict[str, Evidence]:
    """Return what was measured by image id; empty if that was on other results, or the file is damaged."""
    try:
        document = decode_json(folder.evidence.read_bytes())
        return {entry["id"]: _parse(entry) for entry in document["images"]} if document["made_of"] == made_of else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # only a cache


def _parse(entry: dict[str, Any]) -> Evidence:
    tuples = {name: tuple(entry[name]) for name in ("tags", "known", "likely")}
    shares = {int(key): float(share) for key, share in entry["shares"].items()}
    return Evidence(**{**entry, **tuples, "shares": shares})
