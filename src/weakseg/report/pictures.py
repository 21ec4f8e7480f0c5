"""The report's small pictures: an image, its seeds and its label maps, each as a data URI with its words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.ops.color import heat, label_palette, overlay
from weakseg.ops.images import limit_side
from weakseg.ops.instance_overlay import overlay_instances
from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL

THUMBNAIL_SIDE_PX = 240
"""Longer side of a picture; two dozen images with all their pictures then stay below 5 MB."""

JPEG_QUALITY = 85

HEAT_OPACITY = 0.65
"""Weight of the heat colours over the grey image: high enough that its brightness is not taken for evidence."""

LABEL_OPACITY = 0.6
"""Weight of the class colours over the grey image."""

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
    """Pair mask labels 0, 1, ... with the colours the overlays paint them in."""
    return tuple(Swatch(name, hex_colour(label_palette()[label])) for label, name in enumerate(label_names))


def unsure_swatch() -> Swatch:
    """Name the colour of unlabelled pixels (255): void in truth masks, unsure in confident labels."""
    return Swatch("void or unsure", hex_colour(label_palette()[IGNORE_LABEL]), striped=True)


def hex_colour(rgb: NDArray[np.uint8]) -> str:
    """Write a colour (3,) as CSS has it: `#rrggbb`."""
    return f"#{bytes(rgb).hex()}"


class Painter:
    """Draws pictures of one image, all of one size.

    Args:
        id: Image id, for the alternative texts.
        image: (H, W, 3) uint8 RGB.
    """

    def __init__(self, id: str, image: NDArray[np.uint8]) -> None:
        self.id = id
        self.small = limit_side(image, THUMBNAIL_SIDE_PX)
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
        """Lay a label map (H, W) over the grey image, unlabelled pixels striped; None gives an empty panel."""
        if labels is None:
            return Panel(caption, None, f"{caption} of {self.id}: missing", self.size_wh)
        resized = np.asarray(Image.fromarray(labels).resize(self.size_wh, Image.Resampling.NEAREST))
        pixels = overlay(self.grey, resized, opacity=LABEL_OPACITY)
        rows, columns = np.indices(resized.shape)
        dark = (resized == IGNORE_LABEL) & ((rows + columns) // STRIPE_PX % 2 == 1)
        pixels[dark] = np.rint((1.0 - LABEL_OPACITY) * self.grey[dark]).astype(np.uint8)
        return self._panel(caption, pixels)

    def show_instances(self, caption: str, instances: Instances) -> Panel:
        """Lay instances over the grey image, each in a colour of its own."""
        return self._panel(caption, overlay_instances(self.grey, instances, opacity=LABEL_OPACITY))

    def _panel(self, caption: str, pixels: NDArray[np.uint8]) -> Panel:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
        source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        return Panel(caption, source, f"{caption} of {self.id}", self.size_wh)
