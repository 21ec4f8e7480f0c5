"""The localisation methods by name, each as one call per image: unpacks the recipe's section for the layer below."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.config.schema import LocalizeConfig
from weakseg.data.partners import PartnerSource
from weakseg.localize.cam import score_maps, smooth_maps, trunk_features
from weakseg.localize.rib import adapt
from weakseg.localize.seam import refined_score_maps
from weakseg.models.classifier import Classifier
from weakseg.models.seam import SEAM
from weakseg.ops.pooling import RELEASED_CLASSES
from weakseg.pipeline.artifacts import load_stop_reason
from weakseg.pipeline.localized import Localized, Localizer
from weakseg.pipeline.lpcam import open_lpcam
from weakseg.pipeline.networks import make_augmentation
from weakseg.pipeline.runner import Context
from weakseg.types import Sample, ScoreMaps

logger = logging.getLogger("weakseg")


@contextmanager
def open_localizer(context: Context, classifier: Classifier) -> Iterator[Localizer]:
    """Open the recipe's localisation method for a block of calls."""
    config = context.config.localize
    if config.method == "cam":
        # The released SEAM makes its seeds from the refined maps.
        if isinstance(classifier, SEAM):
            scores = partial(refined_score_maps, classifier)
        else:
            scores = partial(score_maps, classifier, similarity_temperature=config.similarity_temperature)
        yield lambda sample, image, position: Localized(scores(image, sample.tags, scales=config.scales))
    elif config.method == "lpcam":
        with open_lpcam(context, classifier) as localizer:
            yield localizer
    else:
        with open_rib(context, classifier) as localizer:
            yield localizer


@contextmanager
def open_rib(context: Context, classifier: Classifier) -> Iterator[Localizer]:
    """Open RIB for a block of calls, whichever method the recipe has."""
    config = context.config.localize
    with _open_partners(context, config) as partners:
        yield _RIBLocalizer(config, classifier, partners, context.config.runtime.max_partners_at_once)


def count_stops(seeds: Iterable[Path]) -> Counter[str]:
    """Count why the adaptations behind seed files have ended."""
    return Counter(reason for path in seeds if (reason := load_stop_reason(path)) is not None)


def describe_stops(reasons: Counter[str]) -> str:
    """Say which share of the adaptations each rule has ended; empty without any."""
    total = sum(reasons.values())
    shares = ", ".join(f"{reason} {100 * count / total:.0f} %" for reason, count in reasons.most_common())
    return f"; adaptations ended: {shares}" if total else ""


def _open_partners(context: Context, config: LocalizeConfig) -> PartnerSource:
    rib, runtime = config.rib, context.config.runtime
    return PartnerSource(
        context.train,
        make_augmentation(rib.partner_augment),
        batch_size=rib.partners,
        iterations=rib.iterations,
        mode=rib.partner_draws,
        seed=runtime.seed,
        threads=max(1, runtime.workers),
    )


class _RIBLocalizer:
    """Adapts the classifier to each image; see `weakseg.localize.rib.adapt`."""

    def __init__(
        self,
        config: LocalizeConfig,
        classifier: Classifier,
        partners: PartnerSource,
        max_partners_at_once: int | None,
    ) -> None:
        self.config = config
        self.classifier = classifier
        self.partners = partners
        self.max_partners_at_once = max_partners_at_once

    def __call__(self, sample: Sample, image: NDArray[np.uint8], position: int, /) -> Localized:
        rib = self.config.rib
        if sample.keys and not self.partners.has_partners(sample.keys):
            logger.warning("%s: no image is free of all its classes; adapting on it alone", sample.id)
        trace: list[ScoreMaps] = []
        times_s: list[float] = []
        started_s = time.perf_counter()

        def keep(maps: ScoreMaps) -> None:
            trace.append(maps)
            times_s.append(time.perf_counter() - started_s)

        result = adapt(
            self.classifier,
            image,
            sample.tags,
            self.partners.draw(position, sample.keys),
            iterations=rib.iterations,
            lr=rib.learning_rate,
            weight_decay=rib.weight_decay,
            threshold=rib.threshold,
            logit_stop=rib.logit_stop,
            area_threshold=rib.area_threshold,
            area_ratio=rib.area_ratio,
            scales=self.config.scales,
            mirror=rib.mirror,
            variant=rib.variant,
            pooling=rib.pooling,
            first_classes=RELEASED_CLASSES if rib.compat == "released" else None,
            max_partners_at_once=self.max_partners_at_once,
            autocast=rib.autocast,
            channels_last=rib.channels_last,
            after_iteration=keep,
        )
        if result.stopped_by == "diverged":
            logger.warning(
                "%s: diverged after %d of %d iterations; its seed holds those before. A lower "
                "localize.rib.learning_rate (now %g) avoids it",
                sample.id,
                result.iterations,
                rib.iterations,
                rib.learning_rate,
            )
        stopped_by = result.stopped_by if sample.keys else None
        maps, *states = self._smooth(image, [result.maps, *trace])
        return Localized(maps, stopped_by, tuple(states), tuple(times_s))

    def _smooth(self, image: NDArray[np.uint8], states: list[ScoreMaps]) -> list[ScoreMaps]:
        """Average maps over similar places, as the recipe says; the trunk, which is compared, is never adapted."""
        temperature = self.config.similarity_temperature
        if temperature is None or not states[0].keys:
            return states
        seen = trunk_features(self.classifier, image, self.config.scales)
        return [
            replace(
                maps, scales=tuple(smooth_maps(own, at, temperature) for own, at in zip(maps.scales, seen, strict=True))
            )
            for maps in states
        ]
