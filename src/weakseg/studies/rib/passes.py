"""Localising the images of a study of RIB under one configuration, and keeping what came out, image by image.

A pass writes score maps as seed files (`weakseg.pipeline.artifacts.load_seed`) to `<pass>/<iterations>/<id>.npz` and,
last, `<pass>/<id>.json` with how it went: an image whose record exists is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.file_names import safe_path
from weakseg.files import write_json
from weakseg.localize.method import Localized
from weakseg.models.classifier import Classifier
from weakseg.ops.images import limit_side
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import iterate_pending
from weakseg.pipeline.localizers import open_localizer
from weakseg.types import ScoreMaps


@dataclass(frozen=True)
class Adapted:
    """How one image went.

    Args:
        iterations: Iterations whose maps are in the sum; 0 without an adaptation, or if it diverged at once.
        stopped_by: Why the adaptation ended; None without one.
        time_s: Seconds it took, decoding of the image itself not counted.
        trace_times_s: Seconds until the maps of each iteration were there.
    """

    iterations: int
    stopped_by: str | None
    time_s: float
    trace_times_s: tuple[float, ...]


@dataclass(frozen=True)
class Pass:
    """One configuration and its files.

    Args:
        folder: Where the files are.
        config: The configuration; only its section `localize` matters here.
        keeps_steps: Whether the maps after every iteration are kept, or those of the last one alone.
    """

    folder: Path
    config: RunConfig
    keeps_steps: bool = False

    def record(self, sample_id: str) -> Path:
        """How one image went, JSON."""
        return self.folder / f"{safe_path(sample_id)}.json"

    def seed(self, iterations: int, sample_id: str) -> Path:
        """Score maps of one image after so many iterations; kept are those of the last one or of every one."""
        return self.folder / str(iterations) / f"{safe_path(sample_id)}.npz"

    def load(self, sample_id: str) -> Adapted:
        """Read how one image went.

        Raises:
            ArtifactError: If the record is missing or damaged.
        """
        path = self.record(sample_id)
        try:
            entry = decode_json(path.read_text(encoding="utf-8"))
            return Adapted(**{**entry, "trace_times_s": tuple(entry["trace_times_s"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path} is missing or damaged ({error}); delete it and start the study again"
            ) from None


def run_pass(
    context: Context, classifier: Classifier, dataset: Dataset, chosen: Dataset, one: Pass, *, label: str
) -> None:
    """Localise the chosen images that have no record yet, shared out over the processes.

    Args:
        context: The run.
        classifier: Its classifier.
        dataset: The split. An image's place in it decides which partners it gets, so that all passes draw the same
            ones, and other choices of images too.
        chosen: The images.
        one: Configuration and files.
        label: What the progress says.
    """
    places = {sample.id: place for place, sample in enumerate(dataset)}
    context = replace(context, config=one.config)
    with open_localizer(context, classifier) as localizer:
        for sample, image in iterate_pending(context, [chosen], one.record, label=label):
            seen = limit_side(image, context.config.data.max_side_px)
            started_s = time.perf_counter()
            found = localizer(sample, seen, places[sample.id])
            time_s = time.perf_counter() - started_s
            for iterations, maps in _kept_maps(found, keeps_steps=one.keeps_steps):
                save_seed(one.seed(iterations, sample.id), replace(maps, size_hw=(image.shape[0], image.shape[1])))
            adapted = Adapted(len(found.trace), found.stopped_by, time_s, found.trace_times_s)
            write_json(one.record(sample.id), asdict(adapted))


def _kept_maps(found: Localized, *, keeps_steps: bool) -> Iterator[tuple[int, ScoreMaps]]:
    """Yield the maps that are kept, each with the number of iterations it has seen."""
    states = found.trace if keeps_steps and found.trace else (found.maps,)
    yield from enumerate(states, start=len(found.trace) - len(states) + 1)
