"""What the stage `localize` does to single images: their seeds, and the maps that CAM and RIB are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from weakseg.data.images import ShrunkImage
from weakseg.localize.method import find_localizer
from weakseg.ops.images import limit_side
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.comparison import save_trace, trace_files
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, ImageWork
from weakseg.pipeline.images import first_missing, whole_datasets
from weakseg.pipeline.joined_calls import JoinedCalls, join_passes
from weakseg.pipeline.localizers import (
    describe_stops,
    load_own_classifier,
    localizer_files,
    open_localizer,
    open_rib,
)
from weakseg.types import Sample


def seeds_job(context: Context) -> ImageJob:
    """Return what makes seeds by the recipe's method -> `seeds/`."""
    joined = joins_passes(context)
    can_share = find_localizer(context.config.localize.method).side_by_side
    return ImageJob(
        name="seeds",
        stage="localize",
        label="localizing",
        output=seed_file,
        open=open_seeds,
        side_by_side=joined or (can_share and context.device.type == "cpu"),
        threads=context.config.runtime.images_at_once if joined else None,
        prepare=make_localizer_files,
        note=note_stops,
    )


def seed_file(context: Context, sample_id: str) -> Path:
    """Name the seed of an image."""
    return context.folder.seed(sample_id)


def note_stops(stops: Counter[str]) -> str:
    """Say why adaptations have ended so far."""
    return describe_stops(stops)


def make_localizer_files(context: Context) -> None:
    """Make what the method keeps besides the seeds, such as prototypes, if it is not there."""
    if not all(path.exists() for path in localizer_files(context)):
        with open_localizer(context, load_own_classifier(context)):
            pass


def joins_passes(context: Context) -> bool:
    """Say whether the passes of several images through the classifier are joined: where a GPU would wait for more.

    Those of a method that adapts go through copies of the classifier, each of which has weights of its own.
    """
    is_wanted = context.device.type != "cpu" and context.config.runtime.images_at_once > 1
    method = find_localizer(context.config.localize.method)
    return is_wanted and method.side_by_side and method.needs_classifier and not method.adapts


@contextmanager
def open_seeds(context: Context) -> Iterator[ImageWork]:
    """Lend the recipe's localiser as what writes seeds."""
    places, classifier = _places(context), load_own_classifier(context)
    calls = JoinedCalls(most=context.config.runtime.images_at_once)
    with open_localizer(context, classifier) as localizer:
        if classifier is not None and joins_passes(context):  # after its files were made, one image after another
            calls = join_passes(classifier, most=context.config.runtime.images_at_once)

        def write(sample: Sample, image: ShrunkImage) -> str | None:
            with calls.taking_part():
                found = localizer(sample, image.pixels, places[sample.id])
            # Score maps live at the network's stride: only the size they are rebuilt at is the original image's.
            full_size = replace(found.maps, size_hw=image.size_hw)
            save_seed(context.folder.seed(sample.id), full_size, stopped_by=found.stopped_by)
            return found.stopped_by

        yield write


@contextmanager
def open_comparison(context: Context) -> Iterator[ImageWork]:
    """Lend RIB as what writes the maps that are compared."""
    places, classifier = _places(context), load_own_classifier(context)
    assert classifier is not None, "asked for by runs with a classifier"
    with open_rib(context, classifier) as localizer:

        def write(sample: Sample, image: ShrunkImage) -> None:
            seen = limit_side(image.pixels, context.config.data.max_side_px)
            save_trace(context, sample.id, localizer(sample, seen, places[sample.id]), image.size_hw)

        yield write


def trace_file(context: Context, sample_id: str) -> Path:
    """Name the first file of an image's comparison that is missing."""
    return first_missing(trace_files(context, sample_id))


COMPARISON = ImageJob(
    name="comparison",
    stage="localize",
    label="comparing CAM with RIB",
    output=trace_file,
    open=open_comparison,
    reading="whole",
    few=True,
)
"""What adapts images step by step -> `adaptations/`."""


def _places(context: Context) -> dict[str, int]:
    """Return the place of each image among all that could get seeds, which decides what is drawn for it."""
    return {sample.id: place for place, sample in enumerate(chain(*whole_datasets(context)))}
