"""The table of a study of context: one row per strength of the context, CAM, CDA and what CDA gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weakseg.config.schema import RunConfig
from weakseg.pipeline.threshold import require_number
from weakseg.studies.methods.rows import METHODS
from weakseg.studies.methods.table import count_images, describe_data
from weakseg.studies.spread import Measure, Measured, describe_spread
from weakseg.studies.table import Column, Table

METHOD_NAMES = ("cam", "cda")
"""Whom the study compares."""

SUBJECTS = {
    "map": "mAP",
    "map_free": "mAP, free",
    "seeds": "seeds, oracle",
    "crf": "CRF, oracle",
    "crf_fixed": "CRF, fixed",
}
"""What is measured of each, and how the table calls it."""


def make_table(
    config: RunConfig,
    measured: Mapping[float, Sequence[Measured]],
    seeds: Sequence[int],
    thresholds: Sequence[float],
    *,
    split: str,
) -> Table:
    """Summarise what was measured.

    Args:
        config: The recipe of the study.
        measured: By chance of the preferred context and, in the order of `seeds`, by seed.
        seeds: The seeds.
        thresholds: Background thresholds that the CRF was tried at.
        split: The images that were scored.
    """
    measures = [measure for subject in SUBJECTS for measure in _subject_measures(subject)]
    tried = ", ".join(f"{threshold:g}" for threshold in thresholds)
    count = count_images([one for found in measured.values() for one in found])
    return Table(
        title=f"context: CAM and CDA; mean IoU (%) on {config.data.name} {split}, {count} images, tags given",
        columns=(
            Column("p_context", "p_context"),
            *(column for measure in measures for column in measure.columns(seeds)),
        ),
        rows=tuple(
            (f"{chance:.12g}", *(cell for measure in measures for cell in measure.cells(found)))
            for chance, found in measured.items()
        ),
        notes=(
            f"{describe_spread(seeds)}; a seed is that of the generated images and of the networks",
            describe_data(config),
            "p_context is the chance that an image's context is the one its first animal prefers; gain is CDA - CAM, "
            "in points, seed by seed",
            "mAP is on the validation split; free: on the same split drawn anew in contexts of mere chance",
            "oracle: the threshold that is best against the truth of the scored images, for each seed; of the CRF "
            f"among {tried}; fixed: {require_number(config.refine):g} for both",
            "CDA's objects are cut out by CAM's masks of CRF, fixed, of the same images; it has half the epochs, with "
            "twice the steps",
        ),
    )


def _subject_measures(subject: str) -> tuple[Measure, ...]:
    label = SUBJECTS[subject]
    own = (
        Measure(Column(f"{name}_{subject}", f"{METHODS[name].label} {label}", percent=True)) for name in METHOD_NAMES
    )
    return (*own, Measure(Column(f"gain_{subject}", f"gain {label}", percent=True)))
