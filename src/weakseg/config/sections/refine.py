"""Settings of the stage `refine`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weakseg.config.sections.training import AugmentConfig, BackboneName, OptimConfig


@dataclass(frozen=True)
class CRFConfig:
    """The fully connected CRF that moves label borders onto the image's; the defaults are IRN's released settings.

    Args:
        gaussian: Standard deviation in pixels and weight of the kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of the kernel on both.
        certainty: Probability of the label that the seed gives; the other labels share the rest.
        iterations: Updates of the mean field.
    """

    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (50.0, 5.0, 10.0)
    certainty: float = 0.7
    iterations: int = 10


@dataclass(frozen=True)
class IRNConfig:
    """IRNet and the random walk; used when `refine.method` is `irn`. The defaults are the released settings for VOC.

    Args:
        foreground: Seeds above this, after the CRF, are confident foreground (RIB 0.35).
        background: Seeds below this, after the CRF, are confident background (RIB 0.17).
        name: Backbone, or `hf:` and a backbone of `transformers`, as for the classifier.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier. It stays fixed.
        released: A released checkpoint of IRN's or RIB's IRNet that takes the place of the training: no confident
            labels are made, and the settings of the training are without effect. Null trains an IRNet.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; confident labels follow.
        optim: Optimiser and schedule; the head is the displacement branch.
        radius: Pairs of pixels in the losses are closer than this many cells of 4 pixels.
        pad_px: Images are zero-padded to this side before edges are inferred, as released for VOC; null for none, as
            for COCO.
        walk_radius: Steps of the random walk are shorter than this many cells.
        walk_beta: Power of the affinities.
        walk_doublings: The walk has 2^this many steps.
        seed_power: Power of the seeds before the walk (RIB 1.3).
        instances: Also find instances, and score them where the data set has true ones.
        instance_threshold: Pixels whose instances all score at most this are background.
    """

    foreground: float = 0.3
    background: float = 0.05
    name: BackboneName | str = "resnet50"
    weights: str = "imagenet"
    released: str | None = None
    epochs: int = 3
    batch_size: int = 32
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = 10
    pad_px: int | None = 512
    walk_radius: int = 5
    walk_beta: float = 10.0
    walk_doublings: int = 8
    seed_power: float = 1.0
    instances: bool = False
    instance_threshold: float = 0.25


@dataclass(frozen=True)
class PSAConfig:
    """AffinityNet and its walk; used when `refine.method` is `psa`. The defaults are the paper's.

    Args:
        low_alpha: The background competes with the seeds at (1 - largest map)^alpha. What is foreground at this low
            power, after the CRF, is sure to be.
        high_alpha: What is background at this high power is sure to be, too.
        walk_alpha: The power in the walk.
        name: Backbone.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier. It learns, too.
        released: A released checkpoint of PSA's or SEAM's AffinityNet that takes the place of the training: no sure
            labels are made, and the settings of the training are without effect. Null trains an AffinityNet.
        freeze_trunk: Train only the layers above the backbone's trunk.
        fixed_norm: Keep batch norm on its running statistics while training.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; sure labels follow.
        optim: Optimiser and schedule; the head are the 1x1 convolutions.
        radius: Pairs of pixels, in losses and walk, are closer than this many cells of 8 pixels.
        walk_beta: Power of the affinities.
        walk_doublings: The walk has 2^this many steps.
        gaussian: Standard deviation in pixels and weight of the CRF's kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of its kernel on both.
        crf_iterations: Updates of its mean field.
        final_crf: Whether the walked scores go through the CRF as well.
    """

    low_alpha: float = 4.0
    high_alpha: float = 24.0
    walk_alpha: float = 16.0
    name: Literal["critter38", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "resnet38"] = (
        "resnet38"
    )
    weights: str = "classifier"
    released: str | None = None
    freeze_trunk: bool = True
    fixed_norm: bool = True
    epochs: int = 8
    batch_size: int = 8
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = 5
    walk_beta: float = 8.0
    walk_doublings: int = 8
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)
    crf_iterations: int = 10
    final_crf: bool = False


@dataclass(frozen=True)
class SaliencyConfig:
    """Maps of what stands out in an image, whatever its class, that correct the masks of every method.

    Args:
        folder: Holds `<id>.png` per image, 8-bit grey of any size, of the upright image; null for no saliency. Images
            without a map keep the mask as it is.
        threshold: Salient is what lies above this share of 255, 0..1.
        outside: Pixels that the mask gives to a class although they are not salient: `ignore` (255) or `background`.
    """

    folder: str | None = None
    threshold: float = 0.5
    outside: Literal["ignore", "background"] = "ignore"


@dataclass(frozen=True)
class RefineConfig:
    """Stage `refine`: from seeds to pseudo masks.

    Args:
        method: `none`: background where every map is at most the threshold, else the class with the largest map;
            `crf`: the same, then borders moved by the CRF; `irn`: seeds spread by a random walk up to the edges that
            IRNet has learnt from confident labels, then the same; `psa`: seeds and background walk along affinities
            that AffinityNet has learnt.
        background_threshold: That threshold, 0..1. IRN 0.25; with RIB's seeds 0.27 (COCO 0.22). `psa` has none. With
            `auto` it is chosen on training images without their masks, see docs/threshold.md.
        crf: Settings of the CRF, for `crf` and for the confident labels of `irn`.
        irn: Settings of IRNet and the walk.
        psa: Settings of AffinityNet and the walk.
        saliency: Saliency maps that correct the masks.
        confidence: Also write how sure every pixel's label is, 255 for sure -> `confidence/<id>.png`.
        stable_within: Pixels of training images whose label changes when the background threshold is so many times
            lower, or so many times higher, get confidence 0; [1, 1] for none. Needs `confidence`. `psa` has no
            threshold: nothing changes.
    """

    method: Literal["none", "crf", "irn", "psa"] = "none"
    background_threshold: float | Literal["auto"] = 0.15
    crf: CRFConfig = field(default_factory=CRFConfig)
    irn: IRNConfig = field(default_factory=IRNConfig)
    psa: PSAConfig = field(default_factory=PSAConfig)
    saliency: SaliencyConfig = field(default_factory=SaliencyConfig)
    confidence: bool = False
    stable_within: tuple[float, float] = (1.0, 1.0)

    @property
    def network(self) -> IRNConfig | PSAConfig | None:
        """Settings of the network that the method learns with; None for a method without one."""
        learning: dict[str, IRNConfig | PSAConfig] = {"irn": self.irn, "psa": self.psa}
        return learning.get(self.method)
