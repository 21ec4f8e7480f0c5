"""Composing one critter image with its exact labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.synthetic.animals import draw_animal
from weakseg.data.synthetic.settings import CritterSettings
from weakseg.data.synthetic.shapes import ByteArray, Canvas, Ellipse, Point, enclosing_box
from weakseg.data.synthetic.species import SPECIES
from weakseg.data.synthetic.textures import CONTEXTS, NOISE_GAIN, draw_context, value_noise
from weakseg.errors import ConfigError

VOID = 255
"""Label of pixels that count for nothing: what can be seen of an animal that is too hidden to be tagged."""

CONTEXT_JITTER = 0.8
"""Contexts change colour by this fraction of `CritterSettings.colour_jitter`."""

SENSOR_NOISE_LEVELS = 4.0
"""Standard deviation of the noise of every pixel and channel."""

PLACING_ATTEMPTS = 30
"""After so many places too close to other animals the last one is taken: crowds overlap."""

CLUTTER_BULGE_PX = 4.0
"""Amplitude of the noise on the outline of clutter, for images of 128 px."""


@dataclass(frozen=True, eq=False)
class CritterScene:
    """A generated image and everything there is to know about it.

    The labels agree with each other: a class is tagged exactly if it is in `mask`; `mask`, `instances` and `parts` are
    0 at the same pixels and 255 (void) at the same pixels.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 class labels: 0 background, c + 1 class c, 255 void.
        instances: (H, W) uint8 animals: 0 background, 1..n in painter's order (a later one is nearer), 255 void.
        parts: (H, W) uint8: 0 background, 1 head, 2 body, 255 void.
        tags: (C,) uint8, 1 for classes of which an animal is labelled.
        instance_classes: Class index of the animals 1..n.
        context: Index of the context in `textures.CONTEXTS`; it is the class index that prefers it.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    tags: NDArray[np.uint8]
    instance_classes: tuple[int, ...]
    context: int


def generate_scene(settings: CritterSettings, *, seed: int, index: int) -> CritterScene:
    """Generate image `index` of data set `seed`.

    The result depends on the arguments alone, not on how many images are made or in which order. It is the same on
    every run; another processor or NumPy may round a few pixels differently.

    Args:
        settings: What images look like.
        seed: Which data set, 0 or more.
        index: Which image of it, 0 or more.

    Raises:
        ConfigError: If the seed or the index is negative.
    """
    if seed < 0 or index < 0:
        raise ConfigError(f"critters: seed and index must be 0 or more, got seed {seed} and index {index}")
    # As a spawn key the index cannot be mistaken for more digits of the seed.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    size_px = settings.size_px

    classes = _draw_classes(rng, settings)
    context = _draw_preferred(rng, classes[0] if classes else None, settings.p_context)
    background = draw_context(
        rng,
        CONTEXTS[context],
        size_px=size_px,
        scale=settings.scale,
        jitter=CONTEXT_JITTER * settings.colour_jitter,
    )
    canvas = Canvas(background, np.zeros((size_px, size_px), np.uint8), np.zeros((size_px, size_px), np.uint8))
    for _ in range(int(rng.integers(settings.clutter_pieces[0], settings.clutter_pieces[1] + 1))):
        _draw_clutter(rng, canvas, settings)

    # Who stands lower is nearer and hides who stands higher.
    places = _draw_places(rng, len(classes), size_px)
    animals = sorted(zip(places, classes, strict=True))
    for instance, (place, chosen) in enumerate(animals, start=1):
        coat = _draw_preferred(rng, chosen, settings.p_coat)
        draw_animal(rng, canvas, settings, species=SPECIES[chosen], coat=SPECIES[coat], centre=place, instance=instance)

    noise = rng.standard_normal(canvas.image.shape, dtype=np.float32) * SENSOR_NOISE_LEVELS
    image = np.clip(canvas.image + noise, 0, 255).astype(np.uint8)
    return _label(image, canvas, tuple(chosen for _, chosen in animals), context, settings)


def _draw_classes(rng: np.random.Generator, settings: CritterSettings) -> list[int]:
    """Draw the class of each animal; the first one decides on the context."""
    if rng.random() < settings.p_empty:
        return []
    chances = np.asarray(settings.p_animals)
    count = 1 + int(rng.choice(len(chances), p=chances / chances.sum()))
    return [int(chosen) for chosen in rng.choice(len(SPECIES), count, replace=settings.repeat_classes)]


def _draw_preferred(rng: np.random.Generator, chosen: int | None, chance: float) -> int:
    """Draw the index of a context or a coat: with `chance` the class's own, else any."""
    if chosen is not None and rng.random() < chance:
        return chosen
    return int(rng.integers(len(SPECIES)))


def _draw_places(rng: np.random.Generator, count: int, size_px: int) -> list[Point]:
    """Draw the centres of animals, apart from one another as far as there is room."""
    places: list[Point] = []
    for _ in range(count):
        for _ in range(PLACING_ATTEMPTS):
            place = (rng.uniform(0.22, 0.78) * size_px, rng.uniform(0.22, 0.78) * size_px)
            if all(math.dist(place, other) > 0.36 * size_px for other in places):
                break
        places.append(place)
    return places


def _draw_clutter(rng: np.random.Generator, canvas: Canvas, settings: CritterSettings) -> None:
    """Draw an unlabelled stone or bush: coloured like a coat, without fur."""
    size_px, unit = settings.size_px, settings.scale
    radius = rng.uniform(6, 15) * unit
    stone = Ellipse(
        centre=(rng.uniform(0, size_px), rng.uniform(0, size_px)),
        radii=(radius * rng.uniform(0.6, 1.3), radius),
        angle=rng.uniform(0, math.pi),
    )
    rgb = (rng.uniform(40, 210) + rng.normal(0, 22, 3)).astype(np.float32)
    bulge_px = CLUTTER_BULGE_PX * unit
    box = enclosing_box((stone,), canvas.size_hw, bulge_px=bulge_px * NOISE_GAIN)
    if box.is_empty:
        return
    outline_cell, texture_cell = size_px / 12, size_px / 9
    depth = stone.depth(box)
    depth += bulge_px * value_noise(rng, box.size_hw, cell_hw=(outline_cell, outline_cell), octaves=2)
    tone = 20 * value_noise(rng, box.size_hw, cell_hw=(texture_cell, texture_cell), octaves=2)
    tone -= 12 * np.clip(stone.axes(box)[1] / radius, -1, 1)
    canvas.blend(box, depth, rgb + tone[..., None])


def _label(
    image: ByteArray, canvas: Canvas, classes: tuple[int, ...], context: int, settings: CritterSettings
) -> CritterScene:
    """Turn painted instances into labels that agree with the tags: animals that are hardly visible become void."""
    areas = np.bincount(canvas.instances.ravel(), minlength=len(classes) + 1)[1:]
    visible = [number for number, area in enumerate(areas, start=1) if area and area >= settings.min_visible_area]
    labels = tuple(classes[number - 1] for number in visible)

    renumber = np.full(len(classes) + 1, VOID, np.uint8)
    renumber[0] = 0
    renumber[visible] = np.arange(1, len(visible) + 1)
    instances = renumber[canvas.instances]
    label_of = np.full(VOID + 1, VOID, np.uint8)
    label_of[: len(labels) + 1] = (0, *(chosen + 1 for chosen in labels))
    tags = np.zeros(len(SPECIES), np.uint8)
    tags[list(labels)] = 1
    return CritterScene(
        image=image,
        mask=label_of[instances],
        instances=instances,
        parts=np.where(instances == VOID, np.uint8(VOID), canvas.parts),
        tags=tags,
        instance_classes=labels,
        context=context,
    )
