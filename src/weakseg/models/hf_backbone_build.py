"""Building backbones of `transformers`: with the weights they come with, with random ones, or from a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue
from weakseg.models.checkpoints import abridge
from weakseg.models.hf_backbone import NUM_STAGES, HFBackbone
from weakseg.models.hf_config import NetworkConfig, make_config, plain_config, read_architecture
from weakseg.models.hf_networks import NetworkLoader, build_random, learning_names, load_pretrained
from weakseg.models.hf_source import (
    InputFormat,
    NetworkSource,
    first_line,
    import_transformers,
    read_config,
    read_input_format,
    require_weights,
)
from weakseg.models.randomness import seeded_draws

_FOREIGN = ("timm_backbone",)
"""Backbones that transformers only passes on to another library."""


def build_hf_backbone(
    source: NetworkSource, *, pretrained: bool, fixed_norm: bool, generator: torch.Generator | None = None
) -> tuple[HFBackbone, tuple[str, ...]]:
    """Build a backbone, on the CPU and in training mode.

    Args:
        source: Where it was found; whatever head its configuration is for is left out.
        pretrained: Whether to take the weights that came with it.
        fixed_norm: See `HFBackbone`.
        generator: Source of random weights; torch's global one if None.

    Returns:
        The backbone, and the names of its parameters that learn and start from random values.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the network is no backbone, its configuration is wrong, or it takes images of one size alone.
        ArtifactError: If weights were asked for and are missing, damaged or another network's.
    """
    config = _make_config(read_config(source), where=str(source.config))
    seed = int(torch.randint(2**62, (), generator=generator))
    with seeded_draws(torch.device("cpu"), seed):
        network = _build(config, where=str(source.config))
        fresh = {name for name, _ in network.named_parameters()}
        if pretrained:
            network, fresh = _load_pretrained(network, config, source)
    backbone = _wrap(network, config, read_input_format(source), fixed_norm=fixed_norm, where=str(source.config))
    return backbone, learning_names(network, fresh)


def rebuild_hf_backbone(info: Mapping[str, JsonValue], *, fixed_norm: bool, where: str) -> HFBackbone:
    """Build the backbone that a weights file describes, with random weights; nothing but `info` is read.

    Args:
        info: What `HFBackbone.architecture` returned, among other entries.
        fixed_norm: See `HFBackbone`.
        where: The file, for error messages.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ArtifactError: If there is no such description, or it is wrong.
        ConfigError: If this version of `transformers` does not know the network.
    """
    values, input_format = read_architecture(info, where=where)
    config = _make_config(values, where=where)
    return _wrap(_build(config, where=where), config, input_format, fixed_norm=fixed_norm, where=where)


def _make_config(values: Mapping[str, JsonValue], *, where: str) -> NetworkConfig:
    """Turn plain values into a configuration that asks for the feature maps of five depths, the last among them."""
    names = import_transformers().models.auto.modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES
    families = [name for name in names if name not in _FOREIGN]
    config = make_config(values, families, expected="a network with feature maps", where=where)
    try:
        if hasattr(config, "reshape_hidden_states"):
            config.reshape_hidden_states = True
        last = len(config.stage_names) - 1
        chosen = sorted({round(k * last / (NUM_STAGES - 1)) for k in range(NUM_STAGES)})
        config.out_features = [config.stage_names[index] for index in chosen]
    except Exception as error:  # whatever a configuration's code raises on settings that contradict each other
        raise ConfigError(f"{where}: the stages of this network cannot be chosen ({first_line(error)})") from error
    return config


def _build(config: NetworkConfig, *, where: str) -> nn.Module:
    return build_random(import_transformers().AutoBackbone, config, where=where)


def _wrap(
    network: nn.Module, config: NetworkConfig, input_format: InputFormat, *, fixed_norm: bool, where: str
) -> HFBackbone:
    try:
        return HFBackbone(network, config=plain_config(config), input_format=input_format, fixed_norm=fixed_norm)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _load_pretrained(network: nn.Module, config: NetworkConfig, source: NetworkSource) -> tuple[nn.Module, set[str]]:
    """Build a network anew with the weights that came with it; also return the names of those that did not."""
    folder = require_weights(source)
    # Not by `AutoBackbone`, which asks the hub about every folder.
    loaded = load_pretrained(cast(NetworkLoader, type(network)), config, folder)
    names = [name for name, _ in loaded.network.named_parameters()]
    if loaded.missing.issuperset(name for name in names if "hidden_states_norms" not in name):
        raise ArtifactError(f"{folder}: its weights are another network's; none of {abridge(names)} is there")
    return loaded.network, set(loaded.missing)
