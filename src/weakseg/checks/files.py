"""The part of `weakseg check` that looks at one image and its truth mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakseg.data.base import Dataset, Problem
from weakseg.data.coco_truth import CocoMasks
from weakseg.data.image_facts import ImageFacts, inspect_image
from weakseg.data.mask_colours import find_palette_fault
from weakseg.data.masks import MatchedMasks, PngMasks
from weakseg.errors import DataError
from weakseg.types import IGNORE_LABEL, Sample

SMALLEST_SIDE_PX = 32
"""Smaller images are pointed out: at the usual strides of 8 and 16 pixels next to nothing is left of them."""


@dataclass(frozen=True)
class SampleFacts:
    """What was found about one sample.

    Args:
        image: Facts of the image file.
        has_mask: Whether it has a readable truth mask.
        problems: All findings.
    """

    image: ImageFacts
    has_mask: bool
    problems: tuple[Problem, ...]


def inspect_sample(dataset: Dataset, sample: Sample) -> SampleFacts:
    """Decode an image and its mask; whatever is wrong with them becomes a problem, never an exception."""
    facts = inspect_image(sample.image_path)
    problems = _image_problems(sample, facts)
    has_mask = False
    if facts.problem is None:
        try:
            has_mask, found = _check_mask(dataset, sample, facts)
            problems.extend(found)
        except DataError as error:
            problems.append(Problem("warning", "bad-mask", sample.id, str(error)))
    return SampleFacts(facts, has_mask, tuple(problems))


def _image_problems(sample: Sample, facts: ImageFacts) -> list[Problem]:
    if facts.problem is not None:
        message = f"{sample.image_path}: {facts.problem}; it is left out of training"
        return [Problem("warning", "unreadable", sample.id, message)]
    notes = {}
    if facts.exif_rotated:
        notes["exif-rotated"] = "stored rotated or mirrored; it is turned upright when it is read"
    if facts.mode == "CMYK":
        notes["cmyk"] = "CMYK; it is converted to RGB without its colour profile"
    if facts.mode.split(";")[0] in ("1", "L", "LA", "I", "F"):
        notes["greyscale"] = "greyscale; it is read as RGB with three equal channels"
    if facts.has_alpha:
        notes["alpha"] = "has transparency; transparent parts are laid on white"
    if facts.span is not None:
        notes["16-bit"] = f"more than 8 bits per channel, with values {facts.span}; it is scaled to 8"
    elif "16" in facts.mode:
        notes["16-bit"] = "16 bits per channel; only the upper 8 are read"
    if facts.size_hw is not None and min(facts.size_hw) < SMALLEST_SIDE_PX:
        notes["tiny"] = f"only {facts.size_hw[1]} x {facts.size_hw[0]} pixels, too few for maps of its objects"
    return [Problem("note", kind, sample.id, message) for kind, message in notes.items()]


def _check_mask(dataset: Dataset, sample: Sample, facts: ImageFacts) -> tuple[bool, list[Problem]]:
    """Tell whether there is a mask, and what is wrong with it.

    Raises:
        DataError: If it cannot be read.
    """
    reader = dataset.mask_reader
    if isinstance(reader, CocoMasks):
        # Drawing all masks of COCO takes a quarter of an hour, and labels, tags and palette agree by construction.
        size_hw = reader.size_hw(sample)
        return size_hw is not None, _size_problems(sample, size_hw, facts)
    mask = dataset.load_mask(sample)
    if mask is None:
        return False, []
    shown = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    problems = _size_problems(sample, (mask.shape[0], mask.shape[1]), facts)
    problems += _label_problems(dataset, sample, [int(label) for label in shown])
    # Where numbers or colours mean something else, what they look like is no hint.
    plain = isinstance(reader, PngMasks | MatchedMasks) and reader.code is None
    path = reader.find(sample) if isinstance(reader, PngMasks | MatchedMasks) and plain else None
    fault = None if path is None else find_palette_fault(path)
    if fault is not None:
        problems.append(Problem("warning" if fault.misleading else "note", "mask-palette", sample.id, fault.message))
    return True, problems


def _size_problems(sample: Sample, size_hw: tuple[int, int] | None, facts: ImageFacts) -> list[Problem]:
    if size_hw is None or size_hw == facts.size_hw or facts.size_hw is None:
        return []
    message = f"the mask is {size_hw[1]} x {size_hw[0]} pixels, the image {facts.size_hw[1]} x {facts.size_hw[0]}"
    if facts.exif_rotated and size_hw == facts.size_hw[::-1]:
        message += " once it is turned upright: the mask was made for the image as stored"
    return [Problem("warning", "mask-size", sample.id, f"{message}; it cannot be compared with a prediction")]


def _label_problems(dataset: Dataset, sample: Sample, shown: list[int]) -> list[Problem]:
    """Compare the labels of a mask with the classes and with the image's tags."""
    classes = dataset.classes
    problems = []
    beyond = [label for label in shown if label >= classes.num_labels and label != IGNORE_LABEL]
    if beyond:
        message = f"the mask holds the labels {beyond}; {classes.num_classes} classes have the labels 1 to "
        message += f"{classes.num_classes}, background is 0 and ignore {IGNORE_LABEL}"
        problems.append(Problem("warning", "mask-label", sample.id, message))
    in_mask = {label - 1 for label in shown if 0 < label < classes.num_labels}
    untagged = [classes.names[k] for k in sorted(in_mask) if sample.known[k] and not sample.tags[k]]
    if untagged:
        message = f"the mask shows {', '.join(untagged)}, but the tags say that the image does not"
        problems.append(Problem("warning", "mask-not-tagged", sample.id, message))
    unseen = [classes.names[k] for k in sample.keys if k not in in_mask]
    if unseen and IGNORE_LABEL not in shown:  # ignored pixels may hide the object
        message = f"tagged {', '.join(unseen)}, but the mask does not show it"
        problems.append(Problem("note", "tag-not-in-mask", sample.id, message))
    return problems
