"""The table of a study of methods: one row per method, means and spreads over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weakseg.config.schema import RunConfig
from weakseg.pipeline.threshold import require_number
from weakseg.studies.methods.runs import METHODS
from weakseg.studies.spread import Measure, Measured, describe_spread
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

TIMES = ("classify", "localize")
"""Stages whose seconds are reported, besides the refinements."""


def make_table(
    config: RunConfig,
    measured: Mapping[str, Sequence[Measured]],
    refinements: Sequence[str],
    seeds: Sequence[int],
    thresholds: Sequence[float],
    *,
    split: str,
) -> Table:
    """Summarise what was measured.

    Args:
        config: The recipe of the study.
        measured: By method and, in the order of `seeds`, by seed.
        refinements: Which masks were made.
        seeds: The seeds.
        thresholds: Background thresholds that the CRF was tried at.
        split: The images that were scored.
    """
    measures = [
        *CLASSIFIER,
        *(measure for name in refinements for measure in MASKS.get(name, (_score_of(name),))),
        *(
            Measure(Column(f"{stage}_s", f"{stage} s", digits=0, is_time=True), has_spread=False)
            for stage in (*TIMES, *refinements)
        ),
    ]
    count = count_images([one for found in measured.values() for one in found])
    return Table(
        title=f"methods: mean IoU (%) of seeds and masks on {config.data.name} {split}, {count} images, tags given",
        columns=(Column("method", "method"), *(column for measure in measures for column in measure.columns(seeds))),
        rows=tuple(
            (METHODS[name].label, *(cell for measure in measures for cell in measure.cells(found)))
            for name, found in measured.items()
        ),
        notes=_make_notes(config, measured, refinements, seeds, thresholds),
    )


def _score_of(name: str) -> Measure:
    return Measure(Column(name, name.upper(), percent=True))


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
    refinements: Sequence[str],
    seeds: Sequence[int],
    thresholds: Sequence[float],
) -> tuple[str, ...]:
    fixed = f"{require_number(config.refine):g}"
    notes = [
        f"{describe_spread(seeds)}; a seed is that of the generated images and of the networks",
        describe_data(config),
        "updates are those of the classifier; mAP is on the validation split; seeds and masks were given the images' "
        "tags",
        "oracle: the background threshold that is best against the truth of the scored images, chosen for each seed; "
        "thr. is its mean",
    ]
    if "crf" in refinements:
        tried = ", ".join(f"{threshold:g}" for threshold in thresholds)
        notes.append(f"CRF: oracle among the thresholds {tried}; fixed at {fixed} for every method")
    if "psa" in refinements:
        notes.append("PSA has no threshold; its powers of the background are the recipe's for every method")
    if "irn" in refinements:
        irn = config.refine.irn
        notes.append(
            f"IRN: oracle after the walk, fixed at {fixed}; its confident labels are above {irn.foreground:g} and "
            f"below {irn.background:g} for every method; IRNet stands on {irn.name}"
        )
    if "rib" in measured:
        notes.append("RIB adapts CAM's classifier to every image; these updates are not counted")
    if "cda" in measured:
        notes.append(f"CDA's objects are cut out by the masks of CAM and CRF at {fixed}, which it needs first")
    return tuple(notes)
