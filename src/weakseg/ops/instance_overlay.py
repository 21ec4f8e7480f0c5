"""Pictures of instances: each in a colour of its own, whatever its class."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from weakseg.errors import ShapeError
from weakseg.ops.images import require_image
from weakseg.ops.instances import Instances

_HUE_STEP = 0.618034
"""The golden ratio: each new hue falls into the widest gap that the hues before have left."""

_SATURATION = 0.75


def instance_colours(count: int) -> NDArray[np.uint8]:
    """Return a colour for each of `count` instances, (count, 3) uint8 RGB; those of fewer are the first of more."""
    hues = [index * _HUE_STEP % 1.0 for index in range(count)]
    colours = np.array([colorsys.hsv_to_rgb(hue, _SATURATION, 1.0) for hue in hues]).reshape(count, 3)
    rounded: NDArray[np.uint8] = np.rint(255 * colours).astype(np.uint8)
    return rounded


def overlay_instances(image: NDArray[np.uint8], instances: Instances, *, opacity: float = 0.5) -> NDArray[np.uint8]:
    """Lay instances over their image, each in its own colour with an outline of one pixel.

    Where instances overlap, the surer one is on top. Instances of another size than the image, as for a thumbnail, are
    brought to its size by taking the nearest pixel; one may vanish then.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        instances: The instances; instance k has colour k of `instance_colours`.
        opacity: Weight of the colours inside of the outlines, 0..1.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, or `opacity` is outside 0..1.
    """
    require_image(image)
    if not 0.0 <= opacity <= 1.0:
        raise ShapeError(f"opacity is a share within 0..1, got {opacity}")
    height, width = image.shape[:2]
    colours = instance_colours(len(instances))
    painted = image.copy()
    for index in np.argsort(instances.scores, kind="stable"):
        mask = instances.masks[index]
        if mask.shape != (height, width):
            mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        inner = ndimage.binary_erosion(mask)
        painted[mask] = colours[index]
        painted[inner] = np.rint((1.0 - opacity) * image[inner] + opacity * colours[index]).astype(np.uint8)
    return painted
