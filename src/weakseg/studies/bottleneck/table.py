"""The numbers of the study of the bottleneck: a short table of means over seeds, and every seed's in the details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.studies.bottleneck.gradients import REGIONS
from weakseg.studies.bottleneck.seed import TwinResult
from weakseg.studies.bottleneck.settings import (
    ACTIVATIONS,
    NUM_LAYERS,
    OBJECTIVES,
    Activation,
    BottleneckSettings,
    Objective,
)
from weakseg.studies.table import Cell, Column, Table

Results = Mapping[int, Mapping[Activation, TwinResult]]
"""What both twins showed, by seed."""

OBJECTIVE_NAMES: Mapping[Objective, str] = {
    "gndrp": "RIB, GNDRP",
    "gap": "RIB, GAP",
    "activation": "final activation",
}
"""What objectives are called where people read."""

DECIMALS = 6
"""Digits after the decimal point of shares in CSV."""

MARKER = REGIONS.index("marker")

COLUMNS = (
    Column("trained_with", "trained with"),
    Column("measured", "HGR % of"),
    *(
        column
        for region in REGIONS
        for column in (
            Column(region, region, percent=True, spread=f"{region}_sd"),
            Column(f"{region}_sd", f"{region} sd", percent=True, hidden=True),
        )
    ),
    Column("marker_rises", "marker rises", digits=0),
    Column("logit", "own logit", spread="logit_sd"),
    Column("logit_sd", "logit sd", hidden=True),
    Column("seconds_per_image", "s/image", digits=2, is_time=True),
)

DETAIL_COLUMNS = (
    Column("trained_with", "trained with"),
    Column("seed", "seed", digits=0),
    Column("measured", "measured"),
    Column("step", "layer or update", digits=0),
    *(Column(region, region, percent=True) for region in REGIONS),
    Column("logit", "own logit"),
)


def make_table(results: Results, settings: BottleneckSettings, *, source: str) -> Table:
    """Make the table of means over seeds, with the sample standard deviation behind them."""
    rows = [row for activation in ACTIVATIONS for row in _twin_rows(results, activation)]
    seeds = f"{len(results)} seed{'s' if len(results) > 1 else ''}"
    return Table(
        title=f"High gradient ratio over layers and updates: {source}, {settings.images} images with a marker, {seeds}",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=_make_notes(results, settings),
    )


def make_details(results: Results) -> Table:
    """Make the table of every seed, layer and update."""
    rows: list[tuple[Cell, ...]] = []
    for seed, twins in results.items():
        for activation in ACTIVATIONS:
            twin = twins[activation]
            rows += [
                (activation, seed, "layer", step, *ratios, None) for step, ratios in enumerate(twin.layers, start=1)
            ]
            for objective in OBJECTIVES:
                steps = zip(twin.adaptations[objective], twin.logits[objective], strict=True)
                rows += [
                    (activation, seed, OBJECTIVE_NAMES[objective], step, *ratios, logit)
                    for step, (ratios, logit) in enumerate(steps)
                ]
    return Table("Every seed, layer and update", DETAIL_COLUMNS, tuple(rows), ())


def layer_ratios(results: Results, activation: Activation) -> NDArray[np.float64]:
    """Return HGR (seeds, layers, regions), the logit last among the layers."""
    return np.array([twins[activation].layers for twins in results.values()])


def update_ratios(results: Results, activation: Activation, objective: Objective) -> NDArray[np.float64]:
    """Return HGR (seeds, updates + 1, regions)."""
    return np.array([twins[activation].adaptations[objective] for twins in results.values()])


def _twin_rows(results: Results, activation: Activation) -> Iterator[tuple[Cell, ...]]:
    layers = layer_ratios(results, activation)
    for layer in range(NUM_LAYERS):
        yield (activation, f"layer {layer + 1}", *_cells(layers[:, layer]))
    yield (activation, "logit", *_cells(layers[:, -1]))
    yield (activation, f"change from layer {NUM_LAYERS}", *_change_cells(layers[:, -2], layers[:, -1]))
    for objective in OBJECTIVES:
        ratios = update_ratios(results, activation, objective)
        twins = [one[activation] for one in results.values()]
        logits = np.array([twin.logits[objective] for twin in twins])
        time_s = round(float(np.mean([twin.times_s[objective] for twin in twins])), 4)
        name = OBJECTIVE_NAMES[objective]
        yield (activation, f"logit, {name}", *_cells(ratios[:, -1], logits=logits[:, -1], time_s=time_s))
        change = _change_cells(ratios[:, 0], ratios[:, -1], logits=logits[:, -1] - logits[:, 0])
        yield (activation, f"change by {name}", *change)


def _cells(
    ratios: NDArray[np.float64],
    *,
    rises: int | None = None,
    logits: NDArray[np.float64] | None = None,
    time_s: float | None = None,
) -> tuple[Cell, ...]:
    """Return the cells behind a row's name for HGR (seeds, regions) and logits (seeds,)."""
    cells = [cell for region in range(len(REGIONS)) for cell in _mean_and_spread(ratios[:, region])]
    logit_cells: tuple[Cell, Cell] = (None, None) if logits is None else _mean_and_spread(logits)
    return (*cells, rises, *logit_cells, time_s)


def _change_cells(
    before: NDArray[np.float64], after: NDArray[np.float64], *, logits: NDArray[np.float64] | None = None
) -> tuple[Cell, ...]:
    """Return the cells of differences within every seed, and in how many of them the marker's is above 0."""
    differences = after - before
    return _cells(differences, rises=int((differences[:, MARKER] > 0).sum()), logits=logits)


def _mean_and_spread(values: NDArray[np.float64]) -> tuple[Cell, Cell]:
    spread = round(float(values.std(ddof=1)), DECIMALS) if len(values) > 1 else None
    return round(float(values.mean()), DECIMALS), spread


def _make_notes(results: Results, settings: BottleneckSettings) -> tuple[str, ...]:
    notes = [
        f"share of a region's pixels whose gradient is above {settings.threshold:g} of the image's highest; mean over "
        "the images, then over the seeds, ± sample standard deviation over the seeds; changes in percentage points",
        "'marker rises' counts the seeds in which the marker's HGR is higher than before",
        "every image that is measured has a marker, so that each has all three regions",
        f"adaptations: to {settings.adapted} of the images, {settings.iterations} updates, rate "
        f"{settings.learning_rate:g}, {settings.partners} partners; they follow RIB's logits without a final "
        "activation, or minus the cross-entropy of training with it",
    ]
    for activation in ACTIVATIONS:
        twins = [one[activation] for one in results.values()]
        names = ("accuracy", "marked_accuracy", "marker_accuracy")
        plain, marked, marker = (_list_percents([getattr(twin, name) for twin in twins]) for name in names)
        notes.append(
            f"{activation}: accuracy by seed on unseen images without a marker {plain} %, with one {marked} %, "
            f"of the marker alone {marker} %"
        )
    return tuple(notes)


def _list_percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares)
