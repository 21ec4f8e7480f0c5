"""The methods a recipe chooses: what they say of themselves, and whether they are there at all."""

from __future__ import annotations

from typing import Any

from weakseg.config.lost import LostSettings
from weakseg.config.schema import LocalizeConfig, RefineConfig, RunConfig
from weakseg.errors import ConfigError
from weakseg.methods import LocalizerFacts, MethodFacts, RefinerFacts
from weakseg.registry import LOCALIZERS, REFINERS, Registry
from weakseg.spelling import nearest


def localizer_facts(section: LocalizeConfig) -> LocalizerFacts[Any] | None:
    """Return what the chosen localiser says of itself; None if its package is gone."""
    return LOCALIZERS.load(section.method) if LOCALIZERS.is_usable(section.method) else None


def refiner_facts(section: RefineConfig) -> RefinerFacts[Any] | None:
    """Return what the chosen refiner says of itself; None if its package is gone."""
    return REFINERS.load(section.method) if REFINERS.is_usable(section.method) else None


def has_threshold(section: RefineConfig) -> bool:
    """Say whether a background threshold decides; not for a refiner whose package is gone."""
    facts = refiner_facts(section)
    return facts is not None and facts.has_threshold


def uncounted(config: RunConfig, stage: str) -> tuple[str, ...]:
    """Name the sections of a stage that its fingerprint leaves out: those of methods it does not use."""
    registries: dict[str, Registry[Any]] = {"localize": LOCALIZERS, "refine": REFINERS}
    registry = registries.get(stage)
    if registry is None:
        return ()
    chosen = getattr(config, stage).method
    return tuple(m.name for m in registry.usable() if m.has_section and not m.always_counted and m.name != chosen)


def require_methods(config: RunConfig, stage: str) -> None:
    """Raise a `ConfigError` that names the package if a stage's method cannot be had."""
    section = getattr(config, stage)
    lost = getattr(section, section.method, None)
    if isinstance(lost, LostSettings):
        raise ConfigError(f"{stage}.method: {lost.describe(section.method)}; install it to run the stage")


def check_methods(config: RunConfig) -> None:
    """Raise a `ConfigError` if there is no such method, or it does not go with the recipe."""
    _check("localize", config.localize, LOCALIZERS)
    _check("refine", config.refine, REFINERS)
    facts, classifier = localizer_facts(config.localize), config.classifier.method
    if facts is not None and facts.classifiers and classifier not in facts.classifiers:
        raise ConfigError(
            f"localize.method: '{facts.name}' works with classifier.method {' or '.join(facts.classifiers)}, got "
            f"{classifier}"
        )


def _check(stage: str, section: LocalizeConfig | RefineConfig, registry: Registry[Any]) -> None:
    name = section.method
    if name in registry.names():
        if not isinstance(getattr(section, name, None), LostSettings):
            registry.load(name)  # says what is wrong with its package
    elif not isinstance(getattr(section, name, None), LostSettings):
        known = ", ".join(registry.names())
        raise ConfigError(f"{stage}.method: expected one of {known}, got {name}; {nearest(name, registry.names())}")
    for facts in registry.usable():
        _check_own(facts, section)


def _check_own(facts: MethodFacts[Any], section: object) -> None:
    if facts.check is not None:
        facts.check(facts.settings_in(section))
