"""What checkpoints of DeepLab-v2 call the parts of the network, and what this package calls them.

Names are those of public repositories; `docs/deeplab.md` lists them with their sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge
from weakseg.models.weights import PLAIN_HEADS, WEAKSEG_HEADS

Layout = Literal["weakseg", "blocks", "conv2d_list", "torchvision", "efficientnet_lite"]
"""`weakseg`: our own files. `blocks`: deeplab-pytorch (`base.layer2.block1.reduce.conv.weight`, `base.aspp.c0.weight`).
`conv2d_list`: pytorch-deeplab-resnet and its descendants (`Scale.layer1.0.conv1.weight`,
`Scale.layer5.conv2d_list.0.weight`). `torchvision`: a ResNet alone (`layer1.0.conv1.weight`).
`efficientnet_lite`: such a network alone, of the port that published it (`_conv_stem.weight`)."""

HEAD = "aspp.branches."
"""What our names of the predicting convolutions begin with."""

_WRAPPERS = ("base.", "scale.", "Scale.")
"""Prefixes of a network that a multi-scale wrapper holds."""

_STEM = re.compile(r"layer1\.conv1\.(?P<part>conv|bn)\.(?P<value>\w+)")
_BLOCK = re.compile(
    r"layer(?P<layer>[2-5])\.block(?P<block>\d+)\.(?P<unit>reduce|conv3x3|increase|shortcut|proj)\."
    r"(?P<part>conv|bn)\.(?P<value>\w+)"
)
_BLOCK_HEAD = re.compile(r"aspp\.(?:stages\.)?c(?P<branch>\d+)\.(?P<value>weight|bias)")
_LIST_HEAD = re.compile(r"layer5\.conv2d_list\.(?P<branch>\d+)\.(?P<value>weight|bias)")
_PLAIN_BACKBONE = re.compile(r"(?:conv1|bn1|layer[1-4]\.\d+\.\w+)\..+")
_UNITS = {"reduce": "1", "conv3x3": "2", "increase": "3"}
_SHORTCUT_PARTS = {"conv": "0", "bn": "1"}


@dataclass(frozen=True)
class RenamedState:
    """A checkpoint under our names.

    Args:
        layout: Whose names it had.
        state: Tensors by the names of `weakseg.models.deeplab.Segmenter`; without `aspp.branches.*` if it has none.
        ignored: Names of its tensors that belong to no part of a segmenter, such as a classifier's.
    """

    layout: Layout
    state: dict[str, Tensor]
    ignored: tuple[str, ...]


def rename_deeplab(tensors: Mapping[str, Tensor], *, where: str) -> RenamedState:
    """Give the tensors of a checkpoint the names of a segmenter.

    Args:
        tensors: By the checkpoint's names, which may all begin with `base.`, `scale.` or `Scale.`.
        where: File or description for error messages.

    Raises:
        ArtifactError: If there are names that belong to no part of the layout.
    """
    plain = _unwrap(tensors)
    layout = _find_layout(plain)
    heads = WEAKSEG_HEADS if layout == "weakseg" else PLAIN_HEADS
    state: dict[str, Tensor] = {}
    ignored, unexpected = [], []
    for name, tensor in plain.items():
        own = _own_name(name, layout)
        if own is not None:
            state[own] = tensor
        elif name.startswith(heads):
            ignored.append(name)
        else:
            unexpected.append(name)
    if unexpected:
        raise ArtifactError(
            f"{where}: taken for a checkpoint in the layout '{layout}', but it holds {len(unexpected)} unexpected "
            f"parameters: {abridge(unexpected)}; docs/deeplab.md lists the layouts"
        )
    return RenamedState(layout, state, tuple(ignored))


def _unwrap(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Drop the prefix of a multi-scale wrapper if every name has it."""
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _find_layout(names: Mapping[str, Tensor]) -> Layout:
    if any(name.startswith("backbone.") for name in names):
        return "weakseg"
    if any(_STEM.fullmatch(name) for name in names):
        return "blocks"
    if any(_LIST_HEAD.fullmatch(name) for name in names):
        return "conv2d_list"
    return "torchvision"


def _own_name(name: str, layout: Layout) -> str | None:
    """Return our name for a checkpoint's, or None if it is none of a segmenter's."""
    if layout == "weakseg":
        return name if name.startswith(("backbone.", HEAD)) else None
    if layout == "blocks":
        return _own_name_of_block(name)
    head = _LIST_HEAD.fullmatch(name)
    if head is not None:
        return f"{HEAD}{head['branch']}.{head['value']}"
    return f"backbone.{name}" if _PLAIN_BACKBONE.fullmatch(name) else None


def _own_name_of_block(name: str) -> str | None:
    head = _BLOCK_HEAD.fullmatch(name)
    if head is not None:
        return f"{HEAD}{head['branch']}.{head['value']}"
    stem = _STEM.fullmatch(name)
    if stem is not None:
        return f"backbone.{stem['part']}1.{stem['value']}"
    block = _BLOCK.fullmatch(name)
    if block is None:
        return None
    unit, part = block["unit"], block["part"]
    place = f"backbone.layer{int(block['layer']) - 1}.{int(block['block']) - 1}"
    if unit in _UNITS:
        return f"{place}.{part}{_UNITS[unit]}.{block['value']}"
    return f"{place}.downsample.{_SHORTCUT_PARTS[part]}.{block['value']}"
