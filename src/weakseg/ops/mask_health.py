"""What a pseudo mask and its seed tell of each of the image's own tags, without any truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.types import IGNORE_LABEL, NORMALISATION_EPS, ScoreMaps

STEP_PX = 4
"""Seeds are compared with every fourth pixel of the mask in each direction: a sixteenth of the work, equal shares."""

CORE = 0.5
"""The core of a seed: where its map is at least half of its maximum, whatever the background threshold is."""

NOBODY = -1
"""In place of a class index: no other class has a pixel of the core."""


@dataclass(frozen=True)
class TagFacts:
    """What is known of one tag of one image.

    Args:
        share: Share of the labelled pixels that have the class, 0..1; 0 where no pixel is labelled.
        foreground: Share that any class has, 0..1.
        peak: Largest raw score of the class at any scale; 0 if the classifier does not see it.
        core: Share of the image that the seed's core covers, 0..1; 0 without a peak.
        core_cells: The same in pixels of the score map at the first scale, that is in squares of the network's stride.
        marked: Share of the image where the seed alone, by the background threshold, says this class, 0..1.
        rival: The other tagged class that has most of the core in the mask, or `NOBODY`.
        rival_share: Its share of the core, 0..1.
    """

    share: float
    foreground: float
    peak: float
    core: float
    core_cells: float
    marked: float
    rival: int
    rival_share: float

    def to_numbers(self) -> tuple[float, ...]:
        """Return all values as numbers, so that processes can exchange them."""
        return tuple(float(value) for value in astuple(self))

    @classmethod
    def from_numbers(cls, values: Sequence[float]) -> TagFacts:
        """Rebuild what `to_numbers` returned."""
        share, foreground, peak, core, core_cells, marked, rival, rival_share = values
        return cls(share, foreground, peak, core, core_cells, marked, round(rival), rival_share)


NUM_FACTS = len(TagFacts.__dataclass_fields__)
"""How many numbers `TagFacts.to_numbers` returns."""


def examine_tags(labels: NDArray[np.uint8], seed: ScoreMaps, *, threshold: float | None) -> tuple[TagFacts, ...]:
    """Compare a pseudo mask with the seed it was made of, tag by tag.

    Args:
        labels: (H, W) uint8, 0 background, class index + 1, 255 no label. Not modified.
        seed: The raw score maps of the image's own tags; they are rebuilt at the size of the mask.
        threshold: Background threshold of the masks, 0..1; None for a method without one, for which the core stands in.

    Returns:
        One entry per key of the seed, in its order; none for an image without tags.

    Raises:
        ShapeError: If the mask is not (H, W) uint8 with at least one pixel.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8 or labels.size == 0:
        raise ShapeError(f"expected labels (H, W) uint8 with a pixel, got {labels.shape} {labels.dtype}")
    if not seed.keys:
        return ()
    height, width = labels.shape
    counts = np.bincount(labels.ravel(), minlength=IGNORE_LABEL + 1)
    labelled = int(counts[:IGNORE_LABEL].sum())
    maps = replace(seed, size_hw=(height, width)).strided(STEP_PX).cpu().numpy()
    small = labels[::STEP_PX, ::STEP_PX]
    strongest = maps.argmax(axis=0)
    cells = seed.scales[0].shape[1] * seed.scales[0].shape[2]
    facts = []
    for place, key in enumerate(seed.keys):
        peak = max(float(scale[place].max()) for scale in seed.scales)
        # Below this, the normalised map is noise of the division: the class was not seen.
        peak = peak if peak > NORMALISATION_EPS else 0.0
        core = (maps[place] >= CORE * maps[place].max()) & (peak > 0)
        level = CORE * maps[place].max() if threshold is None else threshold
        marked = (maps[place] > level) & (strongest == place)
        rival, rival_share = _find_rival(small[core], key, seed.keys)
        facts.append(
            TagFacts(
                share=_divide(int(counts[key + 1]), labelled),
                foreground=_divide(labelled - int(counts[0]), labelled),
                peak=peak,
                core=float(core.mean()),
                core_cells=float(core.mean()) * cells,
                marked=float(marked.mean()),
                rival=rival,
                rival_share=rival_share,
            )
        )
    return tuple(facts)


def _find_rival(labels: NDArray[np.uint8], key: int, keys: Sequence[int]) -> tuple[int, float]:
    """Return the other class that has most of some pixels (N,), the first among equals, and its share of them."""
    counts = {other: int((labels == other + 1).sum()) for other in keys if other != key}
    rival = max(counts, key=counts.__getitem__, default=NOBODY)
    if rival == NOBODY or counts[rival] == 0:
        return NOBODY, 0.0
    return rival, _divide(counts[rival], labels.size)


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
