"""The knobs of the critter generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weakseg.data.synthetic.species import CRITTER_CLASSES
from weakseg.errors import ConfigError

REFERENCE_PX = 128
"""The image size at which lengths in px are meant; they grow and shrink with `CritterSettings.size_px`."""

MIN_SIZE_PX = 48
"""Below this size legs and markings are thinner than a pixel."""

MAX_ANIMALS = 16
"""More animals than this hide one another almost completely."""

SUM_TOLERANCE = 1e-6
"""How far chances that should add up to 1 may miss it, for the sake of decimal input."""


@dataclass(frozen=True)
class CritterSettings:
    """What critter images look like. The defaults are the data set that the documentation's figures were made with.

    Lengths in px hold for images of 128 px and are scaled with `size_px`; colours and contrasts are in levels 0..255.

    Args:
        size_px: Height and width of every image, at least 48.
        p_context: Chance that the context is the one which the image's first animal prefers. Otherwise, and in images
            without animals, each of the six contexts is equally likely (the preferred one too).
        p_coat: Chance that an animal wears the coat its class prefers. Otherwise each coat is equally likely.
        p_empty: Chance that an image shows no animal.
        p_animals: Chances of 1, 2, 3, ... animals in an image that shows any; they add up to 1.
        repeat_classes: Whether two animals of one image may be of the same class. Only then do instances of one class
            touch, which is what instance segmentation has to take apart.
        body_scale_px: Range of an animal's size; the torso is 1.44 times as long as this.
        head_fraction: Range of the head's radius as a fraction of the torso's height. The smaller the head, the
            smaller the part of an animal that a classifier has to look at.
        colour_jitter: Standard deviation of the random change of coat and head colours, per channel and once more for
            all channels together.
        coat_contrast: How far the bands and spots of a coat depart from its base colour.
        clutter_pieces: Fewest and most pieces of unlabelled clutter.
        min_visible_px: An animal of which fewer pixels can be seen (of an image of 128 x 128; scaled with the area) is
            neither tagged nor labelled; its pixels become void.

    Raises:
        ConfigError: If a value is outside its range.
    """

    size_px: int = 128
    p_context: float = 0.6
    p_coat: float = 0.7
    p_empty: float = 0.2
    p_animals: tuple[float, ...] = (0.6, 0.3, 0.1)
    repeat_classes: bool = False
    body_scale_px: tuple[float, float] = (30.0, 50.0)
    head_fraction: tuple[float, float] = (0.45, 0.55)
    colour_jitter: float = 14.0
    coat_contrast: float = 26.0
    clutter_pieces: tuple[int, int] = (1, 3)
    min_visible_px: int = 60

    def __post_init__(self) -> None:
        if self.size_px < MIN_SIZE_PX:
            raise ConfigError(f"critters: size_px must be at least {MIN_SIZE_PX}, got {self.size_px}")
        for name in ("p_context", "p_coat", "p_empty"):
            _require_chance(name, getattr(self, name))
        self._check_animals()
        _require_range("body_scale_px", self.body_scale_px, low=1.0, high=float(REFERENCE_PX))
        _require_range("head_fraction", self.head_fraction, low=0.05, high=2.0)
        _require_range("clutter_pieces", self.clutter_pieces, low=0, high=100)
        for name in ("colour_jitter", "coat_contrast", "min_visible_px"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"critters: {name} must be 0 or more, got {value}")

    def _check_animals(self) -> None:
        if not 1 <= len(self.p_animals) <= MAX_ANIMALS:
            raise ConfigError(
                f"critters: p_animals needs the chances of 1 to at most {MAX_ANIMALS} animals, got {self.p_animals}"
            )
        if not self.repeat_classes and len(self.p_animals) > len(CRITTER_CLASSES):
            raise ConfigError(
                f"critters: p_animals allows {len(self.p_animals)} animals of {len(CRITTER_CLASSES)} classes in an "
                "image; give fewer chances, or set repeat_classes"
            )
        for chance in self.p_animals:
            _require_chance("p_animals", chance)
        if abs(sum(self.p_animals) - 1) > SUM_TOLERANCE:
            raise ConfigError(f"critters: p_animals must add up to 1, got {self.p_animals} ({sum(self.p_animals):g})")

    @property
    def scale(self) -> float:
        """Pixels of this image size per pixel of an image of 128 px."""
        return self.size_px / REFERENCE_PX

    @property
    def min_visible_area(self) -> float:
        """`min_visible_px` at this image size."""
        return self.min_visible_px * self.scale**2


def _require_chance(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"critters: {name} is a chance and must be within 0..1, got {value}")


def _require_range(name: str, value: tuple[float, float], *, low: float, high: float) -> None:
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ConfigError(f"critters: {name} is a range (least, most) within {low:g}..{high:g}, got {value}")
