"""Settings as Python has them, `{"classifier.epochs": 30}`, laid over a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from weakseg.config.length import NETWORKS
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue

SettingValue = JsonValue | Path

Settings = Mapping[str, SettingValue]
"""Values by dotted name, as `weakseg run RECIPE --help` lists them."""


def resolve(recipe: str, *settings: Settings) -> RunConfig:
    """Resolve a recipe with settings over it.

    Args:
        recipe: Name of a built-in recipe, or path of a YAML file.
        settings: Later ones win. A value may also be a section: `{"refine.crf": {"iterations": 5}}`.

    Raises:
        ConfigError: If there is no such recipe or setting, or a value is wrong.
    """
    document = read_recipe(recipe)
    for given in settings:
        for name, value in given.items():
            document = _lay_over(document, name.split("."), str(value) if isinstance(value, Path) else value, name)
        for network in NETWORKS:
            if _says(given, network, "epochs") and not _says(given, network, "min_updates"):
                document = _lay_over(document, [network, "min_updates"], None, network)
    return build_config(document)


def _says(given: Settings, network: str, name: str) -> bool:
    section = given.get(network)
    return f"{network}.{name}" in given or (isinstance(section, Mapping) and name in section)


def _lay_over(document: Mapping[str, JsonValue], parts: list[str], value: JsonValue, name: str) -> dict[str, JsonValue]:
    """Return a section with one value below it replaced; sections are merged, lists are replaced."""
    key, *rest = parts
    before = document.get(key)
    if rest:
        if before is not None and not isinstance(before, Mapping):
            raise ConfigError(f"{name}: expected a section above '{rest[0]}', but {key} is {before!r}")
        value = _lay_over(before or {}, rest, value, name)
    elif isinstance(before, Mapping) and isinstance(value, Mapping):
        for below, inner in value.items():
            before = _lay_over(before, [below], inner, name)
        value = before
    return {**document, key: list(value) if isinstance(value, tuple) else value}
