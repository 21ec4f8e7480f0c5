"""Reading checkpoints of DeepLab-v2, published or our own, into a segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import as_tensors, fit_state, read_checkpoint
from weakseg.models.deeplab import Segmenter
from weakseg.models.deeplab_names import HEAD, Layout, RenamedState, rename_deeplab
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.lite_weights import IMAGENET_HEAD, is_lite_checkpoint, rename_lite
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

CAFFE_MEAN = (122.675, 116.669, 104.008)
"""Mean red, green and blue, 0..255, that Caffe's networks have subtracted (deeplab-pytorch, configs/voc12.yaml)."""

_STEM_WEIGHT, _STEM_MEAN = "backbone.conv1.weight", "backbone.bn1.running_mean"


@dataclass(frozen=True)
class LoadedSegmenter:
    """What became of a checkpoint.

    Args:
        origin: The file it came from, or what it was given as.
        layout: Whose names it had.
        head: Whether the convolutions that predict the labels were set too; else the backbone alone was.
        reason: Why they were not, or None.
        ignored: Names of its tensors that belong to no part of a segmenter.
    """

    origin: str
    layout: Layout
    head: bool
    reason: str | None
    ignored: tuple[str, ...]

    def describe(self) -> str:
        """Say it in one line."""
        what = "the whole network" if self.head else f"the backbone only, since {self.reason}"
        return f"{self.origin} (layout {self.layout}): {what}"


def load_segmenter_checkpoint(
    segmenter: Segmenter,
    path_or_state_dict: str | Path | Mapping[str, Tensor | NDArray[np.generic]],
    *,
    same_classes: bool = True,
    trust_pickle: bool = False,
) -> LoadedSegmenter:
    """Fill a segmenter with a checkpoint: all of it where the labels fit, else its backbone.

    A checkpoint does not say the dilations of its predicting convolutions: they are taken in the order in which it
    numbers them. If the segmenter is in Caffe's form, so is a checkpoint in a layout other than ours expected to be:
    its first convolution, made for blue, green and red of 0..255 less `CAFFE_MEAN`, is converted to the input of this
    package (`weakseg.ops.images.normalise`). The result is the same but within reach of the image's border, where both
    pad with zeros, which are greys that differ by one level.

    Args:
        segmenter: Network to fill, in place.
        path_or_state_dict: A `.pth` or `.safetensors` file, or its content, in one of the layouts of
            `weakseg.models.deeplab_names.Layout`; with or without a `module.` prefix.
        same_classes: Whether the checkpoint's classes may be the segmenter's, where their number fits; False leaves the
            predicting convolutions as they are.
        trust_pickle: Let a pickle that holds more than tensors run its code; see `read_checkpoint`.

    Returns:
        What was set.

    Raises:
        ArtifactError: If the file cannot be read, names are missing or unexpected, or a shape differs; then the
            segmenter is unchanged.
    """
    if isinstance(path_or_state_dict, Mapping):
        where = "the state dict given"
        tensors = as_tensors(path_or_state_dict, where=where)
    else:
        where = str(path_or_state_dict)
        tensors = read_checkpoint(Path(path_or_state_dict), trust_pickle=trust_pickle)
    renamed = _rename(segmenter, tensors, where=where)
    state = renamed.state
    if segmenter.caffe_form and renamed.layout != "weakseg":
        state = _convert_input(state, where=where)
    reason = _why_not_the_head(segmenter, state) or (None if same_classes else "its classes are others")
    if reason is None:
        fit_state(segmenter, state, where=where)
    else:
        prefix = "backbone."
        backbone = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        fit_state(segmenter.backbone, backbone, where=where)
    return LoadedSegmenter(where, renamed.layout, reason is None, reason, renamed.ignored)


def _rename(segmenter: Segmenter, tensors: Mapping[str, Tensor], *, where: str) -> RenamedState:
    """Give a checkpoint the names of the segmenter, without the parts that this form of its backbone leaves out."""
    if isinstance(segmenter.backbone, EfficientNetLite) and is_lite_checkpoint(tensors):
        named = rename_lite(tensors, repeats=segmenter.backbone.repeats)
        ignored = tuple(name for name in named if name.startswith(IMAGENET_HEAD))
        state = {f"backbone.{name}": tensor for name, tensor in named.items() if name not in ignored}
        renamed = RenamedState("efficientnet_lite", state, ignored)
    else:
        renamed = rename_deeplab(tensors, where=where)
    spare_parts = tuple(f"backbone.{part}" for part in segmenter.backbone.spare_parts)
    spare = tuple(name for name in renamed.state if name.startswith(spare_parts))
    state = {name: tensor for name, tensor in renamed.state.items() if name not in spare}
    return RenamedState(renamed.layout, state, (*renamed.ignored, *spare))


def _why_not_the_head(segmenter: Segmenter, state: Mapping[str, Tensor]) -> str | None:
    """Say why a state's predicting convolutions are not the segmenter's, or None if they are."""
    weights = [tensor for name, tensor in state.items() if name.startswith(HEAD) and name.endswith(".weight")]
    if not weights:
        return "it predicts no labels"
    own = len(segmenter.aspp_rates)
    if len(weights) != own:
        return f"it has {len(weights)} predicting convolutions and the segmenter {own}"
    if weights[0].shape[0] != segmenter.num_labels:
        return f"it predicts {weights[0].shape[0]} labels and the segmenter {segmenter.num_labels}"
    return None


def _convert_input(state: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """Make the first convolution one for images as this package normalises them.

    With x the normalised value of a colour, Caffe's is 255 (std x + mean) - caffe_mean. The factor goes into the
    weights; what is added shifts the convolution's result by a constant, which the batch norm's mean takes up.
    """
    weight, mean = state.get(_STEM_WEIGHT), state.get(_STEM_MEAN)
    if weight is None or mean is None or weight.ndim != 4 or weight.shape[1] != len(CAFFE_MEAN):
        raise ArtifactError(f"{where}: expected a first convolution (D, 3, k, k) and its batch norm; is it a ResNet's?")
    rgb = weight.flip(1).double()
    scale = 255 * torch.tensor(IMAGENET_STD, dtype=torch.float64)
    shift = 255 * torch.tensor(IMAGENET_MEAN, dtype=torch.float64) - torch.tensor(CAFFE_MEAN, dtype=torch.float64)
    constant = (rgb.sum(dim=(2, 3)) * shift).sum(dim=1)
    return {
        **state,
        _STEM_WEIGHT: (rgb * scale[:, None, None]).to(weight.dtype),
        _STEM_MEAN: (mean.double() - constant).to(mean.dtype),
    }
