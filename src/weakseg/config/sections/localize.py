"""Settings of the stage `localize`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weakseg.config.sections.training import AugmentConfig

SplitName = Literal["train", "val"]


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
    """

    iterations: int = 10
    learning_rate: float = 8e-6
    weight_decay: float = 1e-4
    pooling: Literal["gndrp", "gap"] = "gndrp"
    threshold: float = 0.4
    logit_stop: float = 600.0
    area_threshold: float = 0.3
    area_ratio: float = 0.7
    mirror: bool = True
    variant: Literal["released", "paper"] = "released"
    compat: Literal["none", "released"] = "none"
    partners: int = 20
    partner_draws: Literal["fresh", "pooled"] = "fresh"
    partner_augment: AugmentConfig = field(default_factory=AugmentConfig)
    autocast: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class LPCAMConfig:
    """Prototypes of every class, from the run's own classifier; used when `localize.method` is `lpcam`.

    Args:
        clusters: Centres that the features of a class, and those of its context, are clustered into (COCO 20).
        threshold: A position shows the class where its normalised map exceeds this, and is its context below (COCO
            0.25).
        class_score: Centres of the class that score above this are kept.
        context_scores: Centres of the context that score between these are kept (COCO 0, 0.5).
    """

    clusters: int = 12
    threshold: float = 0.1
    class_score: float = 0.9
    context_scores: tuple[float, float] = (0.05, 0.9)


@dataclass(frozen=True)
class LocalizeConfig:
    """Stage `localize`: score maps of every image's own tags.

    Args:
        method: `cam`: class activation maps over scales and flips; `rib`: the same from a classifier that is adapted
            to each image; `lpcam`: how much more a place resembles prototypes of the class than those of its context.
        scales: Factors the image is resized by (bicubic) before the network sees it.
        splits: Which splits get seeds. Seeds use the images' tags, on `val` too.
        compared_images: So many tagged images, evenly spaced over the last of the splits, show in the report what an
            adaptation makes of CAM, update by update. With method `cam` they are adapted for this alone.
        similarity_temperature: Maps are averaged over the places that look alike in the trunk's features: cosines are
            divided by this before a softmax, and the maps' minimum is taken off. Nothing of this if null.
        rib: Settings of the adaptation.
        lpcam: Settings of the prototypes.
    """

    method: Literal["cam", "rib", "lpcam"] = "cam"
    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    splits: tuple[SplitName, ...] = ("train",)
    compared_images: int = 0
    similarity_temperature: float | None = None
    rib: RIBConfig = field(default_factory=RIBConfig)
    lpcam: LPCAMConfig = field(default_factory=LPCAMConfig)
