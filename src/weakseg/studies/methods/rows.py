"""The rows of a study of methods: ways to train a classifier and to localise by it, by name, each as a recipe.

Every registered localiser has a row, and one more with its maps averaged over places that look alike
(`localize.similarity_temperature`). SEAM and CDA are ways to train a classifier, whose class activation maps are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from weakseg.config.chosen import check_methods, localizer_facts
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.models.seam import SEAM_NAMES
from weakseg.registry import LOCALIZERS

AVERAGED = "-averaged"
"""How the names of rows end whose maps are averaged."""


@dataclass(frozen=True)
class Method:
    """A way to get seeds.

    Args:
        name: As on the command line, and name of its run folder.
        label: As the table shows it.
        configure: Returns the recipe with this method and no other one, but for the objects that CDA pastes.
        classifier_of: Another method whose classifier this one uses, or None if it trains its own.
        averages: Another method whose maps this one averages, or None if its maps are as they come.
    """

    name: str
    label: str
    configure: Callable[[RunConfig], RunConfig]
    classifier_of: str | None = None
    averages: str | None = None


def _localize_by(config: RunConfig, *, name: str) -> RunConfig:
    """Return the recipe with a plain classifier and one localiser, whose maps are not averaged."""
    cda = replace(config.classifier.cda, masks=None)
    plain = replace(
        config,
        classifier=replace(config.classifier, method="plain", cda=cda),
        localize=replace(config.localize, method=name, similarity_temperature=None),
    )
    check_methods(replace(plain, refine=replace(plain.refine, method="none")))
    return plain


_plain = partial(_localize_by, name="cam")


def _seam(config: RunConfig) -> RunConfig:
    plain = _plain(config)
    if plain.classifier.name not in SEAM_NAMES:
        raise ConfigError(
            f"classifier.name: expected one of {', '.join(SEAM_NAMES)}, on which SEAM stands, got "
            f"{plain.classifier.name}; leave seam out of --methods, or take one of them for all methods"
        )
    return replace(plain, classifier=replace(plain.classifier, method="seam"))


def _cda(config: RunConfig) -> RunConfig:
    """CDA's epochs have twice the steps, so it gets half as many; `min_updates` counts an ordinary epoch's."""
    plain = _plain(config)
    if plain.classifier.epochs % 2:
        raise ConfigError(
            "classifier.epochs: expected an even number, since an epoch of CDA has twice the steps and the study gives "
            f"it half as many, got {plain.classifier.epochs}"
        )
    least = plain.classifier.min_updates
    halved = None if least is None else -(-least // 2)
    return replace(plain, classifier=replace(plain.classifier, epochs=plain.classifier.epochs // 2, min_updates=halved))


def _average(config: RunConfig, *, configure: Callable[[RunConfig], RunConfig], name: str) -> RunConfig:
    temperature = config.localize.similarity_temperature
    if temperature is None:
        raise ConfigError(
            f"localize.similarity_temperature: expected a number, by which {name} averages maps, got null; set it, or "
            f"leave {name} out of --methods"
        )
    found = configure(config)
    return replace(found, localize=replace(found.localize, similarity_temperature=temperature))


def _list_plain() -> list[Method]:
    others = [name for name in LOCALIZERS.names() if name not in ("cam", "rib")]
    return [
        Method("cam", "CAM", _plain),
        Method("rib", "RIB", partial(_localize_by, name="rib"), classifier_of="cam"),
        Method("seam", "SEAM", _seam),
        Method("cda", "CDA", _cda),
        *(Method(name, name.upper(), partial(_localize_by, name=name), classifier_of="cam") for name in others),
    ]


def _with_averages(method: Method) -> Method:
    name = f"{method.name}{AVERAGED}"
    configure = partial(_average, configure=method.configure, name=name)
    return Method(name, f"{method.label}, averaged", configure, method.classifier_of or method.name, method.name)


def _list_elsewhere() -> list[str]:
    """Name the localisers that need no classifier of the run, whose trunk could average their maps."""
    return [name for name in LOCALIZERS.names() if not LOCALIZERS.load(name).needs_classifier]


def _list_averaged() -> list[Method]:
    elsewhere = _list_elsewhere()
    return [_with_averages(method) for method in _list_plain() if method.name not in elsewhere]


METHODS = {method.name: method for method in (*_list_plain(), *_list_averaged())}
"""Every method, in the order of the table; those with averaged maps last."""


def usual_methods(config: RunConfig) -> tuple[str, ...]:
    """Return the methods of a study that names none: all, and with a `similarity_temperature` localisers averaged.

    A localiser that needs no classifier has learned elsewhere, and needs weights from there: it has to be named.
    """
    is_averaging = config.localize.similarity_temperature is not None
    elsewhere = _list_elsewhere()
    return tuple(
        name
        for name, method in METHODS.items()
        if name not in elsewhere
        and (method.averages is None or (is_averaging and method.averages in LOCALIZERS.names()))
    )


def is_quick(config: RunConfig, name: str) -> bool:
    """Say whether a method takes CAM's classifier as it is: it trains no other, and adapts it to no image."""
    method = METHODS[name]
    facts = localizer_facts(method.configure(config).localize)
    return "cam" in (name, method.classifier_of) and (facts is None or not facts.adapts)


def configure_method(config: RunConfig, name: str) -> RunConfig:
    """Return the recipe with one method; without CDA's objects, which come from a run.

    Raises:
        ConfigError: If the method cannot have this recipe.
    """
    return METHODS[name].configure(config)
