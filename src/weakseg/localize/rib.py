"""RIB: adapt a classifier to one image, by which its maps spread from what tells a class apart to the whole object.

From Lee et al., "Reducing Information Bottleneck for Weakly Supervised Semantic Segmentation" (NeurIPS 2021).
`weakseg.localize.rib_loop` is the adaptation; `docs/rib.md` tells it step by step.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import COUNT, NOT_NEGATIVE, SHARE, setting
from weakseg.config.sections.training import AugmentConfig
from weakseg.lazy import open_names
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localized, Localizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weakseg.data.partners import PartnerSource
    from weakseg.localize.rib_loop import RIBResult as RIBResult
    from weakseg.localize.rib_loop import StopReason as StopReason
    from weakseg.localize.rib_loop import adapt as adapt
    from weakseg.models.classifier import Classifier
    from weakseg.types import Sample, ScoreMaps

__getattr__ = open_names(__name__, "weakseg.localize.rib_loop", ("RIBResult", "StopReason", "adapt"))

logger = logging.getLogger("weakseg")


@dataclass(frozen=True)
class RIBConfig:
    """Per-image adaptation; used when `localize.method` is `rib`. The defaults are the released settings for VOC.

    Args:
        iterations: Maps that are summed; between each two lies an update.
        learning_rate: Rate of the first update, 10 times as high in the 1x1 convolution (COCO 5e-6).
        weight_decay: L2 penalty, and momentum as well, as released.
        pooling: `gndrp` leaves the strongest positions out of the logits; `gap` does not.
        threshold: Share of a map's maximum from which on GNDRP leaves a position out (COCO 0.5).
        logit_stop: Adaptation ends once the image's own logits sum to more than this (COCO 1000); with the variant
            `paper` the margin of each logit.
        area_threshold: A position is covered where a normalised map exceeds this.
        area_ratio: Adaptation ends once this share of the image is covered (COCO 0.8).
        mirror: Adapt on the mirror image, too, as released. Without it an image takes about half the time; `logit_stop`
            then counts half as many logits.
        variant: `released` or `paper`: whose loss and stop rules.
        compat: `released` applies GNDRP to the first 20 classes only, as the released code does; `none` to all.
        partners: Class-disjoint random images per iteration (COCO 15).
        partner_draws: `fresh` crops for every iteration as released, or a `pooled` sequence of them, which is much
            faster to load.
        partner_augment: Random changes of a partner.
        autocast: Compute convolutions in bfloat16.
        channels_last: Lay images out channels-last.
        coarse_loss: Learn from maps of twice the stride, where the backbone has that (EfficientNet-Lite), which is
            cheaper. The maps that are summed keep theirs. False, as released, learns from those.
    """

    iterations: int = setting(10, COUNT)
    learning_rate: float = setting(8e-6, NOT_NEGATIVE)
    weight_decay: float = setting(1e-4, NOT_NEGATIVE)
    pooling: Literal["gndrp", "gap"] = "gndrp"
    threshold: float = setting(0.4, NOT_NEGATIVE)
    logit_stop: float = setting(600.0, NOT_NEGATIVE)
    area_threshold: float = setting(0.3, SHARE)
    area_ratio: float = setting(0.7, SHARE)
    mirror: bool = True
    variant: Literal["released", "paper"] = "released"
    compat: Literal["none", "released"] = "none"
    partners: int = setting(20, NOT_NEGATIVE)
    partner_draws: Literal["fresh", "pooled"] = "fresh"
    partner_augment: AugmentConfig = field(default_factory=AugmentConfig)
    autocast: bool = False
    channels_last: bool = False
    coarse_loss: bool = False


@contextmanager
def open_rib(context: LocalizeContext) -> Iterator[ImageLocalizer]:
    """Lend an adaptation to each image; its partners are loaded side by side."""
    from weakseg.data.partners import PartnerSource
    from weakseg.train.plan import make_augmentation

    rib, runtime = RIB.settings_in(context.section), context.runtime
    partners = PartnerSource(
        context.train,
        make_augmentation(rib.partner_augment),
        batch_size=rib.partners,
        iterations=rib.iterations,
        mode=rib.partner_draws,
        seed=runtime.seed,
        threads=max(1, runtime.workers),
    )
    with partners:
        yield _Adaptation(context, rib, partners)


class _Adaptation:
    """Adapts the classifier to each image; see `weakseg.localize.rib_loop.adapt`."""

    def __init__(self, context: LocalizeContext, settings: RIBConfig, partners: PartnerSource) -> None:
        self.context = context
        self.settings = settings
        self.partners = partners
        self.own = threading.local()
        self.loss_stride_px = _choose_loss_stride(context.classifier) if settings.coarse_loss else None

    def __call__(self, sample: Sample, image: NDArray[np.uint8], position: int, /) -> Localized:
        from weakseg.localize.rib_loop import adapt
        from weakseg.ops.pooling import RELEASED_CLASSES

        rib = self.settings
        if sample.keys and not self.partners.has_partners(sample.keys):
            logger.warning("%s: no image is free of all its classes; adapting on it alone", sample.id)
        trace: list[ScoreMaps] = []
        times_s: list[float] = []
        started_s = time.perf_counter()

        def keep(maps: ScoreMaps) -> None:
            trace.append(maps)
            times_s.append(time.perf_counter() - started_s)

        result = adapt(
            self._lend_classifier(),
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
            scales=self.context.section.scales,
            mirror=rib.mirror,
            variant=rib.variant,
            pooling=rib.pooling,
            first_classes=RELEASED_CLASSES if rib.compat == "released" else None,
            max_partners_at_once=self.context.runtime.max_partners_at_once,
            autocast=rib.autocast,
            channels_last=rib.channels_last,
            loss_stride_px=self.loss_stride_px,
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
        return Localized(result.maps, stopped_by, tuple(trace), tuple(times_s))

    def _lend_classifier(self) -> Classifier:
        """Return this thread's own copy of what learns; the trunk, which does not, is common to all copies."""
        if not hasattr(self.own, "classifier"):
            classifier = self.context.classifier
            common = {id(module): module for module in classifier.backbone.trunk_modules()}
            self.own.classifier = copy.deepcopy(classifier, common)
        copied: Classifier = self.own.classifier
        return copied


def _choose_loss_stride(classifier: Classifier) -> int | None:
    """Return twice the classifier's stride if its backbone has that; otherwise say that it has not."""
    stride_px = 2 * classifier.stride
    if stride_px in classifier.backbone.other_strides_px:
        return stride_px
    logger.warning(
        "localize.rib.coarse_loss has no effect, since the classifier's backbone has no stride %d; false says the same",
        stride_px,
    )
    return None


RIB = Localizer(
    name="rib",
    summary="the maps of a classifier that is adapted to each image, summed over its updates",
    settings=RIBConfig,
    source="Lee et al., NeurIPS 2021",
    licence="MIT",
    adapts=True,
    side_by_side=True,
    always_counted=True,
    open=open_rib,
)
