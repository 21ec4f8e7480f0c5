"""Configurations of networks of `transformers`: from plain values to the library's own, into weights files and back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Protocol

from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue
from weakseg.models.hf_source import InputFormat, first_line, import_transformers

ARCHITECTURE = "transformers"
"""Entry of a weights file's information that rebuilds the network."""

VERSION = "transformers_version"
"""Setting of a configuration that says which version of the library wrote it."""

_REPLACED_SETTINGS = ("id2label", "label2id", "num_labels", "_name_or_path")
"""Settings of a configuration that are ours to say, or of no use elsewhere."""


class NetworkConfig(Protocol):
    """What is used of a `PreTrainedConfig`."""

    id2label: dict[int, str]
    label2id: dict[str, int]
    use_auxiliary_head: bool
    reshape_hidden_states: bool
    stage_names: list[str]
    out_features: list[str]

    def to_json_string(self, *, use_diff: bool) -> str:
        """Return the settings as JSON."""
        ...


def make_config(
    values: Mapping[str, JsonValue], families: Collection[str], *, expected: str, where: str
) -> NetworkConfig:
    """Turn plain values into a configuration of the library.

    Args:
        values: What a `config.json` holds.
        families: The values of `model_type` that will do.
        expected: What networks of these families are, for messages.
        where: The file, for messages.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the family is none of these, or the values are no configuration of it.
    """
    transformers = import_transformers()
    family = values.get("model_type")
    if family not in families:
        raise ConfigError(
            f"{where}: expected {expected}, got model_type '{family}'; transformers {transformers.__version__} has "
            f"{', '.join(sorted(families))}"
        )
    kept = {name: value for name, value in values.items() if name not in _REPLACED_SETTINGS}
    try:
        config: NetworkConfig = transformers.CONFIG_MAPPING[family].from_dict(kept)
    except Exception as error:  # each version of the library complains by other kinds
        raise ConfigError(f"{where}: not a configuration of {family} ({first_line(error)})") from error
    return config


def plain_config(config: NetworkConfig) -> dict[str, JsonValue]:
    """Return a configuration as plain values, complete, so that later defaults do not change it."""
    values: dict[str, JsonValue] = json.loads(config.to_json_string(use_diff=False))
    values[VERSION] = str(import_transformers().__version__)  # the library itself does not always say it
    return {name: value for name, value in values.items() if name != "_name_or_path"}


def describe_architecture(config: Mapping[str, JsonValue], input_format: InputFormat) -> dict[str, JsonValue]:
    """Return the entry of a weights file's information from which `read_architecture` rebuilds the arguments."""
    return {ARCHITECTURE: {"config": dict(config), "input_format": input_format.to_json()}}


def read_architecture(info: Mapping[str, JsonValue], *, where: str) -> tuple[dict[str, JsonValue], InputFormat]:
    """Return the configuration and the input format that `describe_architecture` wrote among other entries.

    Args:
        info: What a weights file says of itself.
        where: The file, for messages.

    Raises:
        ArtifactError: If there is no such entry, or it is damaged.
    """
    entry = info.get(ARCHITECTURE)
    try:
        if not isinstance(entry, Mapping) or not isinstance(entry["config"], Mapping):
            raise TypeError(f"got {entry!r}")
        return dict(entry["config"]), InputFormat.from_json(entry["input_format"])
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactError(f"{where}: expected the configuration of a network of transformers ({error})") from None


def explain_version(info: Mapping[str, JsonValue]) -> str:
    """Return what to add to a complaint that a weights file does not fit, or nothing.

    The library has renamed parameters in memory between versions, and a weights file holds the names in memory.
    """
    entry = info.get(ARCHITECTURE)
    config = entry.get("config") if isinstance(entry, Mapping) else None
    written = config.get(VERSION) if isinstance(config, Mapping) else None
    if written is None:
        return ""
    installed = import_transformers().__version__
    if written == installed:
        return ""
    return f"; it is of transformers {written}, whose names may not be those of {installed} here: install the former"
