"""Backbones that bring what builds them: registered under `weakseg.backbones`, ours or another package's.

`docs/plugins.md` shows how to write one. Importing this imports no torch, so that help texts stay quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weakseg.errors import ConfigError
from weakseg.methods import BackboneFacts
from weakseg.registry import BACKBONES

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from weakseg.models.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class RegisteredBackbone(BackboneFacts):
    """A backbone and what builds it.

    Args:
        build: Returns it with random weights, of whether it is the form that segments (`dense`), whether batch norm
            keeps its running statistics, and the source of the weights. What it must show is in
            `weakseg.models.backbone.Backbone`, `weakseg.models.resnet.ResNet` and `weakseg.models.resnet38.ResNet38`.
        find_imagenet: Returns the file of its ImageNet weights, `.pth` or `.safetensors`, whose tensors are named as
            its own; None if there are none.
    """

    build: Callable[[bool, bool, torch.Generator | None], Backbone]
    find_imagenet: Callable[[], Path] | None = None


def registered_names(*, stages: bool = False, levels: bool = False) -> tuple[str, ...]:
    """Return the names of backbones that bring what builds them and show stages, or features of three depths."""
    found = [
        facts
        for facts in BACKBONES.usable()
        if isinstance(facts, RegisteredBackbone) or not BACKBONES.is_own(facts.name)
    ]
    return tuple(facts.name for facts in found if (stages and facts.stages) or (levels and facts.levels))


def find_registered(name: str) -> RegisteredBackbone:
    """Import a backbone that brings what builds it.

    Raises:
        ConfigError: If there is none of this name, or its package cannot be imported or builds none.
    """
    return BACKBONES.load_as(name, RegisteredBackbone)


def locate_registered(name: str) -> Path:
    """Return the file of the ImageNet weights of a backbone that brings what builds it.

    Raises:
        ConfigError: If it has none.
    """
    find = find_registered(name).find_imagenet
    if find is None:
        raise ConfigError(f"there are no ImageNet weights for '{name}'; set weights to 'none' or a path")
    return find()
