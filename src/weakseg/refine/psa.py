"""PSA: seeds and background walk along affinities that AffinityNet has learnt (Ahn and Kwak, CVPR 2018).

`weakseg.refine.psa_scores` makes the labels and does the walk; `docs/psa.md` tells the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import BILATERAL as BILATERAL_BOUNDS
from weakseg.config.bounds import COUNT, NOT_NEGATIVE, WEIGHTS, Range, path_setting, setting
from weakseg.config.bounds import GAUSSIAN as GAUSSIAN_BOUNDS
from weakseg.config.fits import as_number, require_both
from weakseg.config.sections.training import AugmentConfig, LevelledName, OptimConfig
from weakseg.errors import ConfigError
from weakseg.lazy import open_names
from weakseg.methods import Fit
from weakseg.ops.crf_settings import CRFSettings
from weakseg.refine.method import (
    ImageRefiner,
    RefineContext,
    Refined,
    Refiner,
    RefinerNetwork,
    SeededImage,
)
from weakseg.refine.sure import LARGEST_ALPHA, LEAST_ALPHA, balancing_alpha, sure_background, sure_foreground

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from weakseg.config.sections.refine import RefineConfig
    from weakseg.models.affinitynet import AffinityNet
    from weakseg.models.hf_backbone import HFBackbone
    from weakseg.refine.psa_scores import AffinityWalk as AffinityWalk
    from weakseg.refine.psa_scores import psa_labels as psa_labels
    from weakseg.refine.psa_scores import psa_mask as psa_mask
    from weakseg.refine.psa_scores import psa_scores as psa_scores
    from weakseg.refine.psa_scores import score_background as score_background
    from weakseg.refine.psa_scores import walked_scores as walked_scores
    from weakseg.train.lesson import Lesson
    from weakseg.train.loop import EpochRecord

__getattr__ = open_names(
    __name__,
    "weakseg.refine.psa_scores",
    ("AffinityWalk", "psa_labels", "psa_mask", "psa_scores", "score_background", "walked_scores"),
)


ALPHA = Range(LEAST_ALPHA, LARGEST_ALPHA)
"""Bounds of a power of the background."""


@dataclass(frozen=True)
class PSAConfig:
    """AffinityNet and its walk; used when `refine.method` is `psa`. The defaults are the paper's.

    Args:
        low_alpha: The background competes with the seeds at (1 - largest map)^alpha. What is foreground at this low
            power, after the CRF, is sure to be. With `auto` it follows the threshold at which the CRF would cut the
            run's own seeds, see docs/psa.md; so do the other two.
        high_alpha: What is background at this high power is sure to be, too.
        walk_alpha: The power in the walk.
        name: Backbone, one that shows features of three depths.
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

    low_alpha: float | Literal["auto"] = setting(4.0, ALPHA)
    high_alpha: float | Literal["auto"] = setting(24.0, ALPHA)
    walk_alpha: float | Literal["auto"] = setting(16.0, ALPHA)
    name: LevelledName | str = "resnet38"
    weights: str = path_setting("classifier", words=WEIGHTS)
    released: str | None = path_setting(None)
    freeze_trunk: bool = True
    fixed_norm: bool = True
    epochs: int = setting(8, COUNT)
    batch_size: int = setting(8, COUNT)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = setting(5, Range(2, 64))
    walk_beta: float = setting(8.0, Range(0.01))
    walk_doublings: int = setting(8, Range(0, 20))
    gaussian: tuple[float, float] = setting((3.0, 3.0), GAUSSIAN_BOUNDS)
    bilateral: tuple[float, float, float] = setting((80.0, 13.0, 10.0), BILATERAL_BOUNDS)
    crf_iterations: int = setting(10, NOT_NEGATIVE)
    final_crf: bool = False

    def crf(self) -> CRFSettings:
        """Return the settings of the CRF as the layer below takes them."""
        return CRFSettings(self.gaussian, self.bilateral, self.crf_iterations)


def check_settings(psa: PSAConfig) -> None:
    """Raise a `ConfigError` if no pixel could be unsure."""
    require_both("refine.psa", low_alpha=psa.low_alpha, high_alpha=psa.high_alpha)
    if isinstance(psa.low_alpha, str) or isinstance(psa.high_alpha, str):
        return
    if psa.low_alpha > psa.high_alpha:
        raise ConfigError(
            f"refine.psa.low_alpha: expected at most refine.psa.high_alpha, {psa.high_alpha:g}, got {psa.low_alpha:g}"
        )


def label_image(section: RefineConfig, item: SeededImage) -> NDArray[np.uint8]:
    """Make the sure labels of an image, (h, w) uint8."""
    from weakseg.refine.psa_scores import psa_labels

    psa = PSA.settings_in(section)
    return psa_labels(
        item.image,
        item.seed.full().numpy(),
        item.seed.keys,
        low_alpha=as_number(psa.low_alpha),
        high_alpha=as_number(psa.high_alpha),
        settings=psa.crf(),
    )


def build_network(
    name: str, *, settings: object, backbone: HFBackbone | None, generator: torch.Generator | None
) -> AffinityNet:
    """Build an AffinityNet with random weights."""
    from weakseg.models.affinitynet import build_affinitynet

    assert backbone is None, "RefinerNetwork.takes_hf is false"
    psa = settings if isinstance(settings, PSAConfig) else PSAConfig(freeze_trunk=True, fixed_norm=True)
    return build_affinitynet(name, freeze_trunk=psa.freeze_trunk, fixed_norm=psa.fixed_norm, generator=generator)


def fit_network(section: RefineConfig, network: nn.Module, lesson: Lesson) -> tuple[EpochRecord, ...]:
    """Train an AffinityNet by the recipe's settings."""
    from weakseg.models.affinitynet import AffinityNet
    from weakseg.train.affinity import train_affinity

    assert isinstance(network, AffinityNet)
    return train_affinity(network, lesson, radius=PSA.settings_in(section).radius)


def open_psa(context: RefineContext) -> ImageRefiner:
    """Return what lets a seed and the background walk along the affinities."""
    import torch

    from weakseg.ops.images import normalise
    from weakseg.refine.psa_scores import AffinityWalk, psa_scores
    from weakseg.refine.soft_labels import soften

    config, network = PSA.settings_in(context.section), context.network
    assert network is not None, "PSA trains a network"
    walk = AffinityWalk(as_number(config.walk_alpha), config.radius, config.walk_beta, config.walk_doublings)

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        with torch.no_grad():
            features = network(normalise(item.image)[None].to(context.device))[0]
        scores = psa_scores(
            item.seed.full(),
            item.seed.keys,
            features,
            walk=walk,
            image=item.image if config.final_crf else None,
            settings=config.crf(),
        )
        return Refined(soften(scores, item.seed.keys))

    return refine


def _low_alpha(threshold: float) -> float:
    return balancing_alpha(sure_foreground(threshold))


def _high_alpha(threshold: float) -> float:
    return balancing_alpha(sure_background(threshold))


PSA = Refiner(
    name="psa",
    summary="seeds and background walk along affinities that AffinityNet has learnt",
    settings=PSAConfig,
    source="Ahn and Kwak, CVPR 2018",
    licence="MIT",
    check=check_settings,
    always_counted=True,
    has_threshold=False,
    background="walk_alpha",
    fits=(
        Fit("low_alpha", _low_alpha),
        Fit("high_alpha", _high_alpha),
        Fit("walk_alpha", balancing_alpha, labels=False),
    ),
    remedies={"spread": "lower refine.psa.walk_doublings, or {raise}"},
    trains=RefinerNetwork(
        network="AffinityNet",
        asked_by="AffinityNet",
        shows="levels",
        cell_px=8,
        released={"resnet38": "resnet38_aff"},
        label=label_image,
        build=build_network,
        fit=fit_network,
    ),
    open=open_psa,
)
