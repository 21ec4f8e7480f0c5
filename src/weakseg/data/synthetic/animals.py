"""How one animal is drawn.

The proportions and amplitudes below were chosen by eye, so that a small network finds the heads within minutes and
its class activation maps still miss much of the bodies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from weakseg.data.synthetic.settings import CritterSettings
from weakseg.data.synthetic.shapes import Canvas, Capsule, ColourField, Ellipse, FloatArray, Point, Shape, enclosing_box
from weakseg.data.synthetic.species import Rgb, Species
from weakseg.data.synthetic.textures import coat_tone, is_marked, value_noise

HEAD_PART = 1
"""Part label of head, ears and eye: what tells the classes apart."""

BODY_PART = 2
"""Part label of torso, legs and tail."""

FUR_CELLS = 44
"""Noise cells of the fur per image side; the same for every coat."""

LIGHT_CELLS = 5
"""Noise cells of uneven light per image side."""

EYE_LEVEL = 15.0


@dataclass(frozen=True)
class Anatomy:
    """The shapes of one animal in the order they are painted.

    Args:
        legs: Four legs.
        tail: The tail.
        torso: The torso; its axes carry the coat's pattern.
        ears: Two ears.
        head: The head; its axes carry the marking.
        head_radius: Length in px that the marking is measured in.
        eye: The eye.
    """

    legs: tuple[Capsule, ...]
    tail: Capsule
    torso: Ellipse
    ears: tuple[Capsule, ...]
    head: Ellipse
    head_radius: float
    eye: Ellipse

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All shapes."""
        return (*self.legs, self.tail, self.torso, *self.ears, self.head, self.eye)


@dataclass(frozen=True)
class _Frame:
    """An animal's own directions: `along` points from tail to head, `up` from the feet to the back."""

    origin: Point
    along: Point
    up: Point

    def at(self, along: float, up: float) -> Point:
        """Return the point that many pixels from the origin in the two directions."""
        return (
            self.origin[0] + along * self.along[0] + up * self.up[0],
            self.origin[1] + along * self.along[1] + up * self.up[1],
        )


def draw_anatomy(rng: np.random.Generator, settings: CritterSettings, centre: Point) -> Anatomy:
    """Draw the size, posture and direction of an animal.

    Args:
        rng: Source of randomness.
        settings: Range of sizes.
        centre: (y, x) of the torso's centre in pixels.
    """
    unit = settings.scale
    length = rng.uniform(*settings.body_scale_px) * unit
    half_length, half_height = 0.72 * length, 0.72 * length * rng.uniform(0.42, 0.58)
    tilt = rng.uniform(-0.45, 0.45)
    facing = 1.0 if rng.random() < 0.5 else -1.0
    frame = _Frame(
        origin=centre,
        along=(math.sin(tilt) * facing, math.cos(tilt) * facing),
        up=(-math.cos(tilt), math.sin(tilt)),
    )

    leg_radius = rng.uniform(2.2, 3.4) * unit
    legs = []
    for place in (-0.72, -0.45, 0.4, 0.68):
        along, hip = place * half_length, -0.5 * half_height
        foot = hip - half_height * rng.uniform(0.9, 1.25)
        legs.append(Capsule(frame.at(along, hip), frame.at(along + rng.uniform(-5, 5) * unit, foot), leg_radius))
    rump = -0.9 * half_length
    tip = frame.at(rump - rng.uniform(6, 13) * unit, rng.uniform(-6, 14) * unit)
    tail = Capsule(frame.at(rump, 0), tip, rng.uniform(1.8, 2.8) * unit)

    radius = 2 * half_height * rng.uniform(*settings.head_fraction) + unit
    neck, raised = 0.92 * half_length + 0.35 * radius, half_height * rng.uniform(0.1, 0.75)
    ears = tuple(
        Capsule(
            frame.at(neck + side * 0.36 * radius, raised),
            frame.at(neck + side * 0.6 * radius, raised + 0.95 * radius),
            0.26 * radius,
        )
        for side in (-1, 1)
    )
    return Anatomy(
        legs=tuple(legs),
        tail=tail,
        torso=Ellipse(centre, (half_length, half_height), tilt),
        ears=ears,
        head=Ellipse(frame.at(neck, raised), (1.05 * radius, 0.92 * radius), tilt + rng.uniform(-0.3, 0.3)),
        head_radius=radius,
        eye=Ellipse(frame.at(neck + 0.3 * radius, raised + 0.25 * radius), (1.5 * unit, 1.5 * unit), 0.0),
    )


def draw_animal(
    rng: np.random.Generator,
    canvas: Canvas,
    settings: CritterSettings,
    *,
    species: Species,
    coat: Species,
    centre: Point,
    instance: int,
) -> None:
    """Draw an animal over what is on the canvas, and label it.

    Args:
        rng: Source of randomness.
        canvas: Changed in place.
        settings: Sizes and colours.
        species: Whose head the animal has.
        coat: The species whose preferred coat it wears.
        centre: (y, x) of its torso in pixels.
        instance: Instance label.
    """
    anatomy = draw_anatomy(rng, settings, centre)
    box = enclosing_box(anatomy.shapes, canvas.size_hw)
    if box.is_empty:
        return
    light_cell, fur_cell = settings.size_px / LIGHT_CELLS, settings.size_px / FUR_CELLS
    light = 10 * value_noise(rng, box.size_hw, cell_hw=(light_cell, light_cell), octaves=2)
    fur = 12 * value_noise(rng, box.size_hw, cell_hw=(fur_cell, fur_cell), octaves=1)
    u, v = anatomy.torso.axes(box)
    pattern = coat_tone(rng, coat.coat_pattern, u, v, contrast=settings.coat_contrast, scale=settings.scale)
    coat_rgb = _jittered(rng, coat.coat_rgb, settings.colour_jitter)
    head_rgb = _jittered(rng, species.head_rgb, settings.colour_jitter)
    marking_rgb = _jittered(rng, species.marking_rgb, settings.colour_jitter)

    fur_rgb = coat_rgb + (light + fur + pattern)[..., None]
    below = box.grid(centre)[0] / (2 * anatomy.torso.radii[1])
    shaded_rgb = fur_rgb - 14 * np.clip(below, -1, 1)[..., None]
    leg_colours = ColourField(box, shaded_rgb - 12)
    for leg in anatomy.legs:
        canvas.paint(leg, leg_colours, instance=instance, part=BODY_PART)
    canvas.paint(anatomy.tail, ColourField(box, fur_rgb), instance=instance, part=BODY_PART)
    canvas.paint(anatomy.torso, ColourField(box, shaded_rgb), instance=instance, part=BODY_PART)

    ear_colours = ColourField(box, 0.85 * head_rgb + light[..., None])
    for ear in anatomy.ears:
        canvas.paint(ear, ear_colours, instance=instance, part=HEAD_PART)
    u, v = anatomy.head.axes(box)
    marked = is_marked(species.marking, u / anatomy.head_radius, v / anatomy.head_radius)
    face_rgb = np.where(marked[..., None], marking_rgb, head_rgb) + light[..., None]
    canvas.paint(anatomy.head, ColourField(box, face_rgb), instance=instance, part=HEAD_PART)
    eye_rgb = np.full((*box.size_hw, 3), EYE_LEVEL, np.float32)
    canvas.paint(anatomy.eye, ColourField(box, eye_rgb), instance=instance, part=HEAD_PART)


def _jittered(rng: np.random.Generator, rgb: Rgb, jitter: float) -> FloatArray:
    """Change a colour at random, each channel by itself and all of them together; (3,) float32."""
    change = rng.normal(0, jitter, 3) + rng.normal(0, jitter)
    return (np.asarray(rgb) + change).astype(np.float32)
