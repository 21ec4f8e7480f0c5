"""What `weakseg check` finds out, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Problem
from weakseg.types import ClassSet


@dataclass(frozen=True, eq=False)
class SplitReport:
    """What one split holds; unreadable images are counted in `num_images` only.

    Args:
        name: Reader's name.
        split: Name of the split.
        classes: Its C classes.
        num_images: Number of samples.
        num_readable: Number of them whose image can be decoded.
        num_masks: Number of them with a readable truth mask.
        positives: (C,) int64 images that are known to show the class.
        negatives: (C,) int64 images that are known not to show it.
        unknown: (C,) int64 images of which it is not known.
        cooccurrence: (C, C) int64 images that show both classes; the diagonal is `positives`.
        formats: File formats and their numbers of images, most frequent first.
        modes: Pixel modes and their numbers of images, most frequent first.
    """

    name: str
    split: str
    classes: ClassSet
    num_images: int
    num_readable: int
    num_masks: int
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    unknown: NDArray[np.int64]
    cooccurrence: NDArray[np.int64]
    formats: tuple[tuple[str, int], ...]
    modes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Args:
        splits: One report per data set, the one to train on first.
        problems: All findings, errors first.
    """

    splits: tuple[SplitReport, ...]
    problems: tuple[Problem, ...]

    @property
    def fails(self) -> bool:
        """Whether training would fail or learn nothing, that is, whether there is an error among the problems."""
        return any(problem.severity == "error" for problem in self.problems)
