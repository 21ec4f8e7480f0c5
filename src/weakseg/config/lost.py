"""Methods whose package is gone: recipes made with them still open, so that what they have made can be used.

A resolved recipe names the packages of the methods that are not ours, under `packages`. The section of one that is not
there is kept as it is.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.registry import BACKBONES, LOCALIZERS, REFINERS, Registry

logger = logging.getLogger("weakseg")

Section = TypeVar("Section")

PACKAGES = "packages"
"""The part of a resolved recipe that names other packages: `localize.tint: weakseg-tint 0.1`."""

_BACKBONE = "backbone"

_REGISTRIES: dict[str, Registry[Any]] = {"localize": LOCALIZERS, "refine": REFINERS}


@dataclass(frozen=True)
class LostSettings:
    """The settings of a method that is not there; they are its fields, of any plain type.

    Attributes:
        package: The package that brings it.
    """

    package: ClassVar[str] = ""

    def describe(self, name: str) -> str:
        """Say what is missing, of the method's name."""
        return f"'{name}' comes from the package {self.package}, which is not installed or cannot be loaded"


@dataclass(frozen=True)
class KnownRecipe:
    """A recipe without what no installed package knows.

    Args:
        settings: What is known.
        lost: By stage, the chosen method that is not there, its package and its settings.
    """

    settings: dict[str, JsonValue]
    lost: Mapping[str, tuple[str, str, Mapping[str, JsonValue]]]


def part_lost(recipe: Mapping[str, JsonValue]) -> KnownRecipe:
    """Take out of a recipe the sections of methods whose package is gone, and the list of packages.

    Raises:
        ConfigError: If the package of a backbone is gone.
    """
    settings, packages = dict(recipe), recipe.get(PACKAGES)
    if not isinstance(packages, dict):
        return KnownRecipe(settings, {})
    del settings[PACKAGES]
    lost: dict[str, tuple[str, str, Mapping[str, JsonValue]]] = {}
    for path, package in packages.items():
        stage, _, name = path.partition(".")
        if stage == _BACKBONE and name not in BACKBONES.names():
            raise ConfigError(
                f"backbone '{name}' comes from the package {package}, which is not installed; install it, without it "
                "networks cannot be built"
            )
        section, registry = settings.get(stage), _REGISTRIES.get(stage)
        if not isinstance(section, dict) or registry is None or registry.is_usable(name):
            continue
        own = section.get(name, {})
        settings[stage] = {key: value for key, value in section.items() if key != name}
        if section.get("method") == name and isinstance(own, dict):
            lost[stage] = (name, str(package), own)
    return KnownRecipe(settings, lost)


def keep_lost(stage: str, section: Section, known: KnownRecipe) -> Section:
    """Return a stage's section with the settings of the method that is not there, and tell of it."""
    if stage not in known.lost:
        return section
    name, package, values = known.lost[stage]
    settings = _freeze(values, package)
    _tell_once(f"{stage}.method: {settings.describe(name)}; what it has made can be used, not made again")
    own = (name, LostSettings, dataclasses.field(default=settings))
    kind = dataclasses.make_dataclass(type(section).__name__, [own], bases=(type(section),), frozen=True)
    given = {item.name: getattr(section, item.name) for item in dataclasses.fields(section)}  # type: ignore[arg-type]
    found: Section = kind(**given)
    return found


def name_packages(config: RunConfig) -> dict[str, JsonValue]:
    """Name the packages of the methods and backbones that a configuration has, this one left out."""
    found: dict[str, JsonValue] = {}
    for stage, registry in _REGISTRIES.items():
        section = getattr(config, stage)
        for name in sorted({section.method, *(item.name for item in dataclasses.fields(section))}):
            own = getattr(section, name, None)
            if isinstance(own, LostSettings):
                found[f"{stage}.{name}"] = own.package
            elif registry.is_usable(name) and not registry.is_own(name):
                found[f"{stage}.{name}"] = registry.entries()[name].package
    trained = [facts.settings_in(config.refine) for facts in REFINERS.usable() if facts.trains is not None]
    networks = [config.classifier.name, *(settings.name for settings in trained), config.segmenter.name]
    for name in dict.fromkeys(networks):
        if name in BACKBONES.names() and not BACKBONES.is_own(name):
            found[f"{_BACKBONE}.{name}"] = BACKBONES.entries()[name].package
    return found


def _freeze(values: Mapping[str, JsonValue], package: str) -> LostSettings:
    """Make a dataclass of plain values, so that it is written, and fingerprinted, as the section was."""
    fields = [(name, object, _field(value, package)) for name, value in values.items()]
    kind = dataclasses.make_dataclass(
        "LostSettings", fields, bases=(LostSettings,), frozen=True, namespace={"package": package}
    )
    found: LostSettings = kind()
    return found


def _field(value: JsonValue, package: str) -> Any:
    if isinstance(value, dict):
        return dataclasses.field(default=_freeze(value, package))
    return dataclasses.field(default=tuple(value) if isinstance(value, list) else value)


@cache
def _tell_once(message: str) -> None:
    logger.warning("%s", message)
