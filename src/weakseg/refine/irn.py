"""IRN: seeds walk at random up to edges that IRNet has learnt from confident labels (Ahn et al., CVPR 2019).

`weakseg.models.irnet` finds the edges, `weakseg.refine.irn_walk` does the walk; `docs/irn.md` tells the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import COUNT, SHARE, SIDE_PX, WEIGHTS, Range, path_setting, setting
from weakseg.config.fits import as_number, require_both
from weakseg.config.sections.training import AugmentConfig, BackboneName, OptimConfig
from weakseg.errors import ConfigError
from weakseg.lazy import open_names
from weakseg.methods import Fit
from weakseg.refine.crf import CRF
from weakseg.refine.method import (
    ImageRefiner,
    RefineContext,
    Refined,
    Refiner,
    RefinerNetwork,
    SeededImage,
    cut_refined,
)
from weakseg.refine.sure import sure_background, sure_foreground

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from weakseg.config.sections.refine import RefineConfig
    from weakseg.models.hf_backbone import HFBackbone
    from weakseg.models.irnet import IRNet
    from weakseg.refine.irn_walk import irn_mask as irn_mask
    from weakseg.refine.irn_walk import walked_maps as walked_maps
    from weakseg.train.lesson import Lesson
    from weakseg.train.loop import EpochRecord

__getattr__ = open_names(__name__, "weakseg.refine.irn_walk", ("irn_mask", "walked_maps"))


@dataclass(frozen=True)
class IRNConfig:
    """IRNet and the random walk; used when `refine.method` is `irn`. The defaults are the released settings for VOC.

    Args:
        foreground: Seeds above this, after the CRF, are confident foreground (RIB 0.35). With `auto` both follow the
            threshold at which the CRF would cut the run's own seeds, see docs/irn.md.
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

    foreground: float | Literal["auto"] = setting(0.3, SHARE)
    background: float | Literal["auto"] = setting(0.05, SHARE)
    name: BackboneName | str = "resnet50"
    weights: str = path_setting("imagenet", words=WEIGHTS)
    released: str | None = path_setting(None)
    epochs: int = setting(3, COUNT)
    batch_size: int = setting(32, COUNT)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = setting(10, Range(2, 64))
    pad_px: int | None = setting(512, SIDE_PX)
    walk_radius: int = setting(5, Range(2, 64))
    walk_beta: float = setting(10.0, Range(0.01))
    walk_doublings: int = setting(8, Range(0, 20))
    seed_power: float = setting(1.0, Range(0.01, 100))
    instances: bool = False
    instance_threshold: float = setting(0.25, SHARE)


def check_settings(irn: IRNConfig) -> None:
    """Raise a `ConfigError` if no pixel could be unsure."""
    require_both("refine.irn", foreground=irn.foreground, background=irn.background)
    if isinstance(irn.background, str) or isinstance(irn.foreground, str):
        return
    if irn.background > irn.foreground:
        raise ConfigError(
            f"refine.irn.background: expected at most refine.irn.foreground, {irn.foreground:g}, got {irn.background:g}"
        )


def label_image(section: RefineConfig, item: SeededImage) -> NDArray[np.uint8]:
    """Make the confident labels of an image, (h, w) uint8; the CRF is that of `refine.crf`."""
    from weakseg.refine.confidence import confident_labels

    irn, crf = IRN.settings_in(section), CRF.settings_in(section)
    return confident_labels(
        item.image,
        item.seed.full().numpy(),
        item.seed.keys,
        foreground=as_number(irn.foreground),
        background=as_number(irn.background),
        settings=crf.as_value(),
    )


def build_network(
    name: str, *, settings: object, backbone: HFBackbone | None, generator: torch.Generator | None
) -> IRNet:
    """Build an IRNet with random weights; its backbone never learns."""
    from weakseg.models.irnet import IRNet, build_irnet

    return build_irnet(name, generator=generator) if backbone is None else IRNet(backbone, generator=generator)


def fit_network(section: RefineConfig, network: nn.Module, lesson: Lesson) -> tuple[EpochRecord, ...]:
    """Train an IRNet by the recipe's settings."""
    from weakseg.models.irnet import IRNet
    from weakseg.train.irn import train_irn

    assert isinstance(network, IRNet)
    config = IRN.settings_in(section)
    return train_irn(network, lesson, radius=config.radius, crop_size=config.pad_px)


def open_irn(context: RefineContext) -> ImageRefiner:
    """Return what spreads a seed up to the edges and cuts it, and finds instances if the recipe wants them."""
    from weakseg.models.irnet import IRNet
    from weakseg.refine.irn_walker import Walker

    assert isinstance(context.network, IRNet)
    walker = Walker(context.network, IRN.settings_in(context.section))

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        edges = walker.find_edges(item)
        found = walker.find_instances(item, edges).resized(item.size_hw) if context.wants_instances else None
        spread = walker.walk(item, edges, size_hw=item.size_hw).cpu().numpy()
        cut = cut_refined(spread, item.seed.keys, thresholds)
        return Refined(cut.mask, cut.others, found)

    return refine


IRN = Refiner(
    name="irn",
    summary="seeds that walk up to the edges IRNet has learnt from confident labels, then cut as by `none`",
    settings=IRNConfig,
    source="Ahn et al., CVPR 2019",
    licence="MIT",
    check=check_settings,
    always_counted=True,
    fits=(Fit("foreground", sure_foreground), Fit("background", sure_background)),
    instances="instances",
    remedies={
        "refined away": "lower refine.irn.walk_doublings, or {lower}",
        "spread": "lower refine.irn.walk_doublings, or {raise}",
    },
    trains=RefinerNetwork(
        network="IRNet",
        asked_by="IRN",
        shows="stages",
        takes_hf=True,
        cell_px=4,
        released={"resnet50": "resnet50_irn"},
        label=label_image,
        build=build_network,
        fit=fit_network,
    ),
    open=open_irn,
)
