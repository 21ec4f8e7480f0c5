"""Settings of refiners that may say `auto`: numbers that follow the threshold at which the run's own seeds are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weakseg.config.bounds import AUTO
from weakseg.errors import ConfigError
from weakseg.registry import REFINERS

if TYPE_CHECKING:
    from weakseg.config.sections.refine import RefineConfig
    from weakseg.methods import Fit, RefinerFacts


def as_number(value: float | str) -> float:
    """Return a number that `fit_settings` has put in the place of `auto`, if that is what the recipe said."""
    assert not isinstance(value, str), "fit_settings comes first"
    return value


def require_both(section: str, **values: float | str) -> None:
    """Raise a `ConfigError` if some of the settings say `auto` and some do not."""
    own = [name for name, value in values.items() if value == AUTO]
    others = [name for name in values if name not in own]
    if own and others:
        raise ConfigError(
            f"{section}.{others[0]}: expected {AUTO}, since {section}.{own[0]} says so, got {values[others[0]]}; the "
            "two go together"
        )


def list_fits(section: RefineConfig) -> tuple[Fit, ...]:
    """Return how settings of the chosen refiner that say `auto` follow the seeds.

    Those of labels that are not made, since the network was released, are left out, and all of a refiner whose package
    is gone.
    """
    facts = _facts(section)
    if facts is None:
        return ()
    own = facts.settings_in(section)
    makes_labels = getattr(own, "released", None) is None
    return tuple(fit for fit in facts.fits if getattr(own, fit.setting) == AUTO and (makes_labels or not fit.labels))


def fit_settings(section: RefineConfig, threshold: float) -> RefineConfig:
    """Put numbers in the place of `auto`.

    Args:
        section: The recipe's section `refine`.
        threshold: At which the CRF would cut the seeds, 0..1.

    Returns:
        The section with the chosen refiner's settings, its own threshold untouched.
    """
    facts = _facts(section)
    if facts is None or not facts.has_section:
        return section
    numbers = {fit.setting: fit.at(threshold) for fit in list_fits(section)}
    return replace(section, **{facts.name: replace(facts.settings_in(section), **numbers)})


def _facts(section: RefineConfig) -> RefinerFacts[Any] | None:
    return REFINERS.load(section.method) if REFINERS.is_usable(section.method) else None
