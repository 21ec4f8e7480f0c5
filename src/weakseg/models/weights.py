"""Published weights: checkpoints of the official implementations, and ImageNet starts for backbones.

`load_official` rebuilds a network from an official checkpoint, `load_backbone` fills the backbone of a fresh one.
Names are translated by `weakseg.models.official_names`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.errors import ArtifactError
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.backbone import Backbone
from weakseg.models.checkpoints import as_tensors, fit_state, read_checkpoint
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.efficientnet_lite import LITE_NAMES, EfficientNetLite
from weakseg.models.imagenet import IMAGENET_URLS as IMAGENET_URLS
from weakseg.models.imagenet import download_imagenet
from weakseg.models.irnet import build_irnet
from weakseg.models.lite_weights import is_lite_checkpoint, locate_lite_weights, rename_lite
from weakseg.models.mxnet_params import read_mxnet_params
from weakseg.models.official_names import (
    RESNET_STEMS,
    cam_prefixes,
    irn_prefixes,
    merge_aliases,
    rename_mxnet_resnet38,
    resnet38_aff_prefixes,
    resnet38_cls_prefixes,
    resnet38_seam_prefixes,
)
from weakseg.models.registered import locate_registered, registered_names
from weakseg.models.seam import SEAM, build_seam
from weakseg.spelling import require_option

PLAIN_HEADS: tuple[str, ...] = ("fc.", "fc8.", "f8_", "f9.")
"""Prefixes of torchvision's head, and of those of PSA and SEAM."""

WEAKSEG_HEADS: tuple[str, ...] = (
    *("classifier.", "aspp."),
    *("edge.", "displacement.", "mean_displacement"),
    *("reduce_", "mix."),
    *("correlation.", "background_weight"),
)
"""Prefixes of what our own networks have beside a backbone."""

_CLASSIFIER_WEIGHT = "classifier.weight"
_MXNET_SUFFIX = ".params"


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
            `resnet50_irn`: the IRNet of IRN and RIB, which knows no classes. `resnet38_cls`: the classifier of PSA.
            `resnet38_aff`: the AffinityNet of PSA. `resnet38_seam`: SEAM.
        trust_pickle: Let a pickle that holds more than tensors run its code; see `read_checkpoint`.

    Returns:
        The network on the CPU, float32, in evaluation mode: for `resnet50_cam` and `resnet38_cls` a `Classifier`, for
        `resnet50_irn` an `IRNet`, for `resnet38_aff` an `AffinityNet`, for `resnet38_seam` a `SEAM`; trunks are frozen
        and batch norms fixed, as the authors train them.

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
    return _KINDS[kind].load(tensors, where).eval()


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
    backbone: Backbone, source: str, name: str, *, cache_dir: Path | None = None, trust_pickle: bool = False
) -> LoadedWeights:
    """Fill a backbone with published or own weights, in place.

    Args:
        backbone: Network to fill, from `build_backbone`.
        source: `imagenet` takes the file that a Python package carries for an EfficientNet-Lite, and downloads
            torchvision's weights once for a ResNet; either way the hash is checked. `none` leaves the backbone as
            it is; anything else is the path of a checkpoint in torchvision's or PSA's layout (its head is left out) or
            of a weakseg network (its `backbone.*` is taken), or, for `resnet38`, of MXNet weights (`.params`).
        name: The backbone's name, which selects the ImageNet weights.
        cache_dir: Folder of downloads; `torch.hub`'s checkpoint folder if None, which torchvision shares.
        trust_pickle: Let a pickle that holds more than tensors run its code; see `read_checkpoint`.

    Raises:
        ConfigError: If there are no ImageNet weights for this backbone.
        MissingExtra: If they come with a package that is not installed.
        ArtifactError: If the download fails, or the file is missing, damaged or does not fit.
    """
    if source == "none":
        return LoadedWeights(origin="none", loaded=(), ignored=())
    path = find_weights(source, name, cache_dir=cache_dir)
    if path.suffix == _MXNET_SUFFIX:
        state, ignored = rename_mxnet_resnet38(read_mxnet_params(path), where=str(path))
    else:
        tensors = read_checkpoint(path, trust_pickle=trust_pickle)
        _refuse_released(tensors, path)
        if isinstance(backbone, EfficientNetLite) and is_lite_checkpoint(tensors):
            tensors = rename_lite(tensors, repeats=backbone.repeats)
        state, ignored = _split_backbone(tensors, backbone.spare_parts)
    fit_state(backbone, state, where=f"{path} as {name}")
    return LoadedWeights(origin=str(path), loaded=tuple(state), ignored=ignored)


def find_weights(source: str, name: str, *, cache_dir: Path | None = None) -> Path:
    """Return the file that a backbone's weights are read from; ImageNet's are downloaded unless they are there.

    Args:
        source: As for `load_backbone`, but not `none`.
        name: The backbone's name.
        cache_dir: As for `load_backbone`.

    Raises:
        ConfigError: If there are no ImageNet weights for this backbone.
        MissingExtra: If they come with a package that is not installed.
        ArtifactError: If there is no such file, the download fails or what was downloaded is damaged.
    """
    if source == "imagenet":
        if name in registered_names(stages=True, levels=True):
            return locate_registered(name)
        return locate_lite_weights(name) if name in LITE_NAMES else download_imagenet(name, cache_dir)
    path = Path(source)
    if not path.is_file():
        raise ArtifactError(f"weights '{source}': expected 'imagenet', 'none' or a checkpoint file; no such file")
    return path


def _refuse_released(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise an `ArtifactError` for a checkpoint of IRN or RIB, whose parts are named otherwise (`stage1.0.weight`)."""
    if any(name.startswith(RESNET_STEMS) for name in tensors):
        raise ArtifactError(
            f"{path}: a whole network of the released IRN or RIB code, expected a backbone in torchvision's layout or "
            "a file of weakseg; a run takes it, as it is, for classifier.released or refine.irn.released"
        )


def _split_backbone(
    tensors: Mapping[str, Tensor], spare_parts: tuple[str, ...]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return a checkpoint's tensors of the backbone by their names in it, and the names of heads and spare parts."""
    if any(key.startswith("backbone.") for key in tensors):
        prefix, heads = "backbone.", WEAKSEG_HEADS
    else:
        prefix, heads = "", PLAIN_HEADS
    other_parts = (*heads, *(prefix + part for part in spare_parts))
    ignored = tuple(key for key in tensors if key.startswith(other_parts))
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key not in ignored}, ignored


@dataclass(frozen=True)
class _Kind:
    """How one kind of official checkpoint becomes a network.

    Args:
        prefixes: Returns our prefix for each official prefix.
        build: Returns the network, of any weights, for renamed tensors; the string is for error messages.
        finish: Changes what renaming alone does not bring into our form.
    """

    prefixes: Callable[[], Mapping[str, str]]
    build: Callable[[Mapping[str, Tensor], str], nn.Module]
    finish: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict

    def load(self, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
        """Return the network with the checkpoint's weights."""
        state = self.finish(merge_aliases(tensors, self.prefixes(), where=where))
        network = self.build(state, where)
        fit_state(network, state, where=where)
        return network


def _build_as_trained(
    name: str, official_weight: str, channels: int, state: Mapping[str, Tensor], where: str
) -> Classifier:
    """Build a classifier for as many classes as the state has, set up as its authors train it."""
    num_classes = _count_classes(official_weight, channels, state, where)
    return build_classifier(name, num_classes=num_classes, freeze_trunk=True, fixed_norm=True)


def _build_seam(state: Mapping[str, Tensor], where: str) -> SEAM:
    """Build a SEAM for as many classes as the state has, set up as its authors train it."""
    num_classes = _count_classes("fc8.weight", 4096, state, where)
    return build_seam("resnet38", num_classes=num_classes, freeze_trunk=True, fixed_norm=True)


def _split_background(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Part the weights that score the background from those of the classes, which come behind it."""
    weight = state.get(_CLASSIFIER_WEIGHT)
    if weight is None or weight.ndim != 4:
        return state  # `_count_classes` refuses it
    return state | {_CLASSIFIER_WEIGHT: weight[1:], "background_weight": weight[:1]}


def _count_classes(official_weight: str, channels: int, state: Mapping[str, Tensor], where: str) -> int:
    """Return the number of classes that a state's classifier scores, whose weight has that official name."""
    weight = state.get(_CLASSIFIER_WEIGHT)
    if weight is None or weight.ndim != 4:
        raise ArtifactError(
            f"{where}: expected '{official_weight}' of shape (C, {channels}, 1, 1), got "
            f"{'none' if weight is None else tuple(weight.shape)}; is the checkpoint of another kind?"
        )
    return weight.shape[0]


_KINDS = {
    "resnet50_cam": _Kind(cam_prefixes, partial(_build_as_trained, "resnet50", "classifier.weight", 2048)),
    "resnet50_irn": _Kind(irn_prefixes, lambda state, where: build_irnet("resnet50")),
    "resnet38_cls": _Kind(resnet38_cls_prefixes, partial(_build_as_trained, "resnet38", "fc8.weight", 4096)),
    "resnet38_seam": _Kind(resnet38_seam_prefixes, _build_seam, finish=_split_background),
    "resnet38_aff": _Kind(
        resnet38_aff_prefixes,
        lambda state, where: build_affinitynet("resnet38", freeze_trunk=True, fixed_norm=True),
    ),
}

OFFICIAL_KINDS: tuple[str, ...] = tuple(_KINDS)
"""Kinds of official checkpoints `load_official` reads."""
