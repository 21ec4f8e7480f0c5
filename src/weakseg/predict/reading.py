"""What is found out about images before they are decoded one by one: their size, and what deep ones span."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from weakseg.data.depth import find_range, is_deep
from weakseg.data.images import ORIENTATION_TAG, QUARTER_TURNS, inspect_image
from weakseg.models.predictor import Views

logger = logging.getLogger("weakseg")

MEASURED_IMAGES = 64
"""Of more images with more than 8 bits these many, evenly spread, tell their range."""


def settle_range(views: Views, paths: Iterable[Path]) -> Views:
    """Choose how values of more than 8 bits become 0..255, where training has met none: one range for all images."""
    if views.pixel_range is not None:
        return views
    deep = [path for path in paths if _has_deep_pixels(path)]
    measured = deep[:: -(-len(deep) // MEASURED_IMAGES) or 1]
    finding = find_range([span for span in (inspect_image(path).span for path in measured) if span is not None], None)
    if finding is None:
        return views
    told = replace(finding, num_images=len(deep))
    logger.warning("%s, as nothing tells how training scaled such images", told)
    return replace(views, pixel_range=(finding.pixel_range.low, finding.pixel_range.high))


def _has_deep_pixels(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return is_deep(image)
    except Exception:  # as below
        return False


def peek_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) an image will most likely have, read from its header; it only orders images."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION_TAG) in QUARTER_TURNS
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:  # decoders raise nearly anything on damaged bytes; reading the image says what is wrong
        return (0, 0)
