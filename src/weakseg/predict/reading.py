"""What is found out about images before they are decoded one by one: their size, and what deep ones span."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from weakseg.data.depth import describe_misfit, find_range, is_deep
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import ORIENTATION_TAG, QUARTER_TURNS, open_picture
from weakseg.models.predictor import Views

logger = logging.getLogger("weakseg")

MEASURED_IMAGES = 64
"""Of more images with more than 8 bits these many, evenly spread, tell their range."""

MAX_NAMED = 5
"""Images of which the range leaves next to nothing that are named before the rest is only counted."""


def settle_range(views: Views, paths: Iterable[Path]) -> Views:
    """Choose how values of more than 8 bits become 0..255, where training has met none: one range for all images.

    Images of which that range leaves next to nothing are named.
    """
    deep = [path for path in paths if _has_deep_pixels(path)]
    measured = deep[:: -(-len(deep) // MEASURED_IMAGES) or 1]
    spans = {path: span for path in measured if (span := inspect_image(path).span) is not None}
    finding = find_range(list(spans.values()), views.pixel_range)
    if finding is None:
        return views
    if views.pixel_range is None:
        told = replace(finding, num_images=len(deep))
        logger.warning("%s, as nothing tells how training scaled such images", told)
    used = finding.pixel_range
    misfits = [(path, misfit) for path, span in spans.items() if (misfit := describe_misfit(span, used)) is not None]
    for path, misfit in misfits[:MAX_NAMED]:
        logger.warning("%s: %s", path, misfit)
    if len(misfits) > MAX_NAMED:
        logger.warning("... and %d more of %d that were measured", len(misfits) - MAX_NAMED, len(spans))
    return replace(views, pixel_range=(used.low, used.high))


def _has_deep_pixels(path: Path) -> bool:
    try:
        with open_picture(path) as image:
            return is_deep(image)
    except Exception:  # as below
        return False


def peek_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) an image will most likely have, read from its header; it only orders images."""
    try:
        with open_picture(path) as image:
            turned = image.getexif().get(ORIENTATION_TAG) in QUARTER_TURNS
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:  # decoders raise nearly anything on damaged bytes; reading the image says what is wrong
        return (0, 0)
