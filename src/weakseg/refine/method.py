"""What a refiner is: facts, settings, and `open`, which returns a function from an image's seed to its mask.

The frame around it, `weakseg.pipeline.refiners`, resumes, shares out the images, settles the background threshold,
corrects masks by saliency and writes them. `docs/plugins.md` shows how to write one. Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from weakseg.methods import NetworkFacts, RefinerFacts, Settings
from weakseg.registry import REFINERS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from weakseg.config.sections.refine import RefineConfig
    from weakseg.models.hf_backbone import HFBackbone
    from weakseg.ops.instances import Instances
    from weakseg.refine.soft_labels import SoftMask
    from weakseg.train.lesson import Lesson
    from weakseg.train.loop import EpochRecord
    from weakseg.types import Sample, ScoreMaps


@dataclass(frozen=True, eq=False)
class SeededImage:
    """An image and its seed.

    Args:
        sample: Id and tags.
        image: (h, w, 3) uint8 RGB as networks see it; (0, 0, 3) for a refiner that needs no images.
        seed: Its seed, to be rebuilt at the size of `image`.
        size_hw: (height, width) of the original image, or of a smaller one if no larger mask is of use.
        original_hw: (height, width) of the original image, whose size files of others have; None for `size_hw`.
    """

    sample: Sample
    image: NDArray[np.uint8]
    seed: ScoreMaps
    size_hw: tuple[int, int]
    original_hw: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refiner made of one image, at the size of the image or of the copy that networks saw.

    Args:
        mask: Its mask at the first threshold.
        others: Its masks (H, W) uint8 at the other thresholds, in their order.
        instances: Its instances, if the recipe wants them.
    """

    mask: SoftMask
    others: Sequence[NDArray[np.uint8]] = ()
    instances: Instances | None = None


class ImageRefiner(Protocol):
    """Turns the seed of one image into its mask."""

    def __call__(self, item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        """Refine an image.

        Args:
            item: The image and its seed.
            thresholds: Background thresholds, at least one; the dear part is done once for all of them. Empty for a
                refiner without a threshold.
        """
        ...


@dataclass(frozen=True, eq=False)
class RefineContext:
    """What a refiner works with.

    Args:
        section: The recipe's section `refine`; `METHOD.settings_in(section)` are the method's own settings.
        device: Where networks run.
        network: The network it has trained, in evaluation mode on that device; None if it trains none.
        wants_instances: Whether to find instances as well.
    """

    section: RefineConfig
    device: torch.device
    network: nn.Module | None = None
    wants_instances: bool = False


class BuildNetwork(Protocol):
    """Builds a refiner's network with random weights."""

    def __call__(
        self, name: str, *, settings: object, backbone: HFBackbone | None, generator: torch.Generator | None
    ) -> nn.Module:
        """Build it in training mode.

        Args:
            name: Its backbone.
            settings: The refiner's own settings; None for a trained network that is to be loaded.
            backbone: That of `transformers`, where the name says so.
            generator: Source of the random weights; torch's global one if None.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RefinerNetwork(NetworkFacts):
    """The network that a refiner trains.

    Args:
        label: Makes the labels (h, w) uint8 that it learns from, of the recipe's section `refine` and an image.
        build: Builds it.
        fit: Trains it in place, by the recipe's section `refine`.
    """

    label: Callable[[RefineConfig, SeededImage], NDArray[np.uint8]]
    build: BuildNetwork
    fit: Callable[[RefineConfig, nn.Module, Lesson], tuple[EpochRecord, ...]]


@dataclass(frozen=True, kw_only=True)
class Refiner(RefinerFacts[Settings]):
    """A refiner.

    Args:
        open: Returns what refines images.
        trains: The network it trains, or None.
    """

    open: Callable[[RefineContext], ImageRefiner]
    trains: RefinerNetwork | None = field(default=None)


def find_refiner(name: str) -> Refiner[object]:
    """Import the refiner of a name.

    Raises:
        ConfigError: If there is none, or its package cannot be imported.
    """
    return REFINERS.load_as(name, Refiner)


def cut_refined(maps: NDArray[np.floating], keys: Sequence[int], thresholds: Sequence[float]) -> Refined:
    """Cut refined maps at every threshold: what a refiner does that only changes maps.

    Args:
        maps: (K, H, W) float in 0..1. Not modified.
        keys: Their class indices.
        thresholds: Background thresholds, at least one.
    """
    from weakseg.refine.masks import seed_to_mask
    from weakseg.refine.soft_labels import score_threshold, soften

    first, *others = thresholds
    mask = soften(score_threshold(maps, background_threshold=first), keys)
    return Refined(mask, [seed_to_mask(maps, keys, background_threshold=threshold) for threshold in others])
