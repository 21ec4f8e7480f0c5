"""Published weights: checkpoints of the official implementations, and ImageNet starts for backbones.

`load_official` rebuilds a network from an official checkpoint, `load_backbone` fills the backbone of a fresh one.
Names are translated here and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.checkpoints import abridge, as_tensors, fit_state, read_checkpoint
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.spelling import require_option

IMAGENET_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
}
"""torchvision's IMAGENET1K_V1 weights; the eight digits in a file's name begin its SHA-256."""

_TORCHVISION_HEADS: tuple[str, ...] = ("fc.",)
_WEAKSEG_HEADS: tuple[str, ...] = ("classifier.", "aspp.", "edge.", "displacement.", "mean_displacement")
_CLASSIFIER_WEIGHT = "classifier.weight"
_RESNET_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_MERGES = ("merge_late", "merge_all")


def load_official(
    path_or_state_dict: str | Path | Mapping[str, Tensor | NDArray[np.generic]],
    kind: str,
    *,
    trust_pickle: bool = False,
) -> nn.Module:
    """Rebuild a network from a checkpoint of an official implementation.

    Official checkpoints hold one tensor under several names (`stage1.0.weight`, `backbone.0.0.weight` and
    `resnet50.conv1.weight`); any non-empty choice of them is accepted, with or without a `module.` prefix.

    Args:
        path_or_state_dict: A `.pth` or `.safetensors` file, or its content: tensors or NumPy arrays by name.
        kind: `resnet50_cam`: the CAM classifier of IRN and RIB. The number of classes is read off the checkpoint.
            `resnet50_irn`: the IRNet of IRN and RIB, which knows no classes.
        trust_pickle: Let a pickle that holds more than tensors run its code; see `read_checkpoint`.

    Returns:
        The network on the CPU, float32, in evaluation mode; for `resnet50_cam` a `Classifier` with frozen trunk and
        fixed batch norm, as its authors train it, for `resnet50_irn` an `IRNet`.

    Raises:
        ConfigError: If the kind is unknown.
        ArtifactError: If the file cannot be read, names are missing or unexpected, a shape differs, or two names of
            one tensor hold different values.
    """
    require_option(kind, OFFICIAL_KINDS, what="kind of official checkpoint")
    if isinstance(path_or_state_dict, Mapping):
        where = f"state dict given as {kind}"
        tensors = as_tensors(path_or_state_dict, where=where)
    else:
        where = str(path_or_state_dict)
        tensors = read_checkpoint(Path(path_or_state_dict), trust_pickle=trust_pickle)
    return _BUILDERS[kind](tensors, where).eval()


@dataclass(frozen=True)
class LoadedWeights:
    """What became of a checkpoint's tensors.

    Args:
        origin: The file they came from, or `none`.
        loaded: Names of the backbone's parameters and buffers that were set.
        ignored: Names of the checkpoint's tensors that belong to no part of the backbone.
    """

    origin: str
    loaded: tuple[str, ...]
    ignored: tuple[str, ...]


def load_backbone(
    backbone: nn.Module, source: str, name: str, *, cache_dir: Path | None = None, trust_pickle: bool = False
) -> LoadedWeights:
    """Fill a backbone with published or own weights, in place.

    Args:
        backbone: Network to fill, from `build_backbone`.
        source: `imagenet` downloads torchvision's weights once and checks their hash; `none` leaves the backbone as
            it is; anything else is the path of a checkpoint in torchvision's layout (its `fc.*` is left out) or of a
            weakseg classifier or segmenter (its `backbone.*` is taken).
        name: The backbone's name, which selects the ImageNet weights.
        cache_dir: Folder of downloads; `torch.hub`'s checkpoint folder if None, which torchvision shares.
        trust_pickle: Let a pickle that holds more than tensors run its code; see `read_checkpoint`.

    Raises:
        ConfigError: If there are no ImageNet weights for this backbone.
        ArtifactError: If the download fails, or the file is missing, damaged or does not fit.
    """
    if source == "none":
        return LoadedWeights(origin="none", loaded=(), ignored=())
    if source == "imagenet":
        path = _download_imagenet(name, cache_dir)
    else:
        path = Path(source)
        if not path.is_file():
            raise ArtifactError(f"weights '{source}': expected 'imagenet', 'none' or a checkpoint file; no such file")
    tensors = read_checkpoint(path, trust_pickle=trust_pickle)
    if any(key.startswith("backbone.") for key in tensors):
        prefix, other_parts = "backbone.", _WEAKSEG_HEADS
    else:
        prefix, other_parts = "", _TORCHVISION_HEADS
    ignored = tuple(key for key in tensors if key.startswith(other_parts))
    state = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key not in ignored}
    fit_state(backbone, state, where=f"{path} as {name}")
    return LoadedWeights(origin=str(path), loaded=tuple(state), ignored=ignored)


def _download_imagenet(name: str, cache_dir: Path | None) -> Path:
    """Return the file of a backbone's ImageNet weights, downloading it unless it is there; its hash is checked."""
    if name not in IMAGENET_URLS:
        raise ConfigError(
            f"there are no ImageNet weights for '{name}'; set weights to 'none' or a path, "
            f"or choose a backbone that has them: {', '.join(sorted(IMAGENET_URLS))}"
        )
    url = IMAGENET_URLS[name]
    file_name = url.rsplit("/", 1)[-1]
    prefix = _hash_prefix(file_name)
    folder = Path(torch.hub.get_dir()) / "checkpoints" if cache_dir is None else cache_dir
    path = folder / file_name
    if path.is_file():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(prefix):
            raise ArtifactError(f"{path}: damaged, its SHA-256 begins {digest[:8]} instead of {prefix}; delete it")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # It writes to a temporary name and renames once the hash is right, so ranks may run it side by side.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise ArtifactError(
            f"could not download {url} ({error}); without a network, fetch it elsewhere and either put it at {path} "
            "or pass its path as weights"
        ) from error
    return path


def _hash_prefix(file_name: str) -> str:
    match = re.search(r"-([0-9a-f]{8})\.", file_name)
    assert match, f"the name of a published weight file carries its hash: {file_name}"
    return match.group(1)


def _build_resnet50_cam(tensors: Mapping[str, Tensor], where: str) -> Classifier:
    state = _merge_aliases(tensors, _cam_prefixes(), where=where)
    weight = state.get(_CLASSIFIER_WEIGHT)
    if weight is None or weight.ndim != 4:
        raise ArtifactError(f"{where}: expected '{_CLASSIFIER_WEIGHT}' of shape (C, 2048, 1, 1); is it resnet50_cam's?")
    classifier = build_classifier("resnet50", num_classes=weight.shape[0], freeze_trunk=True, fixed_norm=True)
    fit_state(classifier, state, where=where)
    return classifier


def _build_resnet50_irn(tensors: Mapping[str, Tensor], where: str) -> IRNet:
    irnet = build_irnet("resnet50")
    fit_state(irnet, _merge_aliases(tensors, _irn_prefixes(), where=where), where=where)
    return irnet


def _cam_prefixes() -> dict[str, str]:
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


def _irn_prefixes() -> dict[str, str]:
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


def _resnet_prefixes() -> dict[str, str]:
    """Return our prefix for each part of a ResNet under its plain name."""
    return {f"resnet50.{part}.": f"backbone.{part}." for part in _RESNET_PARTS}


def _merge_aliases(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str], *, where: str) -> dict[str, Tensor]:
    """Rename tensors by prefix and merge those that land on one name, which must then be equal."""
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
    if unexpected:
        raise ArtifactError(f"{where}: holds {len(unexpected)} unexpected parameters: {abridge(unexpected)}")
    return merged


_BUILDERS: dict[str, Callable[[Mapping[str, Tensor], str], nn.Module]] = {
    "resnet50_cam": _build_resnet50_cam,
    "resnet50_irn": _build_resnet50_irn,
}

OFFICIAL_KINDS: tuple[str, ...] = tuple(_BUILDERS)
"""Kinds of official checkpoints `load_official` reads."""
