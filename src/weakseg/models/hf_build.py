"""Building networks of `transformers` for our labels: with the weights they come with, random ones, or from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.models.checkpoints import abridge
from weakseg.models.hf_config import NetworkConfig, make_config, plain_config, read_architecture
from weakseg.models.hf_networks import build_random, learning_names, load_pretrained
from weakseg.models.hf_segmenter import HFSegmenter, find_backbone
from weakseg.models.hf_source import (
    NetworkSource,
    import_transformers,
    read_config,
    read_input_format,
    require_weights,
)
from weakseg.models.randomness import seeded_draws


def build_hf_segmenter(
    source: NetworkSource,
    *,
    label_names: Sequence[str],
    pretrained: bool,
    fixed_norm: bool,
    generator: torch.Generator | None = None,
) -> tuple[HFSegmenter, tuple[str, ...]]:
    """Build a network for our labels, on the CPU and in training mode.

    Args:
        source: Where it was found.
        label_names: Name of each label, the background first; they replace the network's own.
        pretrained: Whether to take the weights that came with it, as far as they fit. What scores the labels is fresh,
            unless the network was made for just these labels.
        fixed_norm: See `HFSegmenter`.
        generator: Source of random weights; torch's global one if None.

    Returns:
        The network, and the names of the parameters that start from random values.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the network is not one of semantic segmentation, its configuration is wrong, or it takes images
            of one size alone.
        ArtifactError: If weights were asked for and are missing, damaged or another network's.
    """
    values = read_config(source)
    config = _make_config(values, label_names, where=str(source.config))
    seed = int(torch.randint(2**62, (), generator=generator))
    with seeded_draws(torch.device("cpu"), seed):
        if pretrained:
            network, fresh = _load_pretrained(config, source)
            if _labels_of(values) != tuple(label_names):
                fresh |= _forget_labels(network, values, label_names)
        else:
            network = _build(config, where=str(source.config))
            fresh = {name for name, _ in network.named_parameters()}
    segmenter = HFSegmenter(
        network,
        config=plain_config(config),
        num_labels=len(label_names),
        input_format=read_input_format(source),
        fixed_norm=fixed_norm,
    )
    return segmenter, learning_names(network, fresh)


def rebuild_hf_segmenter(
    info: Mapping[str, JsonValue], *, label_names: Sequence[str], fixed_norm: bool, where: str
) -> HFSegmenter:
    """Build the network that a weights file describes, with random weights; nothing but `info` is read.

    Args:
        info: What `HFSegmenter.architecture` returned, among other entries.
        label_names: Name of each label, the background first.
        fixed_norm: See `HFSegmenter`.
        where: The file, for error messages.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ArtifactError: If there is no such description, or it is wrong.
        ConfigError: If this version of `transformers` does not know the network.
    """
    values, input_format = read_architecture(info, where=where)
    config = _make_config(values, label_names, where=where)
    return HFSegmenter(
        _build(config, where=where),
        config=plain_config(config),
        num_labels=len(label_names),
        input_format=input_format,
        fixed_norm=fixed_norm,
    )


def labels_pixels(values: Mapping[str, JsonValue]) -> bool:
    """Say whether a configuration is that of a family with networks of semantic segmentation."""
    return values.get("model_type") in _families()


def _families() -> Collection[str]:
    names: Collection[str] = (
        import_transformers().models.auto.modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
    )
    return names


def _make_config(values: Mapping[str, JsonValue], label_names: Sequence[str], *, where: str) -> NetworkConfig:
    """Turn plain values into a configuration for our labels, without the head that serves a second loss."""
    config = make_config(values, _families(), expected="a network of semantic segmentation", where=where)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: label for label, name in enumerate(label_names)}
    if hasattr(config, "use_auxiliary_head"):
        config.use_auxiliary_head = False
    return config


def _build(config: NetworkConfig, *, where: str) -> nn.Module:
    return build_random(import_transformers().AutoModelForSemanticSegmentation, config, where=where)


def _load_pretrained(config: NetworkConfig, source: NetworkSource) -> tuple[nn.Module, set[str]]:
    """Build a network with the weights that came with it; also return the names of those that did not."""
    folder = require_weights(source)
    maker = import_transformers().AutoModelForSemanticSegmentation
    loaded = load_pretrained(maker, config, folder, ignore_mismatched_sizes=True)
    network, fresh = loaded.network, {*loaded.missing, *loaded.mismatched}
    backbone = find_backbone(network)
    below = [f"{backbone}.{name}" for name, _ in network.get_submodule(backbone).named_parameters()]
    if fresh.issuperset(below):
        raise ArtifactError(f"{folder}: its weights are another network's; none of {abridge(below)} is there")
    return network, fresh


def _labels_of(values: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the names of the labels that a network was made for, or nothing where it does not tell."""
    names = values.get("id2label")
    if not isinstance(names, Mapping):
        return ()
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _forget_labels(network: nn.Module, values: Mapping[str, JsonValue], label_names: Sequence[str]) -> set[str]:
    """Draw anew the parameters that score the labels, and return their names.

    Where the numbers of labels differ, the library has done so; where they happen to be equal, it has kept what scores
    labels of other names. The parameters are those whose shape depends on the number of labels.
    """
    one_more = _build(
        _make_config(values, [*label_names, "another"], where="the same network"), where="the same network"
    )
    drawn: dict[str, Tensor] = dict(one_more.named_parameters())
    names = {name for name, parameter in network.named_parameters() if parameter.shape != drawn[name].shape}
    with torch.no_grad():
        for name in names:
            parameter = network.get_parameter(name)
            parameter.copy_(drawn[name][: len(parameter)])
    return names
