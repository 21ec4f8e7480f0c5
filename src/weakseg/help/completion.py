"""What a shell completes: verbs, their options, settings and the values of both, as the parsers have them."""

from __future__ import annotations

import re
import types
import typing
from argparse import Action
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

from weakseg.config.bounds import WEIGHTS
from weakseg.config.complaints import field_types
from weakseg.config.own_recipes import list_recipes, summarize_recipe
from weakseg.help.sections import explain_setting, section_classes
from weakseg.registry import BACKBONES, LOCALIZERS, REFINERS, Registry

_PLAIN = re.compile(r"[\w.:-]+")
"""What no shell takes for anything but a word."""

_NETWORKS = ("classifier.name", "segmenter.name")


@dataclass(frozen=True)
class OptionWords:
    """An option or a setting.

    Args:
        name: As it is typed: `--out`.
        text: What it does, in a line.
        takes_value: Whether a value follows.
        values: Values to propose; files where there are none.
    """

    name: str
    text: str
    takes_value: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerbWords:
    """A verb, or a study.

    Args:
        name: `run`, or `study rib`.
        text: What it does, in a line.
        options: Its own options.
        takes_settings: Whether any setting may be given too.
        takes_recipe: Whether a recipe may be named.
    """

    name: str
    text: str
    options: tuple[OptionWords, ...]
    takes_settings: bool
    takes_recipe: bool


@dataclass(frozen=True)
class Completions:
    """Everything that is completed.

    Args:
        verbs: Verbs and studies.
        general: Options without a verb.
        settings: Settings of recipes.
        recipes: The recipes, each with what it is for.
        topics: What `--help` may be asked about.
    """

    verbs: tuple[VerbWords, ...]
    general: tuple[OptionWords, ...]
    settings: tuple[OptionWords, ...]
    recipes: Mapping[str, str]
    topics: tuple[str, ...]


def read_parser(
    name: str,
    text: str,
    parsers: Sequence[ArgumentParser],
    *,
    takes_settings: bool,
    values: Mapping[str, tuple[str, ...]],
) -> VerbWords:
    """Return what the parsers of a verb know; it has several where its words have several forms.

    Args:
        name: The verb.
        text: What it does.
        parsers: With the verb's own arguments alone.
        takes_settings: Whether settings may be given too.
        values: Values to propose by option, where the parser does not know them.
    """
    actions = {
        action.option_strings[-1]: action
        for parser in parsers
        for action in parser._actions[::-1]
        if action.option_strings
    }
    takes_recipe = any(action.dest == "recipe" and action.metavar is None for p in parsers for action in p._actions)
    options = [_read_option(action, values.get(option, ())) for option, action in sorted(actions.items())]
    options.append(OptionWords("--help", "show what may be given", takes_value=takes_settings))
    return VerbWords(name, text, tuple(options), takes_settings, takes_recipe)


def _read_option(action: Action, values: tuple[str, ...]) -> OptionWords:
    known = values or tuple(map(str, action.choices or ()))
    return OptionWords(action.option_strings[-1], one_line(action.help or ""), action.nargs != 0, _keep_plain(known))


def read_settings() -> tuple[OptionWords, ...]:
    """Return every setting, those of other packages' methods too."""
    return tuple(
        OptionWords(
            f"--{path}", one_line(explain_setting(path)), takes_value=True, values=_keep_plain(_values_of(path))
        )
        for path in field_types()
    )


def read_recipes() -> dict[str, str]:
    """Return the recipes, each with what it is for."""
    return {name: one_line(summarize_recipe(name)) for name in list_recipes()}


def read_topics() -> tuple[str, ...]:
    """Return what `--help` may be asked about, single settings aside."""
    return ("all", *section_classes())


def one_line(text: str) -> str:
    """Return the first sentence of a text without what shells would need to quote."""
    first = " ".join(text.split()).split(". ")[0].rstrip(".")
    return re.sub(r"['\"`$\\\[\]]", "", first)[:100]


def _values_of(path: str) -> Iterator[str]:
    registries: dict[str, Registry[Any]] = {"localize.method": LOCALIZERS, "refine.method": REFINERS}
    if path in registries:
        yield from registries[path].names()
    if path in _NETWORKS:
        yield from BACKBONES.names()
    if path.endswith(".weights"):
        yield from WEIGHTS
    yield from _words_of(field_types()[path])


def _words_of(annotation: object) -> Iterator[str]:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    elif origin in (typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _words_of(argument)
    elif annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"


def _keep_plain(values: typing.Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if _PLAIN.fullmatch(value)))
