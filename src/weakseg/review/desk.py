"""What the page works on: the images of a run in some order, with their masks, seeds and corrections.

Masks keep the size of their image. Images whose longer side is above `MAX_EDIT_SIDE_PX` are shown and painted as
smaller copies; only the pixels that a person has changed there are taken over into the mask.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.ops.images import limit_side, scaled_size_hw
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.correction import Correction, change_tags
from weakseg.pipeline.corrections.lessons import is_overtaken
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.seeds import resize_labels
from weakseg.pipeline.threshold_file import load_choice
from weakseg.refine.crf import CRF, cut_by_crf
from weakseg.refine.masks import seed_to_mask
from weakseg.types import ClassSet, Sample, ScoreMaps

MAX_EDIT_SIDE_PX = 2048
"""Phones show no larger pictures (Safari: 16 million pixels in all canvases of a page)."""

SEED_STRIDE_PX = 4
"""Seeds go to the browser at a quarter of the image's size, as the released codes keep them."""

KEPT_IMAGES = 8
"""Decoded images and what is made of them that are kept: the one on show, those before and after it, and other tabs."""

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The latest results of a slow function; two callers that ask for the same one wait for one computation."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what is kept under a key, or make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            value = make()
            with self._lock:
                self._values[key] = value
                self._locks.pop(key, None)
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
        return value


@dataclass(frozen=True)
class Entry:
    """One image of the list, in the order in which it should be looked at.

    Args:
        id: The image.
        why: Why it stands here, in words for a person; empty if nothing is known.
        missing_tags: Classes that it may show although it is not tagged with them.
        doubtful_tags: Tags of it that may be wrong.
    """

    id: str
    why: str = ""
    missing_tags: tuple[str, ...] = ()
    doubtful_tags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Listed:
    """An entry with its image.

    Args:
        entry: Why it is in the list.
        dataset: Decodes its image, and names its split.
        sample: Its file and its tags.
    """

    entry: Entry
    dataset: Dataset
    sample: Sample


class Desk:
    """The images of a run that are looked at.

    Args:
        context: The run; its masks are finished.
        entries: The images in order.
        store: Where corrections go. The desk's own store of `context.folder.corrections` if None.

    Raises:
        DataError: If an entry is no image of the run.
    """

    def __init__(self, context: Context, entries: Sequence[Entry], *, store: CorrectionStore | None = None) -> None:
        self.folder: RunFolder = context.folder
        self.classes: ClassSet = context.train.classes
        self.max_side_px = context.config.data.max_side_px
        self.threshold = _find_threshold(context)
        section = context.config.refine
        self.crf = CRF.settings_in(section).as_value() if section.method == CRF.name else None
        self.listed = _list_entries(context, entries)
        self._sizes_hw: dict[str, tuple[int, int]] = {}
        self.store = store or CorrectionStore(self.folder.corrections, self.classes, size_of=self.full_size)
        self._images: Kept[NDArray[np.uint8]] = Kept(KEPT_IMAGES)

    def reorder(self, entries: Sequence[Entry]) -> None:
        """Bring the images into another order, with why each stands there; those that are not named come last."""
        named = [entry for entry in entries if entry.id in self.listed]
        rest = [listed.entry for name, listed in self.listed.items() if name not in {entry.id for entry in named}]
        self.listed = {entry.id: replace(self.listed[entry.id], entry=entry) for entry in (*named, *rest)}

    def find(self, sample_id: str) -> Listed | None:
        """Return an image of the list by its id, or None."""
        return self.listed.get(sample_id)

    def full_size(self, sample_id: str) -> tuple[int, int] | None:
        """Return (height, width) of an image's mask; None if it is not in the list."""
        if sample_id not in self.listed:
            return None
        if sample_id not in self._sizes_hw:
            with Image.open(self.folder.mask(sample_id)) as mask:
                self._sizes_hw[sample_id] = (mask.height, mask.width)
        return self._sizes_hw[sample_id]

    def edit_size(self, sample_id: str) -> tuple[int, int]:
        """Return (height, width) at which an image is shown and painted."""
        size_hw = self._require_size(sample_id)
        side = max(size_hw)
        return size_hw if side <= MAX_EDIT_SIDE_PX else scaled_size_hw(size_hw, MAX_EDIT_SIDE_PX / side)

    def image(self, sample_id: str) -> NDArray[np.uint8]:
        """Return an image (h, w, 3) uint8 RGB as it is shown, not to be modified.

        Raises:
            DataError: If it cannot be read, or has another size than its mask.
        """
        return self._images.get(sample_id, lambda: self._decode(sample_id))

    def _decode(self, sample_id: str) -> NDArray[np.uint8]:
        listed, size_hw = self.listed[sample_id], self._require_size(sample_id)
        image = listed.dataset.load_image(listed.sample)
        if image.shape[:2] != size_hw:
            raise DataError(
                f"{listed.sample.image_path} has {image.shape[1]} x {image.shape[0]} pixels and its mask "
                f"{size_hw[1]} x {size_hw[0]}: the image was changed since; run the recipe again"
            )
        return limit_side(image, MAX_EDIT_SIDE_PX)

    def read_said(self, sample_id: str) -> Correction | None:
        """Return what is said of an image; without a word on a mask that `refine` has replaced since."""
        said = self.store.read(sample_id)
        return replace(said, verdict=None) if said is not None and is_overtaken(self.folder, said) else said

    def full_labels(self, sample_id: str) -> NDArray[np.uint8]:
        """Return the mask of an image (H, W) uint8 as it is now: a person's, or else the run's."""
        corrected = self.store.read_mask(sample_id)
        return read_mask(self.folder.mask(sample_id)) if corrected is None else corrected

    def labels(self, sample_id: str) -> NDArray[np.uint8]:
        """Return the mask of an image (h, w) uint8 as it is now, at the size at which it is painted."""
        return _fit(self.full_labels(sample_id), self.edit_size(sample_id))

    def original(self, sample_id: str) -> NDArray[np.uint8]:
        """Return the run's own mask of an image (h, w) uint8, at the size at which it is painted."""
        return _fit(read_mask(self.folder.mask(sample_id)), self.edit_size(sample_id))

    def tags(self, sample_id: str, correction: Correction | None) -> tuple[str, ...]:
        """Return the names of an image's tags, as a correction leaves them."""
        return change_tags(self.classes.decode(self.listed[sample_id].sample.tags), correction)

    def own_tags(self, sample_id: str) -> tuple[str, ...]:
        """Return the names of the tags that an image came with."""
        return self.classes.decode(self.listed[sample_id].sample.tags)

    def has_seed(self, sample_id: str) -> bool:
        """Say whether there are score maps of an image to cut anew; an image without tags has none."""
        return bool(self.listed[sample_id].sample.keys) and self.folder.seed(sample_id).is_file()

    def seed(self, sample_id: str) -> ScoreMaps | None:
        """Return the score maps of an image, to be rebuilt at the size that networks saw; None if there are none."""
        if not self.folder.seed(sample_id).is_file():
            return None
        seen_hw = self.image(sample_id).shape[:2]
        side = max(seen_hw)
        if self.max_side_px is not None and side > self.max_side_px:
            seen_hw = scaled_size_hw((seen_hw[0], seen_hw[1]), self.max_side_px / side)
        return replace(load_seed(self.folder.seed(sample_id)), size_hw=(seen_hw[0], seen_hw[1]))

    def cut(self, sample_id: str, threshold: float, *, follow_edges: bool) -> NDArray[np.uint8]:
        """Cut an image's seed at a threshold.

        Args:
            sample_id: The image.
            threshold: Score of the background, 0..1.
            follow_edges: Whether the run's CRF moves the borders; without effect if the run has none.

        Returns:
            (h, w) uint8 labels at the size at which the image is painted; all 0 without a seed.
        """
        seed, size_hw = self.seed(sample_id), self.edit_size(sample_id)
        if seed is None or not seed.keys:
            return np.zeros(size_hw, np.uint8)
        maps = seed.full().numpy()
        if not follow_edges or self.crf is None:
            return _fit(seed_to_mask(maps, seed.keys, background_threshold=threshold), size_hw)
        seen = limit_side(self.image(sample_id), max(seed.size_hw))
        cut = cut_by_crf(seen, maps, seed.keys, (threshold,), settings=self.crf)
        return _fit(cut.mask.labels, size_hw)

    def merge(self, sample_id: str, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mask (H, W) that a painted one (h, w) means: where the two differ at that size, the painted one's.

        For images that are painted at their own size that is the painted mask itself.
        """
        full_hw = self._require_size(sample_id)
        if painted.shape == full_hw:
            return painted
        full = self.full_labels(sample_id)
        changed = _fit((painted != _fit(full, self.edit_size(sample_id))).astype(np.uint8), full_hw)
        return np.where(changed == 1, _fit(painted, full_hw), full).astype(np.uint8)

    def _require_size(self, sample_id: str) -> tuple[int, int]:
        size_hw = self.full_size(sample_id)
        if size_hw is None:
            raise DataError(f"'{sample_id}' is no image of this run")
        return size_hw


def _fit(labels: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return labels if labels.shape == size_hw else resize_labels(labels, size_hw)


def _find_threshold(context: Context) -> float | None:
    """Return the background threshold that the masks were cut at; None where they were not cut at one."""
    asked = context.config.refine.background_threshold
    if asked != "auto":
        return float(asked)
    if not context.folder.threshold.is_file():
        return None
    return load_choice(context.folder.threshold).threshold


def _list_entries(context: Context, entries: Sequence[Entry]) -> dict[str, Listed]:
    datasets = [dataset for dataset in (context.train, context.val) if dataset is not None]
    known = {sample.id: (dataset, sample) for dataset in reversed(datasets) for sample in dataset}
    listed: dict[str, Listed] = {}
    for entry in entries:
        if entry.id not in known:
            raise DataError(f"'{entry.id}' is no image of this run")
        listed[entry.id] = Listed(entry, *known[entry.id])
    return listed
