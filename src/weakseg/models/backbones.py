"""The named backbones: which there are, for what, and how one is built."""

from __future__ import annotations

from typing import cast

import torch

from weakseg.errors import ConfigError
from weakseg.models.efficientnet_lite import (
    FINE_STRIDE,
    LITE_NAMES,
    SCORING_STRIDE,
    EfficientNetLite,
    build_efficientnet_lite,
)
from weakseg.models.registered import find_registered, registered_names
from weakseg.models.resnet import BACKBONE_NAMES, ResNet, build_backbone
from weakseg.models.resnet38 import RESNET38_NAMES, ResNet38, build_resnet38
from weakseg.spelling import require_option

STAGED_NAMES: tuple[str, ...] = (*BACKBONE_NAMES, *LITE_NAMES)
"""Networks that show their stages: for classifiers, IRNet and DeepLab-v2."""

LEVELLED_NAMES: tuple[str, ...] = (*RESNET38_NAMES, *LITE_NAMES)
"""Networks that show features of three depths at one stride: for classifiers, SEAM and AffinityNet."""


def build_staged(
    name: str,
    *,
    dense: bool = False,
    fixed_norm: bool = False,
    caffe_form: bool = False,
    generator: torch.Generator | None = None,
) -> ResNet | EfficientNetLite:
    """Build a backbone that shows its stages, with random weights.

    Args:
        name: One of `STAGED_NAMES`.
        dense: The form that segments instead of the form that scores images: at stride 8. An EfficientNet-Lite has one
            form for both, at stride 16, since a finer one takes three times as long (docs/photographs.md).
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        caffe_form: Put strides where Caffe's ResNets have them, see `weakseg.models.resnet.CaffeBottleneck`.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown, or the network has no bottlenecks to put into Caffe's form.
    """
    others = registered_names(stages=True)
    require_option(name, (*STAGED_NAMES, *others), what="backbone")
    if name in LITE_NAMES:
        if caffe_form:
            raise ConfigError(f"caffe_form: '{name}' is no ResNet, so it has no such form; set it to false")
        return build_efficientnet_lite(name, fixed_norm=fixed_norm, generator=generator)
    if name in others:
        # It shows what it says, as ours do.
        return cast(ResNet, find_registered(name).build(dense, fixed_norm, generator))
    return build_backbone(name, dense=dense, fixed_norm=fixed_norm, caffe_form=caffe_form, generator=generator)


def build_levelled(
    name: str, *, dense: bool = False, fixed_norm: bool = False, generator: torch.Generator | None = None
) -> ResNet38 | EfficientNetLite:
    """Build a backbone that shows features of three depths, with random weights.

    Args:
        name: One of `LEVELLED_NAMES`.
        dense: Answer at stride 8, which a ResNet-38 does in any case; an EfficientNet-Lite then lacks its head
            convolution.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
    """
    others = registered_names(levels=True)
    require_option(name, (*LEVELLED_NAMES, *others), what="backbone")
    if name in LITE_NAMES:
        stride = FINE_STRIDE if dense else SCORING_STRIDE
        return build_efficientnet_lite(
            name, stride=stride, has_head=not dense, fixed_norm=fixed_norm, generator=generator
        )
    if name in others:
        return cast(ResNet38, find_registered(name).build(dense, fixed_norm, generator))
    return build_resnet38(name, fixed_norm=fixed_norm, generator=generator)
