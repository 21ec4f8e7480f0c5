"""Networks of `transformers` with random weights or with those they come with; what goes wrong is one line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import torch
from torch import nn

from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.hf_config import NetworkConfig
from weakseg.models.hf_source import first_line, quiet_transformers


class NetworkMaker(Protocol):
    """What makes networks of a configuration: one of the library's `Auto` classes."""

    def from_config(self, config: NetworkConfig, *, dtype: torch.dtype) -> nn.Module:
        """Build a network with random weights."""
        ...


class LoadingInfo(TypedDict):
    """What loading tells of names: without weights, and (followed by two shapes) with weights of another shape."""

    missing_keys: Collection[str]
    mismatched_keys: Collection[tuple[str, ...]]


class NetworkLoader(Protocol):
    """What loads networks: one of the library's classes."""

    def from_pretrained(
        self,
        folder: str,
        /,
        *,
        config: NetworkConfig,
        dtype: torch.dtype,
        ignore_mismatched_sizes: bool,
        local_files_only: bool,
        output_loading_info: bool,
        weights_only: bool,
    ) -> tuple[nn.Module, LoadingInfo]:
        """Build a network with the weights in a folder, and tell which of its weights were not there."""
        ...


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network with the weights it came with.

    Args:
        network: The network.
        missing: Names of its parameters and buffers for which there were no weights.
        mismatched: Names of those whose weights had another shape.
    """

    network: nn.Module
    missing: frozenset[str]
    mismatched: frozenset[str]


def build_random(maker: NetworkMaker, config: NetworkConfig, *, where: str) -> nn.Module:
    """Build a network with random weights, in float32.

    Args:
        maker: Of which kind.
        config: Its configuration.
        where: The file that this is from, for messages.

    Raises:
        ConfigError: If the library cannot build it.
    """
    try:
        return maker.from_config(config, dtype=torch.float32)
    except Exception as error:  # whatever a network's code raises on settings that contradict each other
        raise ConfigError(f"{where}: transformers cannot build this network ({first_line(error)})") from error


def load_pretrained(
    loader: NetworkLoader, config: NetworkConfig, folder: Path, *, ignore_mismatched_sizes: bool = False
) -> PretrainedNetwork:
    """Build a network with the weights in a folder, in float32; nothing is downloaded.

    Args:
        loader: Of which kind.
        config: Its configuration.
        folder: Where its weights lie.
        ignore_mismatched_sizes: Whether weights of other shapes are left out, rather than refused.

    Raises:
        ArtifactError: If the weights cannot be loaded.
    """
    try:
        with quiet_transformers():
            network, found = loader.from_pretrained(
                str(folder),
                config=config,
                dtype=torch.float32,
                ignore_mismatched_sizes=ignore_mismatched_sizes,
                local_files_only=True,
                output_loading_info=True,
                weights_only=True,
            )
    except Exception as error:  # unpickling, safetensors, and the network's own code
        raise ArtifactError(f"{folder}: cannot load its weights ({first_line(error)})") from error
    mismatched = frozenset(name for name, *_ in found["mismatched_keys"])
    return PretrainedNetwork(network, frozenset(found["missing_keys"]), mismatched)


def learning_names(network: nn.Module, fresh: Collection[str]) -> tuple[str, ...]:
    """Return those of the names `fresh` whose parameters learn, in the network's order."""
    return tuple(name for name, p in network.named_parameters() if name in fresh and p.requires_grad)
