"""Where the gradients of a photograph's classifier come from: of every layer's output and of a tag's logit, as maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from weakseg.models.backbone import Backbone
from weakseg.models.classifier import Classifier
from weakseg.models.modes import evaluating
from weakseg.ops.images import normalise


def find_layers(backbone: Backbone) -> dict[str, nn.Module]:
    """Name the layers of a backbone: its parts, those of lists one by one; of plain operations in a row the last.

    An EfficientNet-Lite has `stem`, `group 1` to `group 7` and `head`.
    """
    parts: list[tuple[str, nn.Module]] = []
    for name, module in backbone.named_children():
        if isinstance(module, nn.ModuleList):
            parts += [(f"{name.rstrip('s')} {number}", one) for number, one in enumerate(module, start=1)]
        else:
            parts.append((name, module))
    is_plain = [not any(True for _ in module.children()) for _, module in parts]
    return {
        name: module
        for (name, module), plain, next_plain in zip(parts, is_plain, [*is_plain[1:], False], strict=True)
        if not (plain and next_plain)
    }


def layer_maps(classifier: Classifier, image: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Return the gradient of every layer's output with respect to the image.

    Args:
        classifier: Runs in evaluation mode and gets its modes back. Gradients of its parameters are left alone.
        image: (H, W, 3) uint8 RGB, not modified.

    Returns:
        By layer, (h, w) magnitudes on the positions of the score maps, see `_lay_out`, of the gradient of the sum of
        the output's magnitudes over channels and positions; of rectified outputs that is their sum, as in the toy.
    """
    with torch.enable_grad():
        run = _run(classifier, image)
        sums = [output.abs().sum() for output in run.outputs.values()]
        gradients = [torch.autograd.grad(one, run.leaf, retain_graph=True)[0] for one in sums]
    return {name: _lay_out(found, run.leaf, classifier) for name, found in zip(run.outputs, gradients, strict=True)}


@dataclass(frozen=True, eq=False)
class LogitMaps:
    """The gradient of one class's logit.

    Args:
        logit: The logit.
        image: (h, w) magnitudes, with respect to the image.
        layers: The same with respect to the output of every layer.
    """

    logit: float
    image: Tensor
    layers: dict[str, Tensor]


def logit_maps(classifier: Classifier, image: NDArray[np.uint8], key: int) -> LogitMaps:
    """Return the gradient of a class's logit with respect to the image and to every layer's output; see `layer_maps`.

    The logit is the average of the class's scores, so that its gradient in the last layer is the same everywhere.
    """
    with torch.enable_grad():
        run = _run(classifier, image)
        logit = run.logits[0, key]
        by_image, *by_layer = torch.autograd.grad(logit, [run.leaf, *run.outputs.values()])
    layers = zip(run.outputs, by_layer, strict=True)
    return LogitMaps(
        logit=float(logit.detach()),
        image=_lay_out(by_image, run.leaf, classifier),
        layers={name: _lay_out(found, run.leaf, classifier) for name, found in layers},
    )


@dataclass(frozen=True, eq=False)
class ImageGradients:
    """What the gradients of one image were, before an adaptation and after each of its updates: S states.

    Args:
        size_hw: Height and width of the image as the network saw it.
        layer_names: The L layers, from the image to the logit.
        layers: (L, h, w) of `layer_maps`, before the adaptation.
        logits: (K, S) of the image's tags.
        by_image: (K, S, h, w) of `logit_maps`, with respect to the image.
        by_layer: (K, S, L, h, w) likewise, to the layers.
    """

    size_hw: tuple[int, int]
    layer_names: tuple[str, ...]
    layers: NDArray[np.float32]
    logits: NDArray[np.float32]
    by_image: NDArray[np.float32]
    by_layer: NDArray[np.float32]

    @staticmethod
    def of(
        layers: Mapping[str, Tensor], states: Sequence[Sequence[LogitMaps]], size_hw: tuple[int, int]
    ) -> ImageGradients:
        """Gather the maps of layers, and of the tags' logits in every state, at least one."""
        by_image = torch.stack([torch.stack([one.image for one in state]) for state in states], dim=1)
        by_layer = torch.stack(
            [torch.stack([torch.stack([*one.layers.values()]) for one in state]) for state in states], dim=1
        )
        return ImageGradients(
            size_hw=size_hw,
            layer_names=tuple(layers),
            layers=torch.stack([*layers.values()]).numpy(),
            logits=np.array([[one.logit for one in state] for state in states], np.float32).T,
            by_image=by_image.numpy(),
            by_layer=by_layer.numpy(),
        )


@dataclass(frozen=True, eq=False)
class _Run:
    """One pass of a classifier: the image (1, 3, H, W), every layer's output, and the logits (1, C)."""

    leaf: Tensor
    outputs: dict[str, Tensor]
    logits: Tensor


def _run(classifier: Classifier, image: NDArray[np.uint8]) -> _Run:
    outputs: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    layers = find_layers(classifier.backbone)
    hooks = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    leaf = normalise(image)[None].to(classifier.classifier.weight.device).requires_grad_(True)
    try:
        with evaluating(classifier):
            # The classifier's own trunk keeps no history where it is frozen.
            logits = classifier.head(classifier.backbone.trunk(leaf)).mean(dim=(2, 3))
    finally:
        for hook in hooks:
            hook.remove()
    return _Run(leaf, outputs, logits)


def _lay_out(gradient: Tensor, leaf: Tensor, classifier: Classifier) -> Tensor:
    """Turn a gradient (1, D, h', w') into magnitudes (h, w), one per position of the score maps.

    Convolutions with a stride see some pixels more often than their neighbours, which draws a grid; and single pixels
    have gradients far above all others. So magnitudes, Euclidean over channels, are averaged over the disjoint squares
    of pixels that positions of the score maps stand for.
    """
    height, width = leaf.shape[2:]
    return average_over_squares(gradient.norm(dim=1).cpu(), (height, width), side_px=classifier.stride)[0]


def average_over_squares(magnitudes: Tensor, size_hw: tuple[int, int], *, side_px: int) -> Tensor:
    """Average over squares of an image's pixels.

    Args:
        magnitudes: (1, h', w') float, one per pixel or per position of a layer, of a stride that divides `side_px`.
        size_hw: Height and width of the image; squares at its lower and right end may be cut.
        side_px: Side of the squares.

    Returns:
        (1, ceil(H / side_px), ceil(W / side_px)).
    """
    grid_hw = [math.ceil(size / side_px) for size in size_hw]
    sides = [side for side in range(1, side_px + 1) if side_px % side == 0]
    fitting = (side for side in sides if [math.ceil(size / side) for size in magnitudes.shape[1:]] == grid_hw)
    side = next(fitting, None)
    if side is None:  # a layer whose size is not its share of the image's, rounded up
        return adaptive_avg_pool2d(magnitudes, (grid_hw[0], grid_hw[1]))
    return avg_pool2d(magnitudes, side, ceil_mode=True, count_include_pad=False)
