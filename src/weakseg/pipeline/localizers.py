"""The localisers of a run, each as one call per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.config.chosen import localizer_facts
from weakseg.data.whole_images import iterate_shrunk
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localizer, find_localizer
from weakseg.localize.method import Localized as Localized
from weakseg.localize.rib import RIB
from weakseg.localize.rib import open_rib as watched_rib
from weakseg.localize.score_maps import smooth_score_maps
from weakseg.methods import Settings
from weakseg.models.classifier import Classifier
from weakseg.pipeline.artifacts import load_stop_reason
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import is_large
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.records import RESULT, read_records
from weakseg.pipeline.side_by_side import run_side_by_side
from weakseg.pipeline.telling import show_progress
from weakseg.train.distributed import rank, world_size
from weakseg.types import Sample

Result = TypeVar("Result")


def why_no_classifier(context: Context) -> str:
    """Say why a run has no classifier: its localiser needs none. An empty text where it has one.

    A localiser whose package is gone counts as it did when it made the seeds.
    """
    config = context.config.localize
    facts = localizer_facts(config)
    if facts is None:
        own = read_records(context.folder).get("localize")
        needed = own is None or f"{RESULT}classify" in own.parts
    else:
        needed = facts.needs_classifier
    return "" if needed else f"localize.method '{config.method}' works without a classifier"


def load_own_classifier(context: Context) -> Classifier | None:
    """Load the run's classifier; None for a run that needs none.

    Raises:
        ArtifactError: If its file is missing, damaged or no classifier.
    """
    if why_no_classifier(context):
        return None
    return load_classifier(context.folder.network("classifier").model, context.device)[0]


@contextmanager
def open_localizer(context: Context, classifier: Classifier | None) -> Iterator[ImageLocalizer]:
    """Open the recipe's localisation method for a block of calls.

    Raises:
        ConfigError: If there is none of that name, or its package cannot be imported.
    """
    with _open(find_localizer(context.config.localize.method), context, classifier) as localizer:
        yield localizer


@contextmanager
def open_rib(
    context: Context, classifier: Classifier, *, look: Callable[[Classifier], None] | None = None
) -> Iterator[ImageLocalizer]:
    """Open RIB for a block of calls, whichever method the recipe has; `look` as in `weakseg.localize.rib.open_rib`."""
    method = RIB if look is None else replace(RIB, open=partial(watched_rib, look=look))
    with _open(method, context, classifier) as localizer:
        yield localizer


@contextmanager
def _open(method: Localizer[Settings], context: Context, classifier: Classifier | None) -> Iterator[ImageLocalizer]:
    """Open a method, and smooth its maps where it does not do so itself."""
    section = context.config.localize
    temperature = section.similarity_temperature
    with method.open(_describe(context, classifier)) as localizer:
        if temperature is None or method.smooths or classifier is None:
            yield localizer
            return

        def localize(sample: Sample, image: NDArray[np.uint8], position: int, /) -> Localized:
            found = localizer(sample, image, position)
            maps, *trace = smooth_score_maps(
                classifier,
                image,
                [found.maps, *found.trace],
                scales=section.scales,
                similarity_temperature=temperature,
            )
            return Localized(maps, found.stopped_by, tuple(trace), found.trace_times_s)

        yield localize


def localizer_files(context: Context) -> list[Path]:
    """Name the files that the recipe's method keeps besides the seeds; none of a method whose package is gone."""
    facts = localizer_facts(context.config.localize)
    return [] if facts is None else [context.folder.localizer / name for name in facts.files]


def count_stops(seeds: Iterable[Path]) -> Counter[str]:
    """Count why the adaptations behind seed files have ended."""
    return Counter(reason for path in seeds if (reason := load_stop_reason(path)) is not None)


def describe_stops(reasons: Counter[str]) -> str:
    """Say which share of the adaptations each rule has ended; empty without any."""
    total = sum(reasons.values())
    shares = ", ".join(f"{reason} {100 * count / total:.0f} %" for reason, count in reasons.most_common())
    return f"; adaptations ended: {shares}" if total else ""


def _describe(context: Context, classifier: Classifier | None) -> LocalizeContext:
    def look_through(work: Callable[[Sample, NDArray[np.uint8]], Result], /, *, label: str) -> Iterator[Result]:
        samples = [sample for sample in context.train.samples[rank() :: world_size()] if sample.keys]
        images = iterate_shrunk(
            context.train,
            samples,
            max_side_px=context.config.data.max_side_px,
            workers=context.config.runtime.workers,
        )
        threads = torch.get_num_threads() if context.device.type == "cpu" else 1
        with show_progress(label) as tick:
            parts = run_side_by_side(
                lambda item: work(item[0], item[1].pixels), images, threads=threads, is_large=is_large
            )
            for done, part in enumerate(parts):
                yield part
                tick(done + 1, len(samples))

    config = context.config
    return LocalizeContext(
        classifier,
        config.localize,
        context.train,
        config.runtime,
        context.folder.localizer,
        look_through,
        context.device,
    )
