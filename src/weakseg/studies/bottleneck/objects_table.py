"""What the study of the bottleneck found on a run: its table and its details."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.localize.rib import RIBConfig
from weakseg.scoring.scores import number, numbers
from weakseg.studies.bottleneck.parts import MIN_PART_SHARE, PARTS, ObjectResult
from weakseg.studies.table import Cell, Column, Table

BY_IMAGE, LOGIT_BY_IMAGE, LOGIT_BY_LAYER = "layer by image", "logit by image", "logit by layer"
"""Which gradient a row is about: of what, with respect to what."""

NUM_PARTS = len(PARTS)

OTHER, BACKGROUND = PARTS.index("other"), PARTS.index("background")

HEADINGS = ("discr.", "other", "backgr.")
"""The parts, where columns are narrow."""

COLUMNS = (
    Column("gradient", "HGR %, gradient of"),
    *(
        column
        for part, heading in zip(PARTS, HEADINGS, strict=True)
        for column in (
            Column(part, heading, percent=True, spread=f"{part}_se"),
            Column(f"{part}_se", f"{part} se", percent=True, hidden=True),
        )
    ),
    *(
        Column(f"{part}_strength", f"{heading} strength", digits=2)
        for part, heading in zip(PARTS, HEADINGS, strict=True)
    ),
    Column("other_rises", "other rises %", digits=0, percent=True),
    Column("beats_background", "beats backgr. %", digits=0, percent=True),
    Column("logit", "logit"),
)

DETAIL_COLUMNS = (
    Column("image", "image"),
    Column("class", "class"),
    Column("gradient", "gradient of"),
    Column("layer", "layer"),
    Column("updates", "updates", digits=0),
    *(Column(part, part, percent=True) for part in PARTS),
    *(Column(f"{part}_strength", f"{part}, strength", digits=2) for part in PARTS),
    Column("logit", "logit"),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that the figure shows.

    Args:
        image: (H, W, 3) uint8.
        parts: (3, H, W) bool, those of one object.
        maps: (L + 2, h, w) in 0..1: gradients with respect to the image of every layer, of the object's logit, and of
            that at the end of the adaptation.
    """

    image: NDArray[np.uint8]
    parts: NDArray[np.bool_]
    maps: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that was measured.

    Args:
        split: Of the data set.
        parts: Whose seed is the discriminative part, `cam` or `run`.
        cut: The background threshold it was cut at.
        threshold: Of HGR.
        layer_names: The L layers, from the image to the logit.
        results: By image, its objects; there is at least one.
        rib: How the classifier was adapted.
        pictures: The first images with an object.
    """

    split: str
    parts: str
    cut: float
    threshold: float
    layer_names: tuple[str, ...]
    results: Mapping[str, Sequence[ObjectResult]]
    rib: RIBConfig
    pictures: tuple[Picture, ...] = ()

    @property
    def objects(self) -> tuple[ObjectResult, ...]:
        """All objects."""
        return tuple(one for found in self.results.values() for one in found)

    @property
    def layers(self) -> NDArray[np.float64]:
        """Shares of every layer's gradient with respect to the image, (objects, L, 6)."""
        return np.stack([one.layers for one in self.objects])

    @property
    def by_image(self) -> NDArray[np.float64]:
        """Shares of the logit's with respect to the image, (objects, S, 6); missing states are as the last."""
        return np.stack([one.by_image[self._states(one)] for one in self.objects])

    @property
    def by_layer(self) -> NDArray[np.float64]:
        """Shares of the logit's with respect to every layer, (objects, S, L, 6)."""
        return np.stack([one.by_layer[self._states(one)] for one in self.objects])

    @property
    def logits(self) -> NDArray[np.float64]:
        """The logits, (objects, S)."""
        return np.stack([one.logits[self._states(one)] for one in self.objects])

    def _states(self, one: ObjectResult) -> NDArray[np.int64]:
        """Return the place of every state, of which the last that there is stands for those that are missing."""
        return np.minimum(np.arange(self.rib.iterations), len(one.logits) - 1)


def make_table(found: Findings) -> Table:
    """Make the table of means over the objects, with their standard errors behind them."""
    seed = "CAM" if found.parts == "cam" else "the run's seeds"
    return Table(
        title=f"HGR of object parts on {found.split}: {len(found.objects)} objects in {len(found.results)} images, "
        f"tags given, {seed} at {'its' if found.parts == 'cam' else 'their'} oracle threshold",
        columns=COLUMNS,
        rows=tuple(_rows(found)),
        notes=_make_notes(found),
    )


def make_details(found: Findings) -> Table:
    """Make the table of every object, layer and update."""
    rows: list[tuple[Cell, ...]] = []
    for image, objects in found.results.items():
        for one in objects:
            head = (image, one.name)
            for layer, shares in zip(found.layer_names, one.layers, strict=True):
                rows.append((*head, BY_IMAGE, layer, None, *numbers(shares), None))
            for updates, logit in enumerate(one.logits):
                shares = numbers(one.by_image[updates])
                rows.append((*head, LOGIT_BY_IMAGE, None, updates, *shares, number(float(logit))))
                for layer, shares in zip(found.layer_names, one.by_layer[updates], strict=True):
                    rows.append((*head, LOGIT_BY_LAYER, layer, updates, *numbers(shares), None))
    return Table("Every object, layer and update", DETAIL_COLUMNS, tuple(rows), ())


def _rows(found: Findings) -> Iterator[tuple[Cell, ...]]:
    layers, by_image, by_layer, logits = found.layers, found.by_image, found.by_layer, found.logits
    for at, name in enumerate(found.layer_names):
        yield (f"{name} by image", *_cells(layers[:, at]))
    for updates in range(by_image.shape[1]):
        name = f"logit by image, update {updates}" if updates else "logit by image"
        yield (name, *_cells(by_image[:, updates], logits=logits[:, updates]))
    yield (f"change from {found.layer_names[-1]} to logit", *_change_cells(layers[:, -1], by_image[:, 0]))
    change = _change_cells(by_image[:, 0], by_image[:, -1], logits=logits[:, -1] - logits[:, 0])
    yield ("change of logit by RIB", *change)
    for at, name in enumerate(found.layer_names):
        yield (f"logit by {name}", *_cells(by_layer[:, 0, at]))
    for at, name in enumerate(found.layer_names):
        yield (f"change of that by RIB, {name}", *_change_cells(by_layer[:, 0, at], by_layer[:, -1, at]))


def _cells(
    shares: NDArray[np.float64],
    *,
    rises: tuple[Cell, Cell] = (None, None),
    logits: NDArray[np.float64] | None = None,
) -> tuple[Cell, ...]:
    """Return the cells behind a row's name for shares (objects, 6) and logits (objects,)."""
    means, errors = shares.mean(axis=0), standard_errors(shares)
    ratios = [cell for at in range(NUM_PARTS) for cell in (number(float(means[at])), number(float(errors[at])))]
    strengths = [number(float(mean)) for mean in means[NUM_PARTS:]]
    return (*ratios, *strengths, *rises, None if logits is None else number(float(logits.mean())))


def _change_cells(
    before: NDArray[np.float64], after: NDArray[np.float64], *, logits: NDArray[np.float64] | None = None
) -> tuple[Cell, ...]:
    """Return the cells of differences within every object, and in which share of them the other part's is above 0."""
    change = after - before
    rises = (change[:, OTHER] > 0).mean(), (change[:, OTHER] > change[:, BACKGROUND]).mean()
    return _cells(change, rises=(number(float(rises[0])), number(float(rises[1]))), logits=logits)


def standard_errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error of the mean over the first axis; NaN for a single object."""
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    spread: NDArray[np.float64] = values.std(axis=0, ddof=1)
    return spread / math.sqrt(len(values))


def _make_notes(found: Findings) -> tuple[str, ...]:
    rib = found.rib
    seed = "the classifier's CAM" if found.parts == "cam" else "the run's seed"
    areas = 100 * np.mean([one.areas for one in found.objects], axis=0)
    ended = sum(len(one.logits) < rib.iterations for one in found.objects)
    notes = [
        f"discriminative: true mask where {seed}, cut at {found.cut:g}, shows the class; other: the rest of the mask. "
        f"They take {areas[0]:.0f} and {areas[1]:.0f} % of an image, the background {areas[2]:.0f} %",
        f"HGR: share of a part whose gradient is above {found.threshold:g} of the image's highest; mean over the "
        "objects ± standard error; changes in percentage points",
        "strength: mean gradient of the part over that of the image; gradients are averaged over the squares of pixels "
        "that a position of the score maps stands for",
        "'other rises': share of the objects in which the other part's HGR is higher than before; behind it, those in "
        "which it rises by more than the background's",
        f"of {len(found.results)} images those objects are measured whose parts each take at least "
        f"{100 * MIN_PART_SHARE:g} % of the image",
        f"RIB: {rib.iterations} iterations, learning_rate {rib.learning_rate:g}, pooling {rib.pooling}, "
        f"{rib.partners} partners, coarse_loss {'on' if rib.coarse_loss else 'off'}",
    ]
    if ended:
        objects = "1 object" if ended == 1 else f"{ended} objects"
        notes.append(f"adaptations to {objects} ended early; later rows have their last state")
    return tuple(notes)
