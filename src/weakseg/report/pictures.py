"""The report's small pictures: an image, its seeds and its label maps, each as a data URI with its words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from weakseg.ops.color import class_colours, heat, label_palette
from weakseg.ops.images import limit_side
from weakseg.ops.instance_overlay import overlay_instances
from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL

PICTURE_SIDE_PX = 480
"""Longer side of a picture: it is enlarged on a click. Two dozen images with all their pictures stay below 8 MB."""

SMALL_SIDE_PX = 240
"""The same on a page of very many pictures."""

MANY_IMAGES = 48
"""Up to so many images are drawn large."""

JPEG_QUALITY = 82

HEAT_OPACITY = 0.65
"""Weight of the heat colours over the grey image: high enough that its brightness is not taken for evidence."""

LABEL_OPACITY = 0.5
"""Weight of the class colours over the grey image, within their contours."""

CONTOUR_PX = 2
"""Width of the line in the full colour along the border of a class, on its own side."""

HALO_WEIGHT = 0.3
"""What is left of the image's brightness around a class: its line then also stands out on snow and on white walls."""

STRIPE_PX = 3
"""Width of the dark stripes through unlabelled pixels; their pale colour alone is lost on a bright image."""


@dataclass(frozen=True)
class Swatch:
    """A name and its colour.

    Args:
        name: Class name, not escaped.
        colour: As CSS has it, `#rrggbb`.
        striped: Whether dark stripes run through it.
    """

    name: str
    colour: str
    striped: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture of an image.

    Args:
        caption: What it is.
        source: Data URI, or None if the file is missing.
        alt: Text for readers who do not see it.
        size_wh: Width and height in pixels.
    """

    caption: str
    source: str | None
    alt: str
    size_wh: tuple[int, int]


def label_swatches(label_names: Sequence[str]) -> tuple[Swatch, ...]:
    """Pair mask labels 0, 1, ... with the colours the pictures paint them in."""
    return tuple(Swatch(name, hex_colour(_palette()[label])) for label, name in enumerate(label_names))


def unsure_swatch() -> Swatch:
    """Name the colour of unlabelled pixels (255): void in truth masks, unsure in confident labels."""
    return Swatch("void or unsure", hex_colour(_palette()[IGNORE_LABEL]), striped=True)


def picture_side(images: int) -> int:
    """Return the longer side of the pictures of a page that shows so many images, in pixels."""
    return PICTURE_SIDE_PX if images <= MANY_IMAGES else SMALL_SIDE_PX


def hex_colour(rgb: NDArray[np.uint8]) -> str:
    """Write a colour (3,) as CSS has it: `#rrggbb`."""
    return f"#{bytes(rgb).hex()}"


class Painter:
    """Draws pictures of one image, all of one size.

    Args:
        id: Image id, for the alternative texts.
        image: (H, W, 3) uint8 RGB.
        side_px: Their longer side; smaller images stay as they are.
    """

    def __init__(self, id: str, image: NDArray[np.uint8], *, side_px: int = PICTURE_SIDE_PX) -> None:
        self.id = id
        self.small = limit_side(image, side_px)
        self.size_wh = (self.small.shape[1], self.small.shape[0])
        # Colours are laid over a grey image: over a coloured one they would not be those of the legend.
        self.grey = np.repeat(np.rint(self.small.mean(axis=2, keepdims=True)).astype(np.uint8), 3, axis=2)

    def show_image(self) -> Panel:
        """Show the image itself."""
        return self._panel("Image", self.small)

    def show_heat(self, caption: str, scores: NDArray[np.float32]) -> Panel:
        """Lay a map (H, W) of scores 0..1 over the grey image."""
        resized = np.asarray(Image.fromarray(scores).resize(self.size_wh, Image.Resampling.BILINEAR))
        mixed = (1.0 - HEAT_OPACITY) * self.grey + HEAT_OPACITY * heat(np.clip(resized, 0.0, 1.0))
        return self._panel(caption, np.rint(mixed).astype(np.uint8))

    def show_labels(self, caption: str, labels: NDArray[np.uint8] | None) -> Panel:
        """Lay a label map (H, W) over the grey image: classes filled within a line of their colour, 255 striped.

        None gives an empty panel.
        """
        if labels is None:
            return Panel(caption, None, f"{caption} of {self.id}: missing", self.size_wh)
        resized = np.asarray(Image.fromarray(labels).resize(self.size_wh, Image.Resampling.NEAREST))
        return self._panel(caption, _paint(self.grey, resized))

    def show_instances(self, caption: str, instances: Instances) -> Panel:
        """Lay instances over the grey image, each in a colour of its own."""
        return self._panel(caption, overlay_instances(self.grey, instances, opacity=LABEL_OPACITY))

    def _panel(self, caption: str, pixels: NDArray[np.uint8]) -> Panel:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
        source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        return Panel(caption, source, f"{caption} of {self.id}", self.size_wh)


@lru_cache(maxsize=1)
def _palette() -> NDArray[np.uint8]:
    """Return the colour of every label (256, 3), those of the page of `weakseg review`; 255 is VOC's pale void."""
    palette = label_palette().copy()
    palette[1:IGNORE_LABEL] = class_colours(IGNORE_LABEL - 1)
    return palette


def _paint(grey: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint labels (H, W) over a grey image (H, W, 3), which is not modified."""
    is_class = (labels != 0) & (labels != IGNORE_LABEL)
    filled = (1.0 - LABEL_OPACITY) * grey + LABEL_OPACITY * _palette()[labels]
    pixels = np.where((labels == 0)[..., None], grey, np.rint(filled)).astype(np.uint8)
    size = 2 * CONTOUR_PX + 1
    differs = (ndimage.maximum_filter(labels, size) != labels) | (ndimage.minimum_filter(labels, size) != labels)
    line = differs & is_class
    pixels[line] = _palette()[labels[line]]
    halo = ndimage.binary_dilation(is_class) & (labels == 0)
    pixels[halo] = np.rint(HALO_WEIGHT * grey[halo])
    rows, columns = np.indices(labels.shape)
    dark = (labels == IGNORE_LABEL) & ((rows + columns) // STRIPE_PX % 2 == 1)
    pixels[dark] = np.rint((1.0 - LABEL_OPACITY) * grey[dark])
    return pixels
