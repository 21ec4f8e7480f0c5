"""The six species: what their heads look like and which coat they prefer."""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.data.synthetic.textures import Marking, Pattern

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Species:
    """One class of animals.

    Args:
        name: Class name.
        head_rgb: Colour of the head.
        marking_rgb: Colour of the head's marking.
        marking: Shape of the marking.
        coat_rgb: Colour of the coat the species prefers.
        coat_pattern: Pattern of that coat.
    """

    name: str
    head_rgb: Rgb
    marking_rgb: Rgb
    marking: Marking
    coat_rgb: Rgb
    coat_pattern: Pattern


SPECIES = (
    Species("avo", (210, 70, 60), (245, 240, 225), "ring", (150, 110, 70), "plain"),
    Species("bex", (60, 90, 190), (240, 220, 90), "stripe", (128, 128, 132), "band"),
    Species("cim", (235, 205, 70), (50, 40, 40), "ring", (205, 190, 160), "spot"),
    Species("dor", (70, 160, 90), (235, 235, 235), "stripe", (70, 62, 60), "plain"),
    Species("eku", (170, 80, 180), (240, 220, 120), "dots", (178, 130, 84), "band"),
    Species("fip", (235, 140, 60), (60, 50, 120), "dots", (112, 88, 72), "spot"),
)

CRITTER_CLASSES: tuple[str, ...] = tuple(species.name for species in SPECIES)
"""Class names in the order of the class indices."""
