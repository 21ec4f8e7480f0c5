"""The choice among candidate thresholds by the average of a statistic over images, and by the area of the masks.

A statistic is a noisy and a biased guide: averages over a hundred images scatter, their curves are flat at the top, and
colours tell more about the head of a drawn animal than about the whole, and more about a photographed one together with
the meadow it stands on. What does not depend on network and refinement is how much of an image its tagged objects take:
about a fifth (docs/threshold.md has measurements). Each candidate is therefore judged by both, as by a likelihood and a
prior: the logarithm of its average, less the squared logarithm of how far its masks are from that area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

CANDIDATES = (
    *(0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
    *(0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
)
"""Thresholds to choose among: about equal ratios below, since seeds of CAM are peaks with long feet; equal steps above,
for those of textures and of maps averaged over similar places, whose feet are high."""

USUAL = 0.15
"""The schema's default: taken where nothing is known, not even areas."""

USUAL_AREA = 0.235
"""Share of an image that its tagged objects usually take; chosen on training images, see docs/threshold.md."""

FAR_OFF = 3.0
"""Seeds that take so many times more or less than the usual area are not worth a refinement: it would have to move most
of their outlines."""

FIRST_JUDGES = 20
"""So many images are refined at every candidate, the others only where one may still win; docs/threshold.md says what
that changes."""

FAR_BEHIND = 0.3
"""A candidate that less than this speaks for, against the leading one, has lost: by logarithms, as in the choice."""


@dataclass(frozen=True)
class ThresholdChoice:
    """A chosen threshold.

    Args:
        threshold: One of the candidates.
        best: The one with the largest average; the chosen one itself where nothing is clear.
        candidates: All of them, ascending.
        curve: Average of the statistic at each; None where no image defines it.
        images: Number of images.
        areas: Mean share of the foreground in the masks at each, 0..1; None where it is not known.
        is_clear: Whether any two candidates differ, and the best average is above 0; if not, areas alone decide.
        corrected: By how many masks that a person has corrected it was chosen, besides colours and areas; the curve is
            then the mean IoU with these. 0 where colours and areas alone have chosen.
    """

    threshold: float
    best: float
    candidates: tuple[float, ...]
    curve: tuple[float | None, ...]
    images: int
    areas: tuple[float | None, ...]
    is_clear: bool
    corrected: int = 0


def choose_threshold(
    scores: NDArray[np.float64], candidates: Sequence[float], *, areas: NDArray[np.float64]
) -> ThresholdChoice:
    """Choose the candidate whose masks the statistic supports and whose area is not far from the usual one.

    Args:
        scores: (N, T) one image's statistic per row, NaN where it is undefined. N may be 0. Not modified.
        candidates: (T,) thresholds above 0, ascending.
        areas: (N, T) share of the foreground in the masks of these images, 0..1. Not modified.

    Returns:
        The choice: the candidate with the largest `ln(average / largest average) - ln(area / 0.235)^2`, the lower of
        two; averages and areas are means over the images. Where all averages are equal or undefined, as for maps that
        are 0 everywhere, or none is above 0, as where colours tell nothing, the candidate whose area is nearest to the
        usual one, by ratio; 0.15, or the candidate nearest to it, where no mask has foreground.

    Raises:
        ShapeError: If scores, areas and candidates do not fit.
    """
    if scores.ndim != 2 or not candidates or scores.shape[1] != len(candidates):
        raise ShapeError(f"expected scores (images, {len(candidates)}), one column per candidate, got {scores.shape}")
    if areas.shape != scores.shape:
        raise ShapeError(f"expected areas {scores.shape} as the scores, got {areas.shape}")
    means = _average(scores)
    found = means[~np.isnan(means)]
    is_clear = bool(found.size) and bool(found.max() > max(found.min(), 0))
    distances = _tell_distances(areas)
    if not np.isfinite(distances).any():
        distances = np.abs(np.log(np.array(candidates) / USUAL))
    best = int(np.nanargmax(means)) if is_clear else int(distances.argmin())
    place = int(_support(means, distances).argmax()) if is_clear else best
    return ThresholdChoice(
        threshold=float(candidates[place]),
        best=float(candidates[best]),
        candidates=tuple(candidates),
        curve=tuple(None if np.isnan(mean) else round(float(mean), 6) for mean in means),
        images=len(scores),
        areas=tuple(round(float(share), 6) for share in areas.mean(axis=0)) if len(areas) else (None,) * len(means),
        is_clear=is_clear,
    )


def choose_in_rounds(
    scores: NDArray[np.float64], candidates: Sequence[float], *, areas: NDArray[np.float64]
) -> ThresholdChoice:
    """Choose as `choose_threshold` does, among the candidates that are `still_open` after the first images.

    Args:
        scores: (N, T) as there; after the first 20 rows, columns of lost candidates may hold anything. Not modified.
        candidates: (T,) thresholds above 0, ascending.
        areas: (N, T) likewise. Not modified.

    Raises:
        ShapeError: If scores, areas and candidates do not fit.
    """
    places = list(still_open(scores[:FIRST_JUDGES], candidates, areas=areas[:FIRST_JUDGES]))
    return choose_threshold(scores[:, places], [candidates[place] for place in places], areas=areas[:, places])


def still_open(
    scores: NDArray[np.float64], candidates: Sequence[float], *, areas: NDArray[np.float64]
) -> tuple[int, ...]:
    """Return the places of the candidates that more images may still make the choice, ascending, at least one.

    Args:
        scores: (N, T) of the first images, as for `choose_threshold`. Not modified.
        candidates: (T,) thresholds above 0, ascending.
        areas: (N, T) likewise. Not modified.

    Returns:
        Those whose support is at most 0.3 below the largest; all where colours or areas tell nothing.

    Raises:
        ShapeError: If scores, areas and candidates do not fit.
    """
    if not choose_threshold(scores, candidates, areas=areas).is_clear:
        return tuple(range(len(candidates)))
    support = _support(_average(scores), _tell_distances(areas))
    if not np.isfinite(support).any():
        return tuple(range(len(candidates)))
    return tuple(np.flatnonzero(support >= support.max() - FAR_BEHIND).tolist())


def tell_support(
    scores: NDArray[np.float64], candidates: Sequence[float], *, areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what colours and areas say for every candidate, as logarithms, for further evidence to be added to.

    Args:
        scores: (N, T) as for `choose_in_rounds`; NaN where a candidate was not tried any more. Not modified.
        candidates: (T,) thresholds above 0, ascending.
        areas: (N, T) likewise. Not modified.

    Returns:
        (T,) `ln(average / largest average) - ln(area / 0.235)^2`; the second term alone where colours tell nothing, and
        0 where areas do not either. Minus infinity for a candidate that cannot be.

    Raises:
        ShapeError: If scores, areas and candidates do not fit.
    """
    if scores.shape != areas.shape or scores.ndim != 2 or scores.shape[1] != len(candidates):
        raise ShapeError(f"expected scores and areas (images, {len(candidates)}), got {scores.shape} and {areas.shape}")
    means, distances = _average(scores), _tell_distances(areas)
    found = means[~np.isnan(means)]
    is_clear = bool(found.size) and bool(found.max() > max(found.min(), 0))
    support: NDArray[np.float64] = _support(means, distances) if is_clear else -distances
    return support if np.isfinite(support).any() else np.zeros(len(candidates))


def worth_refining(candidates: Sequence[float], seed_areas: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the candidates whose seeds take about the usual area.

    Args:
        candidates: (T,) thresholds above 0, ascending.
        seed_areas: (N, T) share of the foreground in the seeds of some images, cut at each, 0..1. Not modified.

    Returns:
        Those with a mean area from a third of the usual one to three times as much; all where none is, or no image.

    Raises:
        ShapeError: If areas and candidates do not fit.
    """
    if seed_areas.ndim != 2 or seed_areas.shape[1] != len(candidates):
        raise ShapeError(f"expected areas (images, {len(candidates)}), got {seed_areas.shape}")
    if not len(seed_areas):
        return tuple(candidates)
    means = seed_areas.mean(axis=0)
    near = (means * FAR_OFF >= USUAL_AREA) & (means <= USUAL_AREA * FAR_OFF)
    return tuple(np.asarray(candidates)[near].tolist()) or tuple(candidates)


def _average(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of every column over what is defined; NaN where nothing is."""
    defined = ~np.isnan(scores)
    counts = defined.sum(axis=0)
    sums = np.where(defined, scores, 0).sum(axis=0)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(scores.shape[1], np.nan), where=counts > 0)
    return means


def _tell_distances(areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the mean of every column (N, T) is from the usual area; infinity where nothing is covered."""
    distances = np.full(areas.shape[1], np.inf)
    shares = _average(areas)
    covers = shares > 0  # NaN does not
    distances[covers] = np.log(shares[covers] / USUAL_AREA) ** 2
    return distances


def _support(means: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what speaks for every candidate; minus infinity where the average is undefined or not above 0."""
    found = np.full(len(means), -np.inf)
    speaks = means > 0  # NaN does not
    found[speaks] = np.log(means[speaks] / means[speaks].max()) - distances[speaks]
    return found
