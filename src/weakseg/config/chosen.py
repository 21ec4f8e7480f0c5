"""The methods a recipe chooses: what they say of themselves, and whether they are there at all."""

from __future__ import annotations

from typing import Any

from weakseg.config.lost import LostSettings
from weakseg.config.schema import LocalizeConfig, RefineConfig, RunConfig
from weakseg.errors import ConfigError
from weakseg.methods import LocalizerFacts, MethodFacts, RefinerFacts
from weakseg.registry import LOCALIZERS, REFINERS, Registry
from weakseg.spelling import nearest

OWN = "classifier"
"""Weights of the backbone of the run's own classifier."""


def localizer_facts(section: LocalizeConfig) -> LocalizerFacts[Any] | None:
    """Return what the chosen localiser says of itself; None if its package is gone."""
    return LOCALIZERS.load(section.method) if LOCALIZERS.is_usable(section.method) else None


def needs_classifier(section: LocalizeConfig) -> bool:
    """Say whether the chosen localiser looks through the run's classifier; yes of one whose package is gone."""
    facts = localizer_facts(section)
    return facts is None or facts.needs_classifier


def refiner_facts(section: RefineConfig) -> RefinerFacts[Any] | None:
    """Return what the chosen refiner says of itself; None if its package is gone."""
    return REFINERS.load(section.method) if REFINERS.is_usable(section.method) else None


def has_threshold(section: RefineConfig) -> bool:
    """Say whether a background threshold decides; not for a refiner whose package is gone."""
    facts = refiner_facts(section)
    return facts is not None and facts.has_threshold


def uncounted(config: RunConfig, stage: str) -> tuple[str, ...]:
    """Name what a stage's fingerprint leaves out of its section: methods it does not use, and what has no effect alone.

    `segmenter.corrected_weight` is of no effect without corrected masks; a run that learns from some counts it itself.
    """
    if stage == "segmenter":
        return ("corrected_weight",)
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
    if facts is not None and not facts.needs_classifier:
        _check_without_classifier(config)


def _check_without_classifier(config: RunConfig) -> None:
    """Refuse, all at once, what asks for the classifier of a run that has none."""
    localize, refine, segmenter = config.localize, config.refine, config.segmenter
    asking = []
    if localize.similarity_temperature is not None:
        asking.append(f"localize.similarity_temperature {localize.similarity_temperature:g} (set null)")
    if localize.compared_images:
        asking.append(f"localize.compared_images {localize.compared_images} (set 0)")
    network = refine.network
    if network is not None and network.released is None and network.weights == OWN:
        asking.append(f"refine.{refine.method}.weights {OWN} (set imagenet or a path)")
    if segmenter.weights == OWN:
        asking.append(f"segmenter.weights {OWN} (set imagenet or a path)")
    if asking:
        raise ConfigError(
            f"localize.method: '{localize.method}' works without a classifier, but these settings need one: "
            f"{', '.join(asking)}"
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
