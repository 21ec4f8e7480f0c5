"""Seconds of one image alone, through a localiser or a refiner: measured on a few images once more, and kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from weakseg.config.chosen import localizer_facts
from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.ops.images import limit_side
from weakseg.pipeline.context import Context
from weakseg.pipeline.localizers import open_localizer
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.refiner_networks import open_refiner
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.studies.methods.scores import scored_split
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

TIMED = 3
"""So many tagged images are timed; the median counts. The first one sets up much, so that it is done twice."""


def time_localizer(context: Context, *, split: str) -> float:
    """Return the seconds that one image takes to localise; a method that adapts to it is timed on one, once."""
    facts = localizer_facts(context.config.localize)
    adapts = facts is not None and facts.adapts

    def measure() -> float:
        dataset = scored_split(context, split)
        classifier, _ = load_classifier(context.folder.network("classifier").model, context.device)
        with open_localizer(context, classifier) as localizer:

            def work(sample: Sample) -> None:
                image = limit_side(dataset.load_image(sample), context.config.data.max_side_px)
                localizer(sample, image, 0)

            return _time(dataset, work, once=adapts)

    return _keep(context, "localize", measure)


def time_refiner(context: Context, *, split: str, thresholds: Sequence[float]) -> float:
    """Return the seconds that one image takes to refine, its seed loaded; what a network learns is not counted.

    Args:
        context: The run; a network that is needed is trained.
        split: `train` or `val`.
        thresholds: One background threshold; none for a refiner without.
    """

    def measure() -> float:
        dataset, refine = scored_split(context, split), open_refiner(context)

        def work(sample: Sample) -> None:
            refine(pair_with_seed(context, sample, dataset.load_image(sample)), thresholds)

        return _time(dataset, work)

    return _keep(context, "refine", measure)


def _time(dataset: Dataset, work: Callable[[Sample], None], *, once: bool = False) -> float:
    samples = [sample for sample in dataset if sample.keys][: 1 if once else TIMED]
    found = []
    for sample in samples if once else (*samples[:1], *samples):
        started_s = time.perf_counter()
        work(sample)
        found.append(time.perf_counter() - started_s)
    return statistics.median(found if once else found[1:])


def _keep(context: Context, stage: str, measure: Callable[[], float]) -> float:
    """Return the seconds that are there, or measure them on rank 0 and keep them."""
    path: Path = context.folder.root / f"time-{stage}.json"
    if rank() == 0 and not path.is_file():
        write_json(path, {"image_s": round(measure(), 4)})
    wait_for_all()
    try:
        return float(decode_json(path.read_text(encoding="utf-8"))["image_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}); delete it and start the study again") from None
