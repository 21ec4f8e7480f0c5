"""Training images kept in memory, decoded and shrunk, so that not every epoch decodes every file again.

The cache is filled before worker processes start: those that are forked see the parent's memory and copy none of it.
Where processes are not forked (macOS, Windows) the pictures stay behind, and workers decode as without a cache. What is
kept is what would have been loaded, so that a cache of any size changes no batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import WeaksegError

LOADED_TOGETHER = 8
"""Pictures per thread that are loaded before their bytes are counted."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and its mask as a training reads them.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, or None where there are no masks.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of both arrays."""
        return self.pixels.nbytes + (0 if self.labels is None else self.labels.nbytes)


class ImageCache:
    """Pictures by their position in a dataset: kept ones from memory, the others loaded each time.

    Args:
        load: Loads a picture.
    """

    def __init__(self, load: Callable[[int], Picture]) -> None:
        self._load = load
        self._kept: dict[int, Picture] = {}

    def __len__(self) -> int:
        """Return how many pictures are kept."""
        return len(self._kept)

    def __getitem__(self, position: int) -> Picture:
        """Return the picture at a position; callers must not write into it."""
        kept = self._kept.get(position)
        return self._load(position) if kept is None else kept

    def __getstate__(self) -> dict[str, object]:
        """Leave the pictures behind: sending them to a process takes longer than decoding them there."""
        return {"_load": self._load, "_kept": {}}

    def fill(self, positions: Sequence[int], *, max_bytes: int, threads: int) -> None:
        """Load pictures and keep them, in the order given, as long as they fit.

        A picture that cannot be loaded is passed over: who asks for it gets the error.

        Args:
            positions: Which ones.
            max_bytes: Memory that all kept pictures together may take; 0 keeps none.
            threads: Threads that decode, at least 1. They end before this returns, since forking beside running threads
                is not safe.
        """
        free = max_bytes - sum(picture.num_bytes for picture in self._kept.values())
        if free <= 0:
            return
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(positions), LOADED_TOGETHER * threads):
                chunk = positions[start : start + LOADED_TOGETHER * threads]
                for position, picture in zip(chunk, pool.map(self._try_to_load, chunk), strict=True):
                    if picture is None:
                        continue
                    free -= picture.num_bytes
                    if free < 0:
                        return
                    self._kept[position] = picture

    def _try_to_load(self, position: int) -> Picture | None:
        try:
            return self._load(position)
        except WeaksegError:
            return None
