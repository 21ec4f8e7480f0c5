"""Methods and backbones by name, ours and those of other packages: entry points, listed without importing anything.

A package adds a localiser by one line in its `pyproject.toml` (docs/plugins.md):

    [project.entry-points."weakseg.localizers"]
    tint = "weakseg_tint:TINT"

Ours come in by the same groups. They are named here as well, since a source checkout has no installed metadata;
`tests/test_registry.py` holds the two tables equal.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from weakseg.errors import ConfigError
from weakseg.methods import BackboneFacts, LocalizerFacts, RefinerFacts
from weakseg.spelling import nearest

logger = logging.getLogger("weakseg")

Item = TypeVar("Item")
Kind = TypeVar("Kind")

OWN_PACKAGE = "weakseg"

BUILT_IN: dict[str, dict[str, str]] = {
    "weakseg.localizers": {
        "cam": "weakseg.localize.cam:CAM",
        "rib": "weakseg.localize.rib:RIB",
        "lpcam": "weakseg.localize.lpcam:LPCAM",
        "clip_es": "weakseg.localize.clip_es:CLIP_ES",
        "sam3": "weakseg.localize.sam3:SAM3",
    },
    "weakseg.refiners": {
        "none": "weakseg.refine.none:NONE",
        "crf": "weakseg.refine.crf:CRF",
        "irn": "weakseg.refine.irn:IRN",
        "psa": "weakseg.refine.psa:PSA",
        "par": "weakseg.refine.par:PAR",
        "merge": "weakseg.refine.merge:MERGE",
    },
    "weakseg.backbones": {
        name: f"weakseg.models.own_backbones:{name.upper()}"
        for name in (
            "critter",
            "critter38",
            "efficientnet_lite0",
            "efficientnet_lite1",
            "efficientnet_lite2",
            "resnet18",
            "resnet38",
            "resnet50",
            "resnet101",
        )
    },
}
"""What comes with this package, by group and name; `pyproject.toml` says the same."""


@dataclass(frozen=True)
class Entry:
    """Where something registered is found.

    Args:
        name: Its name.
        place: `module:attribute`.
        package: The package that brings it, and its version.
    """

    name: str
    place: str
    package: str


@dataclass(frozen=True)
class Registry(Generic[Item]):
    """What is registered in one group.

    Args:
        group: The group of entry points.
        kind: What each entry must be.
        what: One of them in words, for messages.
    """

    group: str
    kind: type[Item]
    what: str

    def entries(self) -> Mapping[str, Entry]:
        """Return where everything is found, by name: ours first, then others by name.

        Raises:
            ConfigError: If two packages use the same name.
        """
        return _find_entries(self.group, self.what)

    def names(self) -> tuple[str, ...]:
        """Return all names, without importing anything."""
        return tuple(self.entries())

    def load(self, name: str) -> Item:
        """Import what has a name.

        Raises:
            ConfigError: If nothing has, or its package cannot be imported or registers something else.
        """
        entry = self.entries().get(name)
        if entry is None:
            raise ConfigError(f"there is no {self.what} '{name}'; {nearest(name, self.names())}")
        found = _import_place(entry, self.what)
        if not isinstance(found, self.kind):
            raise ConfigError(
                f"{self.what} '{name}' of the package {entry.package}: expected {entry.place} to be a "
                f"{self.kind.__name__}, got {type(found).__name__}; update or uninstall {_plain_name(entry.package)}"
            )
        own_name = getattr(found, "name", name)
        if own_name != name:
            raise ConfigError(
                f"{self.what} '{name}' of the package {entry.package}: {entry.place} calls itself '{own_name}'; update "
                f"or uninstall {_plain_name(entry.package)}"
            )
        return found

    def load_as(self, name: str, kind: type[Kind]) -> Kind:
        """Import what has a name and can do its work, which its facts alone, `Registry.kind`, cannot.

        Raises:
            ConfigError: See `load`; or if it is not of this kind.
        """
        found = self.load(name)
        if not isinstance(found, kind):
            raise ConfigError(
                f"{self.what} '{name}': expected a {kind.__module__}.{kind.__name__}, got {type(found).__name__}"
            )
        return found

    def usable(self) -> tuple[Item, ...]:
        """Import everything; what cannot be imported is left out and told of, since another may well be used."""
        found = []
        for name in self.entries():
            try:
                found.append(self.load(name))
            except ConfigError as error:
                _warn_once(str(error))
        return tuple(found)

    def is_usable(self, name: str) -> bool:
        """Say whether something that can be imported has a name."""
        return any(getattr(item, "name", None) == name for item in self.usable())

    def is_own(self, name: str) -> bool:
        """Say whether it comes with this package."""
        return name in BUILT_IN[self.group]


LOCALIZERS: Registry[LocalizerFacts[Any]] = Registry("weakseg.localizers", LocalizerFacts, "localiser")
REFINERS: Registry[RefinerFacts[Any]] = Registry("weakseg.refiners", RefinerFacts, "refiner")
BACKBONES: Registry[BackboneFacts] = Registry("weakseg.backbones", BackboneFacts, "backbone")


@cache
def _find_entries(group: str, what: str) -> Mapping[str, Entry]:
    found = {name: Entry(name, place, OWN_PACKAGE) for name, place in BUILT_IN[group].items()}
    others: list[Entry] = []
    for point in entry_points(group=group):
        package = "an unknown package" if point.dist is None else point.dist.name
        if package != OWN_PACKAGE:
            version = "" if point.dist is None else f" {point.dist.version}"
            others.append(Entry(point.name, point.value, f"{package}{version}"))
    for entry in sorted(set(others), key=lambda entry: (entry.name, entry.package)):
        if entry.name in found:
            raise ConfigError(
                f"{what} '{entry.name}' is registered by {found[entry.name].package} and by {entry.package}; uninstall "
                "one of them"
            )
        found[entry.name] = entry
    return found


@cache
def _import_place(entry: Entry, what: str) -> object:
    module, _, attribute = entry.place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # whatever a stranger's module does must not end in a traceback of ours
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{what} '{entry.name}' of the package {entry.package} cannot be loaded: {reason}; update or uninstall "
            f"{_plain_name(entry.package)}"
        ) from error


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def _plain_name(package: str) -> str:
    return package.split(" ")[0]
