"""Class-disjoint partners: the random images that fill up an adaptation batch of RIB.

An image is a partner of another if it shows some class and is known to show none of the other's. What is drawn for an
image depends on the seed and the image's position alone, not on the images before it, so that a run may be split over
processes, killed and resumed without a change. Crops are decoded and augmented by threads ahead of time.

Two ways to draw them: `fresh`, as the released code does, decodes new crops for every iteration of every image;
`pooled` slides a window over one long sequence of random crops, so that an image costs a few new crops instead of
iterations x batch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.base import Dataset
from weakseg.data.transforms import Augmentation, augment_image
from weakseg.errors import ConfigError
from weakseg.spelling import require_option

PartnerMode = Literal["fresh", "pooled"]

FRESH_STREAM, POOL_STREAM, CHOICE_STREAM = 1, 2, 3
"""Keep the random numbers of the three kinds of draws apart."""

POOL_BATCHES = 10
"""The pool holds this many batches; with the released ten iterations as many crops as one image sees when fresh."""

REFRESH_SHARE = 0.1
"""Share of the pool that is new for each image."""

AHEAD = 2
"""Batches that are decoded before they are asked for."""


class PartnerIndex:
    """Which images show which class, looked up instead of scanned.

    Args:
        dataset: The images partners are drawn from.
    """

    def __init__(self, dataset: Dataset) -> None:
        tags = np.stack([sample.tags for sample in dataset]).astype(bool)
        known = np.stack([sample.known for sample in dataset])
        self._may_show = np.ascontiguousarray((tags | ~known).T)  # (C, N): unknown counts as shown
        self._shows_any = tags.any(axis=1)

    def find_disjoint(self, keys: Sequence[int]) -> NDArray[np.int64]:
        """Return the positions of all images that show some class, and are known to show none of `keys`, ascending."""
        shared = self._may_show[list(keys)].any(axis=0)
        return np.flatnonzero(self._shows_any & ~shared).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Crop:
    """One augmented image of the pool and where it comes from."""

    position: int
    pixels: Tensor


class PartnerSource:
    """Draws adaptation batches, from several threads if need be; use it as a context manager, since it owns threads.

    Args:
        dataset: The images partners are drawn from.
        augmentation: Random changes of a partner.
        batch_size: Partners per batch; 0 adapts every image alone.
        iterations: Batches per adapted image.
        mode: `fresh` or `pooled`.
        seed: Seed of all draws.
        threads: Threads that decode ahead of time, at least 1.

    Raises:
        ConfigError: If there is no such mode, or a number is below its least.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        batch_size: int,
        iterations: int,
        mode: PartnerMode,
        seed: int,
        threads: int,
    ) -> None:
        require_option(mode, ("fresh", "pooled"), what="mode of partners")
        if batch_size < 0 or min(iterations, threads) < 1:
            raise ConfigError(
                "partners: expected a batch_size of at least 0, iterations and threads of at least 1, "
                f"got {batch_size}, {iterations} and {threads}"
            )
        self.dataset = dataset
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.iterations = iterations
        self.mode = mode
        self.seed = seed
        self.index = PartnerIndex(dataset)
        self._tagged = self.index.find_disjoint(())
        self._threads = ThreadPoolExecutor(threads)
        self._window: deque[Future[_Crop]] = deque()
        self._window_start = 0
        self._sliding = threading.Lock()

    def __enter__(self) -> PartnerSource:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def has_partners(self, keys: Sequence[int]) -> bool:
        """Say whether any image is disjoint from the classes `keys`."""
        return len(self.index.find_disjoint(keys)) > 0

    def draw(self, position: int, keys: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw the batches of one adapted image.

        Args:
            position: Place of the image among those that are adapted; with the seed it decides what is drawn.
            keys: The image's own classes.

        Yields:
            `iterations` times: images (B, 3, S, S) float32, normalised, and their tags (B, C) float32; B is 0 when no
            image is disjoint.
        """
        disjoint = self.index.find_disjoint(keys)
        if len(disjoint) == 0:
            for _ in range(self.iterations):
                yield self._collate([])
        elif self.mode == "pooled" and (pool := self._pooled(position, disjoint)):
            for iteration in range(self.iterations):
                rng = np.random.default_rng([self.seed, CHOICE_STREAM, position, iteration])
                yield self._collate([pool[index].result() for index in _choose(rng, len(pool), self.batch_size)])
        else:
            yield from self._draw_fresh(position, disjoint)

    def _draw_fresh(self, position: int, disjoint: NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
        def load(iteration: int) -> list[Future[_Crop]]:
            rng = np.random.default_rng([self.seed, FRESH_STREAM, position, iteration])
            chosen = disjoint[_choose(rng, len(disjoint), self.batch_size)]
            streams = rng.spawn(len(chosen))
            return [self._threads.submit(self._crop, int(at), own) for at, own in zip(chosen, streams, strict=True)]

        waiting = deque(load(iteration) for iteration in range(min(AHEAD, self.iterations)))
        try:
            for iteration in range(self.iterations):
                if iteration + AHEAD < self.iterations:
                    waiting.append(load(iteration + AHEAD))
                yield self._collate([future.result() for future in waiting.popleft()])
        finally:  # an adaptation that stops early leaves batches unasked for
            for futures in waiting:
                for future in futures:
                    future.cancel()

    def _pooled(self, position: int, disjoint: NDArray[np.int64]) -> list[Future[_Crop]]:
        """Slide the window to where it belongs for a position and return its disjoint crops.

        The crops that the next position will bring in are already being decoded, but do not take part yet.
        """
        with self._sliding:
            return self._slide(position, disjoint)

    def _slide(self, position: int, disjoint: NDArray[np.int64]) -> list[Future[_Crop]]:
        size = POOL_BATCHES * self.batch_size
        fresh = max(1, round(REFRESH_SHARE * size))
        start = position * fresh
        if not self._window_start <= start <= self._window_start + len(self._window):
            self._window.clear()
            self._window_start = start
        while self._window_start < start:
            self._window.popleft().cancel()
            self._window_start += 1
        while len(self._window) < size + fresh:
            number = self._window_start + len(self._window)
            rng = np.random.default_rng([self.seed, POOL_STREAM, number])
            chosen = int(self._tagged[rng.integers(len(self._tagged))])
            self._window.append(self._threads.submit(self._crop, chosen, rng))
        allowed = set(disjoint.tolist())
        return [future for future in islice(self._window, size) if future.result().position in allowed]

    def _crop(self, position: int, rng: np.random.Generator) -> _Crop:
        image = self.dataset.load_image(self.dataset.samples[position])
        pixels, _ = augment_image(image, None, self.augmentation, rng)
        return _Crop(position, pixels)

    def _collate(self, crops: Sequence[_Crop]) -> tuple[Tensor, Tensor]:
        side_px, num_classes = self.augmentation.crop_px, len(self.dataset.classes)
        images, tags = torch.zeros(len(crops), 3, side_px, side_px), torch.zeros(len(crops), num_classes)
        for row, crop in enumerate(crops):
            images[row] = crop.pixels
            tags[row] = torch.from_numpy(self.dataset.samples[crop.position].tags.astype(np.float32))
        return images, tags


def _choose(rng: np.random.Generator, number: int, wanted: int) -> NDArray[np.int64]:
    """Choose indices below `number`, without repeats where there are enough."""
    return rng.choice(number, wanted, replace=number < wanted)
