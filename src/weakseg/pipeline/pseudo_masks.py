"""What every refinement does last: correct its masks by saliency and write them, with how sure they are if wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.grey import encode_grey
from weakseg.data.sure_masks import SureMasks
from weakseg.errors import ConfigError, DataError
from weakseg.files import write_bytes
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.saliency import find_saliency
from weakseg.pipeline.seeds import resize_labels
from weakseg.refine.saliency import apply_saliency
from weakseg.refine.soft_labels import SoftMask, to_grey
from weakseg.types import IGNORE_LABEL, Sample


def write_pseudo_mask(context: Context, sample: Sample, mask: SoftMask, size_hw: tuple[int, int]) -> None:
    """Correct a mask by the image's saliency map, if there is one, and write it -> `masks/`, `confidence/`.

    Where a person has looked, the mask is theirs, and sure.

    Args:
        context: The run.
        sample: The image.
        mask: Its mask, at the size of the image or of its small copy (`data.max_side_px`).
        size_hw: (height, width) of the image; both files get this size, by the nearest pixel.
    """
    config = context.config.refine
    if mask.labels.shape != size_hw:
        mask = _resize(mask, size_hw)
    saliency = find_saliency(context, sample.id, size_hw)
    if saliency is not None:
        mask = apply_saliency(
            mask,
            saliency,
            sample.keys,
            threshold=config.saliency.threshold,
            outside=config.saliency.outside,
            complete_tags=bool(sample.known.all()),
        )
    corrected = None if context.taught is None else context.taught.read_mask(sample.id)
    if corrected is not None:
        mask = _lay_over(mask, corrected, sample.id)
    if config.confidence:
        write_bytes(context.folder.confidence_map(sample.id), encode_grey(to_grey(mask.confidence)))
    save_mask(context.folder.mask(sample.id), mask.labels)


def pseudo_mask_files(context: Context, sample_id: str) -> list[Path]:
    """Name what `write_pseudo_mask` writes for an image, the mask last."""
    confidence = [context.folder.confidence_map(sample_id)] if context.config.refine.confidence else []
    return [*confidence, context.folder.mask(sample_id)]


def doubted_ids(context: Context) -> frozenset[str]:
    """Name the images whose unstable pixels get no confidence: those to learn from, if the recipe wants it."""
    is_wanted = max(context.config.refine.stable_within) > 1
    return frozenset(sample.id for sample in context.train) if is_wanted else frozenset()


def require_training_masks(context: Context) -> None:
    """Raise a `ConfigError` if there are no masks of the images that the segmenter learns from."""
    if context.config.segmenter.masks == "truth":
        if not any(context.train.has_mask(sample) for sample in context.train):
            raise ConfigError(
                f"segmenter.masks: 'truth' is for data sets with masks, but none of the {len(context.train)} images of "
                f"'{context.train.split}' has one; put them into masks/, or set it to 'refined'"
            )
        return
    if not choose_training_images(context).samples:
        raise ConfigError(
            f"the masks of all {len(context.train)} images of '{context.train.split}' were called wrong, so that none "
            "is left to train on; correct some"
        )
    if "train" not in context.config.localize.splits:
        raise ConfigError("localize.splits: the segmenter trains on the masks of 'train'; add it and run 'localize'")


def choose_training_images(context: Context) -> Dataset:
    """Return the images that the segmenter learns from: with `truth` those of `train` that have a mask.

    Else all but those whose mask a person has called wrong.
    """
    train, taught = context.train, context.taught
    if context.config.segmenter.masks != "truth":
        return train if taught is None else train.keep(s.id for s in train if not taught.is_wrong(s.id))
    return train.keep(sample.id for sample in train if train.has_mask(sample))


def training_masks(context: Context) -> MaskReader:
    """Return what the segmenter learns from: the data set's masks with `truth`; else the pseudo masks.

    Of those, the pixels below `segmenter.ignore_below` are left out.
    """
    if context.config.segmenter.masks == "truth":
        return context.train.load_mask
    masks, ignore_below = context.folder.mask_reader(), context.config.segmenter.ignore_below
    return SureMasks(masks, context.folder.confidence_maps, ignore_below) if ignore_below > 0 else masks


def corrected_images(context: Context) -> frozenset[str]:
    """Name the images of `train` whose masks a person has corrected, where the segmenter learns from those."""
    if context.taught is None or context.config.segmenter.masks == "truth":
        return frozenset()
    return frozenset(sample.id for sample in context.train if context.taught.has_mask(sample.id))


def truly_taught(context: Context) -> frozenset[str]:
    """Name the images by whose true or corrected masks the segmenter has learnt: none of them can test it."""
    if context.config.segmenter.masks == "truth":
        return frozenset(sample.id for sample in choose_training_images(context))
    return corrected_images(context)


def _lay_over(mask: SoftMask, corrected: NDArray[np.uint8], sample_id: str) -> SoftMask:
    if corrected.shape != mask.labels.shape:
        raise DataError(
            f"the corrected mask of '{sample_id}' is {corrected.shape} (height, width), but the image is "
            f"{mask.labels.shape}: it was changed since; put it back, or begin a run without that correction"
        )
    seen = corrected != IGNORE_LABEL
    return SoftMask(np.where(seen, corrected, mask.labels), np.where(seen, np.float32(1), mask.confidence))


def _resize(mask: SoftMask, size_hw: tuple[int, int]) -> SoftMask:
    confidence = Image.fromarray(mask.confidence).resize(size_hw[::-1], Image.Resampling.NEAREST)
    return replace(mask, labels=resize_labels(mask.labels, size_hw), confidence=np.asarray(confidence))
