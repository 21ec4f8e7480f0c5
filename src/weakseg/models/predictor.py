"""Labels and their probabilities from anything that turns images into logits: a trained network or an ONNX file.

An image is seen whole or in tiles (`weakseg.models.tiling`), at several scales, mirrored or not. Probabilities are put
together at the network's stride; only one label at a time is brought to full size, so that the memory for L labels is
that of their maps at the stride, and 14 bytes per pixel beyond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, product
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.inference import LabelledPixels, label_views, require_scales
from weakseg.models.modes import evaluating
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.models.tiling import Span, Tiling, cut_axis
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import limit_side, normalise, require_image, resize_image, scaled_size_hw

Item = TypeVar("Item")


class DenseNetwork(Protocol):
    """What prediction asks of a network."""

    @property
    def num_labels(self) -> int:
        """Number of labels L, background included."""
        ...

    @property
    def stride(self) -> int:
        """Ratio of the input's size to the logits'."""
        ...

    def __call__(self, batch: Tensor, /) -> Tensor:
        """Turn images (N, 3, H, W) float32 on the CPU, see `weakseg.ops.images.normalise`, into logits.

        Returns:
            (N, L, ceil(H / stride), ceil(W / stride)) float32 on any device, without gradients.
        """
        ...


class TorchNetwork:
    """A trained network as a `DenseNetwork`: in evaluation mode while it is called, without gradients.

    Args:
        module: The network, on the device it is to run on; gets its modes back after each call.
    """

    def __init__(self, module: SegmentationNetwork) -> None:
        self._module = module
        self.num_labels = module.num_labels
        self.stride = module.stride

    def __call__(self, batch: Tensor, /) -> Tensor:
        """See `DenseNetwork`; the logits stay on the network's device."""
        with torch.no_grad(), evaluating(self._module):
            logits: Tensor = self._module(batch.to(next(self._module.parameters()).device))
        return logits


@dataclass(frozen=True)
class Views:
    """How an image is looked at, and what follows.

    Args:
        scales: Factors the image is resized by (bicubic).
        flip: Whether each scale is also seen mirrored left-right.
        max_side_px: Scale 1 is the image shrunk to this longer side; None for no limit.
        crf: The CRF on the mean probabilities, which runs on the shrunk image; None for none.
        pixel_range: (lowest, highest): how values of more than 8 bits became 0..255 in training; None if there were
            none. Whoever reads the images heeds it.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    max_side_px: int | None = None
    crf: CRFSettings | None = None
    pixel_range: tuple[float, float] | None = None


def predict_views(
    network: DenseNetwork,
    images: Sequence[NDArray[np.uint8]],
    *,
    views: Views,
    tiling: Tiling,
    batch: int = 1,
) -> list[tuple[Tensor, ...]]:
    """Return the probabilities of every label at the network's stride, one map per scale.

    Args:
        network: The network.
        images: (H, W, 3) uint8 RGB, all of one size, not modified.
        views: How to look at them.
        tiling: How views are cut that are larger than a tile.
        batch: So many tiles, or images that need none, go through the network at once.

    Returns:
        For each image one map (L, h, w) float32 per scale, h and w those of the scaled image over the stride, rounded
        up. Each pixel's probabilities add up to 1.

    Raises:
        ShapeError: If an image is none, sizes differ, there is no scale, or the network's logits are of another size
            than it promises.
        ConfigError: If `batch` is below 1.
    """
    require_scales(views.scales)
    if batch < 1:
        raise ConfigError(f"batch: expected 1 or more, got {batch}")
    if not images:
        return []
    sizes_hw = {image.shape[:2] for image in images}
    if len(sizes_hw) > 1:
        raise ShapeError(f"expected images of one size, got {sorted(sizes_hw)}")
    found: list[list[Tensor]] = [[] for _ in images]
    for scale in views.scales:
        seen = []
        for image in images:
            require_image(image)
            base = limit_side(image, views.max_side_px)
            seen.append(resize_image(base, scaled_size_hw((base.shape[0], base.shape[1]), scale)))
        maps = _predict_tiles(network, seen, tiling, batch)
        if views.flip:
            # The mirrored image is cut anew: its cells begin at the other side, as they do when it is seen whole.
            mirrored = _predict_tiles(network, [image[:, ::-1] for image in seen], tiling, batch)
            maps = [(plain + other.flip(-1)) / 2 for plain, other in zip(maps, mirrored, strict=True)]
        for so_far, view in zip(found, maps, strict=True):
            so_far.append(view)
    return [tuple(maps) for maps in found]


def choose_labels(
    maps: Sequence[Tensor],
    image: NDArray[np.uint8],
    *,
    views: Views,
    allowed: Sequence[int] | None = None,
) -> LabelledPixels:
    """Choose the most probable label of every pixel.

    Args:
        maps: What `predict_views` returned for the image: probabilities (L, h, w) float32.
        image: (H, W, 3) uint8 RGB, not modified.
        views: How the maps were made.
        allowed: Labels that may be chosen, see `weakseg.models.inference.label_views`; None for all.

    Returns:
        The labels, the smaller one where two are equally likely.

    Raises:
        ShapeError: If no label is allowed or one that there is not, or a probability is NaN.
        ConfigError: If a setting of the CRF is out of range.
    """
    base = limit_side(image, views.max_side_px)
    return label_views(maps, base, (image.shape[0], image.shape[1]), crf=views.crf, allowed=allowed)


@dataclass(frozen=True, eq=False)
class _Tile:
    """One tile of one image of a batch."""

    image: int
    rows: Span
    columns: Span

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rows.size_px, self.columns.size_px


def _predict_tiles(
    network: DenseNetwork, images: Sequence[NDArray[np.uint8]], tiling: Tiling, batch: int
) -> list[Tensor]:
    """Return the probabilities (L, h, w) of each image, put together from tiles."""
    height, width = images[0].shape[:2]
    rows, columns = (cut_axis(length, tiling=tiling, stride=network.stride) for length in (height, width))
    tiles = [_Tile(image, *place) for image in range(len(images)) for place in product(rows, columns)]
    # Only those of the last row and column can be of another size; a stable sort keeps the order otherwise.
    tiles.sort(key=lambda tile: tile.size_hw, reverse=True)
    maps: list[Tensor] = []
    for _, same in groupby(tiles, key=lambda tile: tile.size_hw):
        for group in batched(same, batch):
            crops = [normalise(images[tile.image][tile.rows.pixels, tile.columns.pixels]) for tile in group]
            found = _look(network, torch.stack(crops))
            if not maps:
                size = (network.num_labels, rows[-1].cells.stop, columns[-1].cells.stop)
                maps = [torch.zeros(size, device=found.device) for _ in images]
            for tile, probabilities in zip(group, found, strict=True):
                weights = (tile.rows.weights[:, None] * tile.columns.weights).to(found.device)
                maps[tile.image][:, tile.rows.cells, tile.columns.cells] += probabilities * weights
    return maps


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Part items into lists of at most `size`, in order (`itertools.batched` needs Python 3.12)."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _look(network: DenseNetwork, batch: Tensor) -> Tensor:
    """Return the probabilities (N, L, h, w) of a batch."""
    logits = network(batch)
    number, _, height, width = batch.shape
    expected = (number, network.num_labels, math.ceil(height / network.stride), math.ceil(width / network.stride))
    if logits.shape != expected:
        raise ShapeError(f"expected logits {expected} of the network, which it promises, got {tuple(logits.shape)}")
    return logits.softmax(dim=1)
