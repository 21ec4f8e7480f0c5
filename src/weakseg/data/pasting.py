"""Pasting donors into other images: turned, scaled, somewhere; and a sheet of the results to look at.

Where the released CDA is known (docs/sources.md#cda) this follows it: rotation by -90..90 degrees, at most 0.7 of the
host. Angle, size and place are drawn first (`draw_placement`) and carried out then (`paste_donor`), both without state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from weakseg.data.donors import HALF, Donor
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.color import label_palette
from weakseg.ops.images import limit_side, require_image

_BLUR_REACH = 3
"""Standard deviations beyond which blurred edges count as ended: what is left is below a grey level."""

_EXACT_DIGITS = 12
"""Sine and cosine are rounded to this, so that quarter turns copy pixels instead of interpolating them."""

_SHEET_BACKGROUND = 255
_FRAME_PX = 4


@dataclass(frozen=True)
class PasteSettings:
    """How donors are pasted.

    Args:
        angle_degrees: Range of the rotation, counter-clockwise.
        side_share: Range of the size, 0..1: a pasted donor's bounding box, rotation included, has at most the drawn
            share of the host's height and of its width, and reaches one of the two. The upper end is the released
            bound, read as one on sides (so that the area is below 0.49); no lower end is known. Donors cover a
            tenth of their own image or more, a third of its side: hence 0.3.
        blur_px: Standard deviation of the Gaussian that softens the donor's edges, in pixels of the host; 0 for hard
            edges.

    Raises:
        ConfigError: If a range is not one.
    """

    angle_degrees: tuple[float, float] = (-90.0, 90.0)
    side_share: tuple[float, float] = (0.3, 0.7)
    blur_px: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.side_share
        if not 0 < low <= high <= 1:
            raise ConfigError(f"side_share: expected 0 < smallest <= largest <= 1, got {low:g} and {high:g}")
        if not self.angle_degrees[0] <= self.angle_degrees[1]:
            raise ConfigError(f"angle_degrees: expected [smallest, largest], got {list(self.angle_degrees)}")
        if not self.blur_px >= 0:
            raise ConfigError(f"blur_px: expected 0 or more pixels, got {self.blur_px:g}")


@dataclass(frozen=True)
class Placement:
    """Where and how a donor is pasted.

    Args:
        scale: Pixels of the host per pixel of the donor, above 0.
        angle_degrees: Rotation, counter-clockwise.
        top_left_px: (y, x) in the host of the upright box around the scaled and rotated crop.
    """

    scale: float
    angle_degrees: float
    top_left_px: tuple[int, int]

    def box_hw(self, donor_hw: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of that box, in pixels of the host."""
        height, width = _rotated_extent(donor_hw, self.angle_degrees)
        return _round_up(height * self.scale), _round_up(width * self.scale)


@dataclass(frozen=True, eq=False)
class Pasted:
    """An image with a donor in it.

    Args:
        image: (H, W, 3) uint8 RGB, a new array.
        painted: (H, W) bool, where the donor now is; blurred edges count where they cover more than half.
    """

    image: NDArray[np.uint8]
    painted: NDArray[np.bool_]


def draw_placement(
    rng: np.random.Generator, donor_hw: tuple[int, int], host_hw: tuple[int, int], settings: PasteSettings
) -> Placement:
    """Draw angle, size and place, each uniformly, such that the whole donor lies within the host.

    Args:
        rng: Source of randomness.
        donor_hw: Height and width of the donor's crop.
        host_hw: Height and width of the host.
        settings: The ranges.
    """
    angle = float(rng.uniform(*settings.angle_degrees))
    share = float(rng.uniform(*settings.side_share))
    extent = _rotated_extent(donor_hw, angle)
    scale = min(max(1, math.floor(share * side)) / length for side, length in zip(host_hw, extent, strict=True))
    box_hw = Placement(scale, angle, (0, 0)).box_hw(donor_hw)
    top, left = (int(rng.integers(0, s - b, endpoint=True)) for s, b in zip(host_hw, box_hw, strict=True))
    return Placement(scale, angle, (top, left))


def paste_donor(host: NDArray[np.uint8], donor: Donor, placement: Placement, *, blur_px: float = 0.0) -> Pasted:
    """Paste a donor into a copy of an image; what reaches over the host's border is cut off.

    Bilinear, after averaging over whole pixels where the donor shrinks to half its size or below. Soft edges are the
    outline blurred; beyond it they show what was around the donor in its own image.

    Args:
        host: (H, W, 3) uint8 RGB, not modified.
        donor: The object, not modified.
        placement: Where and how.
        blur_px: Standard deviation of the Gaussian that softens the edges, in pixels of the host; 0 for hard edges.

    Returns:
        The new image, and where the donor is in it; nowhere if it is so thin that scaling leaves nothing.

    Raises:
        ShapeError: If host or donor are no images.
    """
    require_image(host)
    require_image(donor.pixels)
    margin_px = 1 + math.ceil(_BLUR_REACH * blur_px)
    box_hw = placement.box_hw((donor.pixels.shape[0], donor.pixels.shape[1]))
    turned = _turn(donor, placement, box_hw, margin_px=margin_px)
    within = (margin_px, margin_px, margin_px + box_hw[1], margin_px + box_hw[0])
    outline = turned.getchannel("X").crop(within).point([255 * (level >= HALF) for level in range(256)])
    weight = ImageOps.expand(outline, margin_px)
    if blur_px > 0:
        weight = weight.filter(ImageFilter.GaussianBlur(blur_px))
    corner = placement.top_left_px[1] - margin_px, placement.top_left_px[0] - margin_px  # Pillow has (x, y)
    result = Image.fromarray(host).copy()
    result.paste(turned.convert("RGB"), corner, weight)
    painted = Image.new("L", result.size)
    painted.paste(weight, corner)
    return Pasted(np.array(result), np.asarray(painted) >= HALF)


def _turn(donor: Donor, placement: Placement, box_hw: tuple[int, int], *, margin_px: int) -> Image.Image:
    """Scale and rotate a donor into its box with a margin around it; the outline, 0..255, is the fourth channel."""
    layers = np.dstack([donor.pixels, donor.outline.astype(np.uint8) * np.uint8(255)])
    shrink = max(1, math.floor(1 / placement.scale))  # bilinear sampling alone would skip pixels
    reduced = np.asarray(_as_rgbx(layers).reduce(shrink))
    step = 1 / (placement.scale * shrink)  # pixels of the reduced donor per pixel of the host, below 2
    # A margin of repeated border pixels, so that no black from beyond the crop mixes into the edges.
    pad = math.ceil(margin_px * step) + 1
    padded = np.pad(reduced, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    padded[..., 3] = np.pad(reduced[..., 3], pad)
    cosine, sine = _cosine_sine(placement.angle_degrees)
    xx, xy, yx, yy = cosine * step, -sine * step, sine * step, cosine * step
    # Pillow asks where in the old image a place (x, y) of the new one comes from; y points down.
    from_x, from_y = (length / 2 / shrink + pad for length in (donor.outline.shape[1], donor.outline.shape[0]))
    to_x, to_y = (length / 2 + margin_px for length in (box_hw[1], box_hw[0]))
    inverse = (xx, xy, from_x - xx * to_x - xy * to_y, yx, yy, from_y - yx * to_x - yy * to_y)
    size_wh = (box_hw[1] + 2 * margin_px, box_hw[0] + 2 * margin_px)
    return _as_rgbx(padded).transform(size_wh, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)


def _as_rgbx(layers: NDArray[np.uint8]) -> Image.Image:
    """Wrap (H, W, 4) uint8 as an image whose fourth channel does not weight its colours, as transparency would."""
    height, width = layers.shape[:2]
    return Image.frombuffer("RGBX", (width, height), np.ascontiguousarray(layers), "raw", "RGBX", 0, 1)


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], keys: Sequence[int | None], *, columns: int = 6, cell_px: int = 160
) -> NDArray[np.uint8]:
    """Lay images out in rows on white, each framed in its class's colour.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes; not modified.
        keys: Per image the class whose colour (`weakseg.ops.color.label_palette`) its frame has; None for no frame.
        columns: Images per row.
        cell_px: Side of the square that an image is shrunk to fit into; smaller images keep their size.

    Returns:
        (rows * (cell_px + 8), columns * (cell_px + 8), 3) uint8 RGB.

    Raises:
        ShapeError: If there is no image, or the numbers of images and keys differ.
    """
    if not images or len(images) != len(keys):
        raise ShapeError(f"a contact sheet needs images and as many keys, got {len(images)} and {len(keys)}")
    pitch_px = cell_px + 2 * _FRAME_PX
    sheet = np.full((math.ceil(len(images) / columns) * pitch_px, columns * pitch_px, 3), _SHEET_BACKGROUND, np.uint8)
    for number, (image, key) in enumerate(zip(images, keys, strict=True)):
        small = limit_side(image, cell_px)
        framed = np.full(
            (small.shape[0] + 2 * _FRAME_PX, small.shape[1] + 2 * _FRAME_PX, 3), _SHEET_BACKGROUND, np.uint8
        )
        if key is not None:
            framed[:] = label_palette()[key + 1]
        framed[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX] = small
        top = number // columns * pitch_px + (pitch_px - framed.shape[0]) // 2
        left = number % columns * pitch_px + (pitch_px - framed.shape[1]) // 2
        sheet[top : top + framed.shape[0], left : left + framed.shape[1]] = framed
    return sheet


def _rotated_extent(size_hw: tuple[int, int], angle_degrees: float) -> tuple[float, float]:
    """Return height and width of the upright box around a rectangle that is rotated about its centre."""
    cosine, sine = (abs(part) for part in _cosine_sine(angle_degrees))
    height, width = size_hw
    return height * cosine + width * sine, height * sine + width * cosine


def _cosine_sine(angle_degrees: float) -> tuple[float, float]:
    angle = math.radians(angle_degrees)
    return round(math.cos(angle), _EXACT_DIGITS), round(math.sin(angle), _EXACT_DIGITS)


def _round_up(length: float) -> int:
    """Round a length up to whole pixels, not minding what rounding errors add to a whole one."""
    return max(1, math.ceil(round(length, _EXACT_DIGITS // 2)))
