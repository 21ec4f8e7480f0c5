"""Donors: objects cut out of images by the masks of a finished run, to be pasted into other images.

CDA (Su et al., "Context Decoupling Augmentation for Weakly Supervised Semantic Segmentation", ICCV 2021) takes them
from simple images: those whose mask shows exactly one class, on 10 to 70 % of the image (docs/sources.md#cda).
`weakseg.data.pasting` pastes them. A pool keeps its donors compressed: of photographs about 45 kB each.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.base import Dataset, MaskReader
from weakseg.errors import ConfigError, DataError
from weakseg.ops.images import limit_side
from weakseg.types import IGNORE_LABEL, ClassSet, Sample

AREA_SHARE = (0.1, 0.7)
"""Smallest and largest share of its image, both inclusive, that a donor covers (the released values)."""

MAX_PER_CLASS = 200
"""Donors kept per class, which bounds the memory: of photographs about 180 MB for 20 classes, 720 MB for 80."""

MAX_SIDE_PX = 320
"""Longer side of a kept donor. In a host of 512 px a pasted one has at most 358 px."""

_JPEG_QUALITY = 95
HALF = 128
"""From this level on a resampled outline (0..255) belongs to the object."""


@dataclass(frozen=True, eq=False)
class Donor:
    """An object and the pixels around it within its bounding box.

    Args:
        key: Its class.
        source_id: Id of the image it comes from.
        pixels: (h, w, 3) uint8 RGB, the tight crop.
        outline: (h, w) bool, True on the object; each side of the crop is touched unless the crop was shrunk.
    """

    key: int
    source_id: str
    pixels: NDArray[np.uint8]
    outline: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PackedDonor:
    """A donor as a pool keeps it.

    Args:
        key: Its class.
        source_id: Id of the image it comes from.
        area_share: Share of that image it covers, 0..1.
        jpeg: The pixels; quality 95, colour at full resolution.
        outline_png: The outline, one bit per pixel.
    """

    key: int
    source_id: str
    area_share: float
    jpeg: bytes
    outline_png: bytes

    def unpack(self) -> Donor:
        """Decode the donor: about 2 ms at 320 x 320 px."""
        with Image.open(io.BytesIO(self.jpeg)) as pixels, Image.open(io.BytesIO(self.outline_png)) as outline:
            return Donor(self.key, self.source_id, np.array(pixels), np.array(outline))


@dataclass(frozen=True)
class DonorStatistics:
    """What was found of one class.

    Args:
        name: Class name.
        found: Images that qualify.
        kept: Donors in the pool.
        mean_share: Mean over the found of the share of its image that a donor covers, 0..1; None without any.
    """

    name: str
    found: int
    kept: int
    mean_share: float | None


class DonorPool:
    """Donors by class. Picklable, since loader workers carry it; forked ones share its memory.

    Args:
        classes: The classes.
        donors: The donors, in any order.
        found_shares: Per class the area shares of all images that qualified, kept or not.
    """

    def __init__(
        self,
        classes: ClassSet,
        donors: Sequence[PackedDonor],
        *,
        found_shares: Sequence[Sequence[float]],
    ) -> None:
        self._by_class = tuple(tuple(d for d in donors if d.key == key) for key in range(len(classes)))
        self._counts = np.array([len(own) for own in self._by_class], np.int64)
        self.statistics = tuple(
            DonorStatistics(name, len(shares), len(own), float(np.mean(shares)) if shares else None)
            for name, shares, own in zip(classes, found_shares, self._by_class, strict=True)
        )

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def classes_without_donor(self) -> tuple[str, ...]:
        """Names of the classes that will not be pasted."""
        return tuple(entry.name for entry in self.statistics if not entry.kept)

    @property
    def size_bytes(self) -> int:
        """Memory that the donors take."""
        return sum(len(donor.jpeg) + len(donor.outline_png) for own in self._by_class for donor in own)

    def draw(self, rng: np.random.Generator, allowed: NDArray[np.bool_]) -> Donor | None:
        """Draw a donor, each of the allowed classes' equally likely.

        Args:
            rng: Source of randomness.
            allowed: (C,) bool, the classes to draw from.

        Returns:
            The donor, decoded; None if those classes have none, in which case nothing is drawn from `rng`.
        """
        ends = np.cumsum(np.where(allowed, self._counts, 0))
        if not ends[-1]:
            return None
        number = int(rng.integers(ends[-1]))
        key = int(np.searchsorted(ends, number, side="right"))
        return self._by_class[key][number - int(ends[key])].unpack()  # counted from the end of its class


def mine_donors(
    dataset: Dataset,
    masks: MaskReader,
    *,
    area_share: tuple[float, float] = AREA_SHARE,
    max_per_class: int = MAX_PER_CLASS,
    max_side_px: int = MAX_SIDE_PX,
    seed: int = 0,
    threads: int = 1,
    tick: Callable[[int, int], None] | None = None,
) -> DonorPool:
    """Cut donors out of the simple images of a dataset.

    An image is simple if its mask shows exactly one class besides background and 255, on a share of all its pixels
    within `area_share`. The image must be tagged with that class, which masks made from its own tags always fulfil;
    so a host that lacks the class is never the donor's own image. All of the class's pixels make one donor.

    Args:
        dataset: Images and tags.
        masks: Reads the masks of a finished run, such as `weakseg.data.masks.PngMasks`; images without one are left
            out.
        area_share: Smallest and largest share of the image, 0..1, both inclusive.
        max_per_class: Keep at most so many of a class, chosen at random.
        max_side_px: Donors are shrunk to this longer side.
        seed: Seed of that choice.
        threads: Threads that decode; changes no result.
        tick: Progress: (images done, images in all).

    Returns:
        The pool; empty if no image qualifies.

    Raises:
        ConfigError: If `area_share` is no range within 0..1, or a limit is below 1.
        DataError: If a mask has a label that the data set has not, or an image's mask is of another size.
    """
    low, high = area_share
    if not 0 < low <= high <= 1:
        raise ConfigError(f"area_share of donors: expected 0 < smallest <= largest <= 1, got {low:g} and {high:g}")
    if max_per_class < 1 or max_side_px < 1:
        raise ConfigError(
            f"donors: expected max_per_class and max_side_px of at least 1, got {max_per_class} and {max_side_px}"
        )

    def find(position: int) -> _Found | None:
        return _find_object(dataset.samples[position], masks, dataset.classes)

    def cut(position: int, found: _Found) -> PackedDonor | None:
        return _cut_out(dataset, dataset.samples[position], masks, found, max_side_px=max_side_px)

    found_shares: list[list[float]] = [[] for _ in dataset.classes]
    cuts: dict[int, Future[PackedDonor | None]] = {}
    order = [int(position) for position in np.random.default_rng(seed).permutation(len(dataset))]
    with ThreadPoolExecutor(threads) as searching, ThreadPoolExecutor(threads) as cutting:
        for done, (position, found) in enumerate(zip(order, searching.map(find, order), strict=True), start=1):
            if found is not None and low <= found.area_share <= high:
                found_shares[found.key].append(found.area_share)
                if len(found_shares[found.key]) <= max_per_class:
                    cuts[position] = cutting.submit(cut, position, found)
            if tick is not None:
                tick(done, len(order))
        donors = [cuts[position].result() for position in sorted(cuts)]
    kept = [donor for donor in donors if donor is not None]
    return DonorPool(dataset.classes, kept, found_shares=found_shares)


@dataclass(frozen=True)
class _Found:
    """The only class of a mask, and its area share."""

    key: int
    area_share: float


def _find_object(sample: Sample, masks: MaskReader, classes: ClassSet) -> _Found | None:
    """Return what a sample's mask shows; None without a mask, or if it shows no class, several or an untagged one."""
    mask = masks(sample)
    if mask is None:
        return None
    counts = np.bincount(mask.ravel(), minlength=IGNORE_LABEL + 1)
    labels = np.flatnonzero(counts[1:IGNORE_LABEL]) + 1
    if labels.size and labels[-1] > len(classes):
        raise DataError(
            f"the mask of image '{sample.id}' has label {labels[-1]}, but there are {len(classes)} classes; it belongs "
            "to another data set, choose a run on this one"
        )
    if labels.size != 1 or not sample.tags[labels[0] - 1]:
        return None
    return _Found(int(labels[0]) - 1, float(counts[labels[0]] / mask.size))


def _cut_out(
    dataset: Dataset, sample: Sample, masks: MaskReader, found: _Found, *, max_side_px: int
) -> PackedDonor | None:
    """Cut an object out of its image; None if it is so thin that shrinking leaves nothing."""
    image, mask = dataset.load_image(sample), masks(sample)
    assert mask is not None, "a mask that was there is gone"
    if mask.shape != image.shape[:2]:
        raise DataError(
            f"image '{sample.id}' is {image.shape[:2]} (height, width), but its mask is {mask.shape}; the masks belong "
            "to other images, choose a run on these"
        )
    outline = mask == found.key + 1
    box = np.ix_(*(_span(outline.any(axis=axis)) for axis in (1, 0)))
    pixels = limit_side(image[box], max_side_px)
    outline = _resize_outline(outline[box], (pixels.shape[0], pixels.shape[1]))
    if not outline.any():
        return None
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(jpeg, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    Image.fromarray(outline).save(png, "PNG")
    return PackedDonor(found.key, sample.id, found.area_share, jpeg.getvalue(), png.getvalue())


def _resize_outline(outline: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize an outline (h, w) bool to a size in pixels: True where at least half of what lies below is."""
    if outline.shape == size_hw:
        return outline
    grey = Image.fromarray(outline.astype(np.uint8) * np.uint8(255))
    return np.asarray(grey.resize(size_hw[::-1], Image.Resampling.BILINEAR)) >= HALF


def _span(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return all indices from the first True to the last."""
    where = np.flatnonzero(present)
    return np.arange(where[0], where[-1] + 1)
