"""What official checkpoints call the parts of a network, and what this package calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge

_RESNET_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_RESNET38_PARTS = ("conv1a", "b2", "b3", "b4", "b5", "b6", "b7", "bn7")
_MERGES = ("merge_late", "merge_all")

RESNET_STEMS: tuple[str, ...] = ("stage1.", "backbone.0.", "resnet50.")
"""How the released IRN and RIB codes call the first layers of a ResNet: three names of the same tensors."""

_MARKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "resnet50_irn": (RESNET_STEMS, ("fc_edge1.", "edge_layers.0.")),
    "resnet50_cam": (RESNET_STEMS, ("classifier.", "newly_added.0.")),
    "resnet38_aff": (("bn7.",), ("f8_5.",), ("f9.",)),
    "resnet38_seam": (("bn7.",), ("fc8.",), ("f9.",)),
    "resnet38_cls": (("bn7.",), ("fc8.",)),
}  # one prefix of each group tells the kind; what comes first counts

_MXNET_UNIT = re.compile(
    r"(?P<layer>res|bn)(?P<stage>[2-7])(?:a|b(?P<index>\d+))_(?P<branch>branch[0-9a-z]+)_(?P<value>[a-z_]+)"
)
_MXNET_HEAD = "linear1000_"
_MXNET_NORM_VALUES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


def cam_prefixes() -> dict[str, str]:
    """Return our prefix for each prefix under which the CAM network registers a part, several times over.

    Its `stage1` is a Sequential of conv1, bn1, ReLU, max-pool and layer1; `stage2` to `stage4` hold one layer each;
    `backbone` lists the stages again and `newly_added` the classifier.
    """
    prefixes = _resnet_prefixes()
    for stage in ("stage1.", "backbone.0."):
        for index, part in ((0, "conv1"), (1, "bn1"), (4, "layer1")):
            prefixes[f"{stage}{index}."] = f"backbone.{part}."
    for number in (2, 3, 4):
        for stage in (f"stage{number}.", f"backbone.{number - 1}."):
            prefixes[f"{stage}0."] = f"backbone.layer{number}."
    return prefixes | {"classifier.": "classifier.", "newly_added.0.": "classifier."}


def irn_prefixes() -> dict[str, str]:
    """Return our prefix for each prefix under which IRNet registers a part, several times over.

    Here `stage1` holds conv1 and bn1, and `stage2` to `stage5` one layer each; `edge_layers` and `dp_layers` list the
    parts of the branches again. Each part is a Sequential of a convolution and a norm, the last one of the
    displacement branch also of the predicting convolution and of the displacement's mean.
    """
    prefixes = _resnet_prefixes()
    for stage in ("stage1.", "backbone.0."):
        prefixes |= {f"{stage}0.": "backbone.conv1.", f"{stage}1.": "backbone.bn1."}
    for number in (1, 2, 3, 4):
        for stage in (f"stage{number + 1}.", f"backbone.{number}."):
            prefixes[f"{stage}0."] = f"backbone.layer{number}."
    levels = [f"levels.{index}" for index in range(5)]
    for branch, official, parts in (("edge", "edge", levels), ("displacement", "dp", [*levels, *_MERGES])):
        for index, part in enumerate(parts):
            for name in (f"fc_{official}{index + 1}.", f"{official}_layers.{index}."):
                prefixes |= {f"{name}0.": f"{branch}.{part}.convolution.", f"{name}1.": f"{branch}.{part}.norm."}
    prefixes |= {"fc_edge6.": "edge.predict.", "edge_layers.5.": "edge.predict."}
    for name in ("fc_dp7.", "dp_layers.6."):
        prefixes |= {f"{name}3.": "displacement.predict.", f"{name}4.running_mean": "mean_displacement"}
    return prefixes | {"mean_shift.running_mean": "mean_displacement"}


def resnet38_prefixes() -> dict[str, str]:
    """Return our prefix for each part of a ResNet-38; a stage's prefix stands for all its units, `b4` for `b4_1.`."""
    return {part: f"backbone.{part}" for part in _RESNET38_PARTS}


def resnet38_cls_prefixes() -> dict[str, str]:
    """Return our prefixes for the classifier of PSA."""
    return resnet38_prefixes() | {"fc8.": "classifier."}


def resnet38_seam_prefixes() -> dict[str, str]:
    """Return our prefixes for SEAM; its `fc8` scores the background too, in front of the classes."""
    refinement = {"f8_3.": "reduce_conv4.", "f8_4.": "reduce_conv5.", "f9.": "embed."}
    return resnet38_cls_prefixes() | {name: f"correlation.{part}" for name, part in refinement.items()}


def resnet38_aff_prefixes() -> dict[str, str]:
    """Return our prefixes for AffinityNet."""
    head = {"f8_3.": "reduce_conv4.", "f8_4.": "reduce_conv5.", "f8_5.": "reduce_conv6.", "f9.": "mix."}
    return resnet38_prefixes() | head


def recognise_kind(names: Iterable[str]) -> str | None:
    """Return the kind of official checkpoint that parameter names are of, or None; they need not be complete."""
    listed = tuple(names)
    for kind, groups in _MARKS.items():
        if all(any(name.startswith(prefixes) for name in listed) for prefixes in groups):
            return kind
    return None


def merge_aliases(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str], *, where: str) -> dict[str, Tensor]:
    """Rename tensors by prefix and merge those that land on one name, which must then be equal.

    Args:
        tensors: Tensors by official name.
        prefixes: Our prefix by official prefix; the first one that fits a name counts.
        where: File or description for error messages.

    Raises:
        ArtifactError: If a name has no such prefix, or two names of one tensor hold different values.
    """
    merged: dict[str, Tensor] = {}
    unexpected = []
    for alias, tensor in tensors.items():
        prefix = next((prefix for prefix in prefixes if alias.startswith(prefix)), None)
        if prefix is None:
            unexpected.append(alias)
            continue
        name = prefixes[prefix] + alias.removeprefix(prefix)
        if name in merged and not torch.equal(merged[name], tensor):
            raise ArtifactError(f"{where}: '{alias}' differs from the other names of the same tensor ({name})")
        merged[name] = tensor
    _require_known(unexpected, where=where)
    return merged


def rename_mxnet_resnet38(tensors: Mapping[str, Tensor], *, where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Give the parameters of the MXNet ResNet-38 the names of the PSA checkpoints, which are those of `ResNet38`.

    Assumed of the file's names: `conv1a_weight`; `res4a_branch2a_weight` for the first unit of stage 4 and
    `res4b1_branch2a_weight` for the next one; `bn4a_branch2a_gamma`, `_beta`, `_moving_mean` and `_moving_var`;
    `bn7_gamma` and so on for the last norm; `linear1000_...` for the classifier.

    Args:
        tensors: What `weakseg.models.mxnet_params.read_mxnet_params` returned.
        where: File for error messages.

    Returns:
        The backbone's tensors by name, and the names of the classifier's.

    Raises:
        ArtifactError: If other names are among them.
    """
    renamed = {}
    unexpected = []
    for name, tensor in tensors.items():
        own = _resnet38_name(name)
        if own is not None:
            renamed[own] = tensor
        elif not name.startswith(_MXNET_HEAD):
            unexpected.append(name)
    _require_known(unexpected, where=where)
    return renamed, tuple(name for name in tensors if name.startswith(_MXNET_HEAD))


def _resnet38_name(name: str) -> str | None:
    """Return the name of PSA for a name of MXNet, or None if it is no part of the backbone."""
    if name == "conv1a_weight":
        return "conv1a.weight"
    if name.startswith("bn7_"):
        value = _MXNET_NORM_VALUES.get(name.removeprefix("bn7_"))
        return None if value is None else f"bn7.{value}"
    match = _MXNET_UNIT.fullmatch(name)
    if match is None:
        return None
    unit = f"b{match['stage']}" if match["index"] is None else f"b{match['stage']}_{match['index']}"
    if match["layer"] == "res":
        return f"{unit}.conv_{match['branch']}.weight" if match["value"] == "weight" else None
    value = _MXNET_NORM_VALUES.get(match["value"])
    return None if value is None else f"{unit}.bn_{match['branch']}.{value}"


def _resnet_prefixes() -> dict[str, str]:
    """Return our prefix for each part of a ResNet under its plain name."""
    return {f"resnet50.{part}.": f"backbone.{part}." for part in _RESNET_PARTS}


def _require_known(unexpected: list[str], *, where: str) -> None:
    if unexpected:
        raise ArtifactError(f"{where}: holds {len(unexpected)} unexpected parameters: {abridge(unexpected)}")
