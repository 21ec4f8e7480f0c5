"""The table of a study of methods: one row per method, means and spreads over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weakseg.config.bounds import AUTO
from weakseg.config.schema import RunConfig
from weakseg.scoring.scores import number
from weakseg.studies.methods.fixed import fixed_threshold, is_automatic
from weakseg.studies.methods.measure import CLASS_AGNOSTIC, Task, has_own_threshold, trains
from weakseg.studies.methods.rows import AVERAGED, METHODS
from weakseg.studies.spread import Measure, Measured, describe_spread, mean_and_spread
from weakseg.studies.table import Column, Table

CLASSIFIER = (
    Measure(Column("updates", "updates", digits=0), has_spread=False),
    Measure(Column("map", "mAP %", percent=True)),
    Measure(Column("seeds", "seeds, oracle", percent=True)),
    Measure(Column("seeds_threshold", "thr.", digits=2), has_spread=False),
)
"""What every method has."""

MASKS = {
    "crf": (
        Measure(Column("crf", "CRF, oracle", percent=True)),
        Measure(Column("crf_threshold", "thr.", digits=2), has_spread=False),
        Measure(Column("crf_fixed", "CRF, fixed", percent=True)),
    ),
    "psa": (Measure(Column("psa", "PSA", percent=True)),),
    "irn": (
        Measure(Column("irn", "IRN, oracle", percent=True)),
        Measure(Column("irn_threshold", "thr.", digits=2), has_spread=False),
        Measure(Column("irn_fixed", "IRN, fixed", percent=True)),
    ),
}
"""What a refinement adds, by its name; any other one its score."""

AUTOMATIC = {
    "crf": (
        Measure(Column("crf", "CRF, oracle", percent=True)),
        Measure(Column("crf_threshold", "thr.", digits=2), has_spread=False),
        Measure(Column("crf_auto", "CRF, auto", percent=True)),
        Measure(Column("crf_auto_threshold", "thr.", digits=2), has_spread=False),
        Measure(Column("crf_fixed", "CRF, fixed", percent=True)),
    ),
}
"""The same where the recipe's threshold is `auto`."""

TIMES = ("classify", "localize")
"""Stages whose seconds are reported, besides the refinements."""

BASE = "cam"
"""The method that others are compared with."""


@dataclass(frozen=True)
class Extent:
    """How much of the data a study has looked at, and with what.

    Args:
        images: So many images of each split got seeds and masks; all if None.
        stands_in: Whether superpixels stand in for class-agnostic masks.
    """

    images: int | None = None
    stands_in: bool = False


WHOLE = Extent()


def list_measures(config: RunConfig, refinements: Sequence[str]) -> list[Measure]:
    """Return what the table shows of every method, times left out."""
    automatic = is_automatic(config)
    return [*CLASSIFIER, *(measure for name in refinements for measure in _measures_of(name, automatic=automatic))]


def _measures_of(name: str, *, automatic: bool) -> tuple[Measure, ...]:
    if automatic and name in AUTOMATIC:
        return AUTOMATIC[name]
    if name in MASKS:
        return MASKS[name]
    label = name.upper() if name != CLASS_AGNOSTIC else name
    if not automatic or name == CLASS_AGNOSTIC or not has_own_threshold(name):
        return (Measure(Column(name, label, percent=True)),)
    return (
        Measure(Column(name, f"{label}, oracle", percent=True)),
        Measure(Column(f"{name}_threshold", "thr.", digits=2), has_spread=False),
        Measure(Column(f"{name}_auto", f"{label}, auto", percent=True)),
    )


def _list_times(config: RunConfig, refinements: Sequence[str]) -> list[Measure]:
    stages = [*TIMES, *refinements]
    whole = [name for name in stages if not (is_automatic(config) and _is_swept(name))]
    columns = [Column(f"{name}_s", f"{name} s", digits=0, is_time=True) for name in whole]
    columns += [Column(f"{name}_image_s", f"{name} s/image", digits=2, is_time=True) for name in stages[1:]]
    return [Measure(column, has_spread=False) for column in columns]


def _is_swept(name: str) -> bool:
    return name not in (*TIMES, "irn", CLASS_AGNOSTIC) and has_own_threshold(name)


def make_table(
    config: RunConfig,
    measured: Mapping[str, Sequence[Measured]],
    task: Task,
    seeds: Sequence[int],
    extent: Extent = WHOLE,
) -> Table:
    """Summarise what was measured.

    Args:
        config: The recipe of the study.
        measured: By method and, in the order of `seeds`, by seed.
        task: What was measured.
        seeds: The seeds.
        extent: How much of the data was looked at.
    """
    measures = [*list_measures(config, task.refinements), *_list_times(config, task.refinements)]
    count = count_images([one for found in measured.values() for one in found])
    where = f"{config.data.name} {task.split}"
    return Table(
        title=f"methods: mean IoU (%) of seeds and masks on {where}, {count} images, tags given",
        columns=(Column("method", "method"), *(column for measure in measures for column in measure.columns(seeds))),
        rows=tuple(
            (METHODS[name].label, *(cell for measure in measures for cell in measure.cells(found)))
            for name, found in measured.items()
        ),
        notes=(*_make_notes(config, measured, task, seeds, extent), *_note_differences(config, measured, task)),
    )


def make_differences(
    config: RunConfig, measured: Mapping[str, Sequence[Measured]], task: Task, seeds: Sequence[int]
) -> Table | None:
    """Tell every score less CAM's, seed by seed; None without CAM or any other method.

    Args:
        config: The recipe of the study.
        measured: By method and seed, see `make_table`.
        task: What was measured.
        seeds: The seeds.
    """
    if BASE not in measured or len(measured) == 1:
        return None
    scores = _list_scores(config, task)
    return Table(
        title="methods: differences to CAM, seed by seed",
        columns=(
            Column("method", "method"),
            *(column for measure in scores for column in measure.columns(seeds)),
        ),
        rows=tuple(
            (
                METHODS[name].label,
                *(cell for measure in scores for cell in measure.cells(_subtract(found, measured[BASE]))),
            )
            for name, found in measured.items()
            if name != BASE
        ),
        notes=(),
    )


def _list_scores(config: RunConfig, task: Task) -> list[Measure]:
    return [measure for measure in list_measures(config, task.refinements) if measure.column.percent]


def _subtract(found: Sequence[Measured], base: Sequence[Measured]) -> list[Measured]:
    """Return every number less that of the base, seed by seed; None where either is undefined."""
    differences: list[Measured] = []
    for one, other in zip(found, base, strict=True):
        pairs = {name: (value, other.get(name)) for name, value in one.items()}
        differences.append({name: None if a is None or b is None else number(a - b) for name, (a, b) in pairs.items()})
    return differences


def _note_differences(config: RunConfig, measured: Mapping[str, Sequence[Measured]], task: Task) -> list[str]:
    """Say what every method gains over CAM; a gain is that of every seed if it says so."""
    notes = []
    for name, found in measured.items():
        if name == BASE or BASE not in measured:
            continue
        differences, told = _subtract(found, measured[BASE]), []
        for measure in _list_scores(config, task):
            values = [one.get(measure.name) for one in differences]
            mean, spread = mean_and_spread(values)
            if mean is not None and not (measure.name == "map" and not any(values)):
                wins = sum(value is not None and value > 0 for value in values)
                around = "" if spread is None else f" ± {100 * spread:.1f}"
                told.append(
                    f"{measure.column.heading.removesuffix(' %')} {100 * mean:+.1f}{around} ({wins}/{len(values)})"
                )
        if told:
            notes.append(f"{METHODS[name].label} - CAM, in points (seeds with a gain): {', '.join(told)}")
    return notes


def count_images(measured: Sequence[Measured]) -> str:
    """Say how many images were scored with every seed."""
    counts = sorted({int(one["images"] or 0) for one in measured})
    return "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def describe_data(config: RunConfig) -> str:
    """Say what was trained on, as far as the recipe tells."""
    critters, classifier = config.data.critters, config.classifier
    if config.data.name != "critters":
        images = f"{config.data.name}, the same images for every seed"
    else:
        images = f"{critters.images} training and {critters.val_images} validation images of {critters.size_px} px"
    return f"{images}; classifiers: {classifier.name}, weights '{classifier.weights}', batch {classifier.batch_size}"


def _make_notes(
    config: RunConfig,
    measured: Mapping[str, Sequence[Measured]],
    task: Task,
    seeds: Sequence[int],
    extent: Extent,
) -> list[str]:
    fixed, refinements = f"{fixed_threshold(config):g}", task.refinements
    of_images = "of the generated images and of the networks" if config.data.name == "critters" else "of the networks"
    notes = [
        f"{describe_spread(seeds)}; a seed is that {of_images}",
        describe_data(config),
        "updates are those of the classifier; mAP is on the validation split; seeds and masks were given the images' "
        "tags",
        "oracle: the background threshold that is best against the truth of the scored images, chosen for each seed; "
        "thr. is its mean",
    ]
    if extent.images is not None:
        notes.append(
            f"{extent.images} images of each split have seeds and masks, the same for every seed of the networks, all "
            "classes about equally often; classifiers, prototypes and RIB's partners are of all training images"
        )
    if "crf" in refinements and is_automatic(config):
        notes.append(
            "oracle after a refinement, and auto: among every second of the candidates of auto whose seeds take about "
            f"the usual area, and {fixed}; auto: its rule on the scored images; fixed: {fixed} for every method"
        )
    elif "crf" in refinements:
        tried = ", ".join(f"{threshold:g}" for threshold in task.thresholds)
        notes.append(f"CRF: oracle among the thresholds {tried}; fixed at {fixed} for every method")
    notes += _note_networks(config, task, extent)
    if CLASS_AGNOSTIC in refinements:
        masks = "superpixels, which stand in for a large model's masks" if extent.stands_in else "the recipe's masks"
        at = "its best threshold" if is_automatic(config) and "crf" in refinements else fixed
        notes.append(f"{CLASS_AGNOSTIC}: the masks of {config.refine.merge.on} at {at} with the outlines of {masks}")
    if any(name.endswith(AVERAGED) for name in measured):
        temperature = config.localize.similarity_temperature
        notes.append(f"averaged: maps averaged over places that look alike, temperature {temperature}")
    if "rib" in measured:
        notes.append("RIB adapts CAM's classifier to every image; these updates are not counted")
    if "cda" in measured:
        of_these = "" if extent.images is None else f", of these {extent.images} images alone"
        notes.append(
            f"CDA's objects are cut out by the masks of CAM and CRF at {fixed}, which it needs first{of_these}"
        )
    return notes


def _tell_labels(config: RunConfig) -> str:
    irn = config.refine.irn
    if isinstance(irn.foreground, str) or isinstance(irn.background, str):
        return "its confident labels follow where the CRF would cut the seeds"
    return f"its confident labels are above {irn.foreground:g} and below {irn.background:g} for every method"


def _note_networks(config: RunConfig, task: Task, extent: Extent) -> list[str]:
    notes = []
    irn = config.refine.irn
    if "psa" in task.refinements:
        follows = AUTO in (config.refine.psa.low_alpha, config.refine.psa.walk_alpha)
        powers = "follow where the CRF would cut its seeds" if follows else "are the recipe's for every method"
        notes.append(f"PSA has no threshold; its powers of the background {powers}")
    if "irn" in task.refinements:
        notes.append(
            f"IRN: oracle after the walk, fixed at {fixed_threshold(config):g}; {_tell_labels(config)}; IRNet stands "
            f"on {irn.name}"
        )
    if extent.images is not None and {"psa", "irn"} & set(task.refinements):
        notes.append(f"networks of refinements learn from the seeds of these {extent.images} images alone")
    if task.learn_from is not None and any(trains(name) for name in task.refinements):
        labels = ", ".join(METHODS[name].label for name in task.learn_from)
        notes.append(f"networks of refinements were trained on seeds of {labels} only")
    return notes
