"""The pages of help: a verb's own options, its short list of settings, one section, one setting."""

from __future__ import annotations

import json
import shlex
from argparse import SUPPRESS, Action
from collections.abc import Iterable

from jsonargparse import ArgumentParser

from weakseg.config.complaints import field_types
from weakseg.config.own_recipes import list_recipes, summarize_recipe
from weakseg.config.schema import RunConfig
from weakseg.help.layout import one_line_each, screen_width, two_columns, wrap, wrap_usage
from weakseg.help.sections import (
    describe_values,
    explain_setting,
    parent,
    sections_in,
    settings_in,
    summarize_section,
)
from weakseg.help.short_list import short_settings

ALL = "all"
"""The topic that shows every setting."""

_NUMBERS = {int: "N", float: "X"}


def render_verb(parser: ArgumentParser) -> str:
    """Return usage, description and options of a verb.

    Args:
        parser: Has the verb's own arguments alone.
    """
    return "\n".join((*_head(parser), ""))


def render_recipe_verb(parser: ArgumentParser, *, recipe: str | None, config: RunConfig | None) -> str:
    """Return the short help of a verb with a recipe: its options, the settings that users change, and all sections.

    Args:
        parser: Has the verb's own arguments alone.
        recipe: The recipe as the user named it, or None.
        config: Its values; None if none was named.
    """
    width = screen_width()
    shown = short_settings(parser.prog.removeprefix("weakseg "))
    rows = [(_with_value(path, config), text) for path, text in shown.items()]
    takes_recipe = any(action.dest == "recipe" for action in parser._actions)
    command = f"{parser.prog} {shlex.quote(recipe)}" if takes_recipe and recipe is not None else parser.prog
    more = f"all settings: '{command} --help all'; those of a section: '{command} --help localize', or any of"
    names = [path for stage in sections_in("") for path in (stage, *sections_in(stage))]
    sections = one_line_each({path: summarize_section(path) for path in names})
    return "\n".join(
        (
            *_head(parser),
            "",
            *(_recipes(width) if recipe is None and _takes_recipe(parser) else ()),
            *wrap(_values_of(recipe, "settings that are often changed"), width),
            *two_columns(rows, width),
            "",
            *wrap(more, width),
            *sections,
            "",
        )
    )


def _takes_recipe(parser: ArgumentParser) -> bool:
    """Say whether a built-in recipe may be named; `study threshold` wants a run."""
    return any(action.dest == "recipe" and action.metavar is None for action in parser._actions)


def _recipes(width: int) -> tuple[str, ...]:
    return (*wrap(f"built-in recipes: {', '.join(list_recipes())}", width), "")


def render_recipes() -> str:
    """Return the built-in recipes, a line each."""
    return "\n".join((*one_line_each({name: summarize_recipe(name) for name in list_recipes()}), ""))


def render_topic(topic: str, *, recipe: str | None, config: RunConfig | None) -> str:
    """Return everything about a section, or about a setting.

    A stage's section names the sections within it; those show all that is in them.

    Args:
        topic: Dotted path of a section or setting.
        recipe: The recipe as the user named it, or None.
        config: Its values; None if none was named.
    """
    width = screen_width()
    if topic in field_types():
        return "\n".join((*_setting(topic, config, width), ""))
    below = sections_in(topic) if parent(topic) == "" else ()
    lines = [*wrap(f"{topic}: {summarize_section(topic)}", width), *wrap(_values_of(recipe, "settings"), width), ""]
    for path in settings_in(topic, nested=not below):
        lines += _setting(path, config, width)
    if below:
        lines += ["", "sections within it:", *two_columns([(path, summarize_section(path)) for path in below], width)]
    return "\n".join((*lines, ""))


def _head(parser: ArgumentParser) -> Iterable[str]:
    width, own = screen_width(), sorted(parser._actions, key=lambda action: bool(action.option_strings))
    yield from wrap_usage(parser.usage or _usage(parser.prog, own), width)
    if parser.description:
        yield ""
        yield from wrap(parser.description, width)
    if own:
        yield ""
        yield from two_columns([_row(action) for action in own], width)


def _usage(program: str, actions: list[Action]) -> str:
    needed = [_name(action) for action in actions if action.required]
    return " ".join((program, *needed, *(["[options]"] if len(needed) < len(actions) else [])))


def _row(action: Action) -> tuple[str, str]:
    text, default = action.help or "", action.default
    if default not in (None, SUPPRESS, []) and default is not False:
        text = f"{text} (default {show_value(default)})"
    return _name(action), text


def _name(action: Action) -> str:
    """Return an argument as it is written, such as `--seeds N ...` or `RECIPE`."""
    if not action.option_strings:
        return _value_word(action, action.dest)
    if action.nargs == 0:
        return action.option_strings[-1]
    return f"{action.option_strings[-1]} {_value_word(action, action.dest)}"


def _value_word(action: Action, name: str) -> str:
    word = action.metavar if isinstance(action.metavar, str) else name.upper()
    if action.choices is not None:
        word = f"{{{','.join(map(str, action.choices))}}}"
    elif action.metavar is None:
        word = _NUMBERS.get(getattr(action, "_typehint", None) or str, word)
    return f"{word} ..." if action.nargs == "+" else word


def _values_of(recipe: str | None, what: str) -> str:
    if recipe is None:
        return f"{what} (name a recipe before --help to see its values):"
    return f"{what}, with the values of {recipe}:"


def _with_value(path: str, config: RunConfig | None) -> str:
    return f"--{path}" if config is None else f"--{path} {show_value(_get(config, path))}"


def _setting(path: str, config: RunConfig | None, width: int) -> list[str]:
    text = f"{explain_setting(path)} ({describe_values(path)})".strip()
    return [*wrap(_with_value(path, config), width, indent=2, hanging=6), *wrap(text, width, indent=6)]


def show_value(value: object) -> str:
    """Write a value as the command line takes it: `null`, `true`, `0.1`, `[1.0, 0.5]`, `photos`."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show_value, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return text if text.isprintable() and text == text.strip() and text else json.dumps(text)


def _get(config: RunConfig, path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = getattr(value, name)
    return value
