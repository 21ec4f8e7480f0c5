"""How much of an image's regions each layer of a classifier depends on, by gradients with respect to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.marked_digits import MarkedDigits
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain
from weakseg.models.modes import evaluating
from weakseg.ops.gradient_ratio import high_gradient_ratio, normalise_gradients
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

REGIONS = ("digit", "marker", "background")
"""Discriminative, non-discriminative and irrelevant pixels, in the order of all numbers."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Some images, and where their regions are.

    Args:
        grey: (N, H, W) float32 in 0..1.
        classes: (N,) int64.
        masks: (N, H, W) bool of each of `REGIONS`.
    """

    grey: Tensor
    classes: Tensor
    masks: tuple[Tensor, Tensor, Tensor]

    @staticmethod
    def of(scenes: MarkedDigits) -> Regions:
        """Take images and regions from generated ones."""
        masks = (scenes.digit, scenes.marker, scenes.background)
        digit, marker, background = (torch.from_numpy(np.ascontiguousarray(mask)) for mask in masks)
        return Regions(to_grey(scenes.images), torch.from_numpy(scenes.classes), (digit, marker, background))

    def __len__(self) -> int:
        return len(self.grey)

    def one(self, at: int) -> Regions:
        """Return the image at a place alone."""
        part = slice(at, at + 1)
        digit, marker, background = (mask[part] for mask in self.masks)
        return Regions(self.grey[part], self.classes[part], (digit, marker, background))

    def ratios(self, maps: Tensor, *, threshold: float) -> Tensor:
        """Return the HGR (N, 3) of every image's regions in gradient maps (N, H, W); NaN where it is empty."""
        return torch.stack([high_gradient_ratio(maps, mask, threshold=threshold) for mask in self.masks], dim=1)


def to_grey(images: NDArray[np.uint8]) -> Tensor:
    """Turn grey images (N, H, W) uint8 into float32 in 0..1."""
    return torch.from_numpy(images.astype(np.float32)) / 255


def normalise_grey(grey: Tensor) -> Tensor:
    """Turn grey images (N, H, W) in 0..1 into what networks expect, differentiably.

    Returns:
        (N, 3, H, W): what `weakseg.ops.images.normalise` makes of an RGB image with three equal channels.
    """
    mean, std = (torch.tensor(values, device=grey.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (grey[:, None] - mean) / std


def layer_gradients(classifier: Classifier, grey: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
    """Return the normalised gradient maps of every layer and of the logit.

    Args:
        classifier: On a `ConvolutionChain` of K layers; runs in evaluation mode and gets its modes back. Gradients of
            its parameters are left alone.
        grey: (N, H, W) float32 in 0..1, not modified.
        classes: (N,) int64, the class whose logit is looked at.

    Returns:
        K + 1 maps (N, H, W) in 0..1: of the sum of layer k's output after its ReLU, over channels and positions, for
        k = 1..K, and of the logit of the image's class.
    """
    chain = classifier.backbone
    assert isinstance(chain, ConvolutionChain)
    leaf = grey.detach().clone().requires_grad_(True)
    with torch.enable_grad(), evaluating(classifier):
        outputs = chain.outputs(normalise_grey(leaf))
        logits = classifier.classifier(outputs[-1]).mean(dim=(2, 3))
        sums = [*(output.sum() for output in outputs), _own_logits(logits, classes).sum()]
        maps = [torch.autograd.grad(value, leaf, retain_graph=True)[0] for value in sums]
    return tuple(normalise_gradients(found) for found in maps)


def logit_gradients(classifier: Classifier, grey: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last of `layer_gradients`, and the logits (N,) themselves."""
    leaf = grey.detach().clone().requires_grad_(True)
    with torch.enable_grad(), evaluating(classifier):
        own = _own_logits(classifier(normalise_grey(leaf)), classes)
        (gradients,) = torch.autograd.grad(own.sum(), leaf)
    return normalise_gradients(gradients), own.detach()


def _own_logits(logits: Tensor, classes: Tensor) -> Tensor:
    """Pick every image's own logit (N,) out of (N, C)."""
    return logits.gather(1, classes[:, None])[:, 0]
