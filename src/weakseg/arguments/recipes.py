"""Words that name a recipe, a run folder or photographs, and settings that override it, into a configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from weakseg.arguments.verbs import SHOW_PARSER, ParserShown, parse_words
from weakseg.config.length import obey_epochs
from weakseg.config.load import (
    RECIPE_SUFFIXES,
    add_config_arguments,
    build_config,
    config_from,
    read_recipe,
    set_recipe,
    split_settings,
    to_yaml,
)
from weakseg.config.own_recipes import list_recipes
from weakseg.config.recipe_text import decode_recipe
from weakseg.config.saved_recipe import read_saved_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, UsageError
from weakseg.files import JsonValue
from weakseg.help.pages import ALL, render_recipe_verb, render_recipes, render_topic
from weakseg.help.words import HelpWords, find_first, find_help, require_topic
from weakseg.remote import is_url, name_of, names_shards
from weakseg.spelling import closest

RUNS = Path("runs")
"""Where run folders are made unless `--out` says otherwise."""

RECIPE_FILE = "recipe.yaml"
"""The resolved recipe within a run folder."""

FOLDER_RECIPE = "folder"
"""The recipe that a folder of photographs stands for."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """What the words of a verb with a recipe say.

    Args:
        arguments: The verb's own options, at least.
        config: The resolved configuration.
        out: The run folder.
        names_run: Whether that folder was itself named as the recipe.
        named: The run folder that was named as the recipe; None if it was no run.
    """

    arguments: Namespace
    config: RunConfig
    out: Path
    names_run: bool
    named: Path | None = None


def _read_settings(name: str, *, in_run: bool, is_named: bool) -> dict[str, JsonValue]:
    """Read the settings of a recipe, of a run folder, or those of `folder` for a folder of photographs."""
    if in_run:
        return read_saved_recipe(Path(name) / RECIPE_FILE)
    if not is_named or name in list_recipes() or not _names_photographs(name):
        return read_recipe(name)
    settings = read_recipe(FOLDER_RECIPE)
    data = settings["data"]
    assert isinstance(data, dict)
    return {**settings, "data": {**data, "root": name}}


def _names_photographs(name: str) -> bool:
    """Say whether a word names images: a folder, a URL, or tar shards."""
    return Path(name).is_dir() or is_url(name) or names_shards(name)


def _require_recipe(name: str) -> None:
    """Raise a `ConfigError`, below a list of the recipes, for what is none, no folder and called like nothing."""
    if not (name.endswith(RECIPE_SUFFIXES) or _names_photographs(name) or closest(name, list_recipes())):
        print(render_recipes(), end="", file=sys.stderr)
        expected = "one of those above, a folder of photographs, a .yaml file or a run folder"
        raise ConfigError(f"recipe '{name}': expected {expected}")


def resolve_recipe(parser: ArgumentParser, words: Sequence[str], *, recipe: str | None = None) -> ResolvedRecipe | None:
    """Parse words that name a recipe, options of the verb, and settings that override the recipe's.

    Args:
        parser: Has the positional `recipe` (unless one is given here) and the option `--out`; settings are added here.
        words: The words after the verb.
        recipe: Built-in recipe to use; the words then name none.

    Returns:
        What they say, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    if SHOW_PARSER in words:
        raise ParserShown(parser, takes_settings=True)
    asked = find_help(words)
    if asked is not None:
        _show_help(parser, asked, recipe)
        return None
    words = obey_epochs(words)
    return _resolve_apart(parser, words, recipe) or _resolve_together(parser, words, recipe)


def _show_help(parser: ArgumentParser, asked: HelpWords, recipe: str | None) -> None:
    """Print the help that the words ask for, with the values of the recipe they name, if they do."""
    split = split_settings(asked.others)
    if split is None:  # a mistake among the settings, which this names
        add_config_arguments(parser)
        parse_words(parser, asked.others)
        raise UsageError(f"expected a value after each setting; see '{parser.prog} --help'")
    name = recipe or find_first(parser, split.others)
    if asked.unsure is not None:
        if name is not None or not (asked.unsure in list_recipes() or Path(asked.unsure).exists()):
            require_topic(asked.unsure)
        name = asked.unsure
    config = None
    if name is not None:
        _require_recipe(name)
        settings = _read_settings(name, in_run=(Path(name) / RECIPE_FILE).is_file(), is_named=recipe is None)
        config = build_config(settings, tuple(word for given in split.settings.values() for word in given))
    if asked.topic == ALL:
        add_config_arguments(parser)
        if config is not None:
            document = decode_recipe(to_yaml(config))
            assert isinstance(document, dict)
            set_recipe(parser, document)
        print(parser.format_help(), end="")
    elif asked.topic is not None:
        print(render_topic(asked.topic, recipe=name, config=config), end="")
    else:
        print(render_recipe_verb(parser, recipe=name, config=config), end="")


def _resolve_apart(parser: ArgumentParser, words: Sequence[str], recipe: str | None) -> ResolvedRecipe | None:
    """Parse a verb's own words and the settings apart, which is much faster; None after a mistake among the words."""
    split = split_settings(words)
    if split is None:
        return None
    try:
        arguments = parser.parse_args(list(split.others))
    except ArgumentError:
        return None
    name = recipe or str(arguments["recipe"])
    _require_recipe(name)
    in_run = (Path(name) / RECIPE_FILE).is_file()
    settings = _read_settings(name, in_run=in_run, is_named=recipe is None)
    config = build_config(settings, tuple(word for given in split.settings.values() for word in given))
    return _place(arguments, config, name, in_run=in_run)


def _resolve_together(parser: ArgumentParser, words: Sequence[str], recipe: str | None) -> ResolvedRecipe:
    """Do the same with one parser, which names every mistake."""
    add_config_arguments(parser)
    arguments = parse_words(parser, words)
    assert arguments is not None, "help has been shown before"
    name = recipe or str(arguments["recipe"])
    _require_recipe(name)
    in_run = (Path(name) / RECIPE_FILE).is_file()
    set_recipe(parser, _read_settings(name, in_run=in_run, is_named=recipe is None))
    arguments = parse_words(parser, words)
    assert arguments is not None
    return _place(arguments, config_from(parser, arguments), name, in_run=in_run)


def _name_run(name: str) -> str:
    """Return what the run of a recipe, or of images, is called."""
    if is_url(name) or names_shards(name):
        return name_of(name)
    path = Path(name)
    return path.stem if path.suffix in RECIPE_SUFFIXES else path.resolve().name


def _place(arguments: Namespace, config: RunConfig, name: str, *, in_run: bool) -> ResolvedRecipe:
    path = Path(name)
    default_out = path if in_run else RUNS / _name_run(name)
    out = default_out if arguments.out is None else Path(arguments.out)
    names_run = in_run and out.resolve() == Path(name).resolve()
    return ResolvedRecipe(arguments, config, out, names_run, path if in_run else None)
