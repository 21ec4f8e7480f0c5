"""Command-line words into requests: a verb's own options, and a recipe with its overrides."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from weakseg.config.complaints import explain
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
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, UsageError
from weakseg.files import JsonValue
from weakseg.help.pages import ALL, render_recipe_verb, render_recipes, render_topic, render_verb
from weakseg.help.words import HelpWords, find_first, find_help, require_topic
from weakseg.remote import is_url, name_of, names_shards
from weakseg.spelling import closest, nearest

RUNS = Path("runs")
"""Where run folders are made unless `--out` says otherwise."""

RECIPE_FILE = "recipe.yaml"
"""The resolved recipe within a run folder."""

FOLDER_RECIPE = "folder"
"""The recipe that a folder of photographs stands for."""

PRINT_CONFIG = "--print_config"

QUICK = "--quick"
"""Of `demo`: its other recipe."""

SHOW_PARSER = "--show-parser"
"""A word by which a verb is asked for its parser, see `ParserShown`."""

STAGES_WITH_METHOD = ("localize", "refine")
"""Verbs for which `--method` stands for their stage's setting of that name."""

VERBS_WITH_IMAGES = ("run", "demo", "localize", "refine", "evaluate")
"""Verbs with stages that work on single images."""


class ParserShown(Exception):
    """A verb was asked for its parser; nothing has been done.

    Args:
        parser: With the verb's own arguments alone.
        takes_settings: Whether settings of a recipe may be given too.
    """

    def __init__(self, parser: ArgumentParser, *, takes_settings: bool) -> None:
        super().__init__(parser.prog)
        self.parser = parser
        self.takes_settings = takes_settings


@dataclass(frozen=True)
class RecipeRequest:
    """A recipe to run.

    Args:
        config: The resolved configuration.
        out: The run folder.
        redo: Stage to replace, or None.
        print_config: Only show the configuration.
        estimate: For `check`: also tell how long a run takes.
        fix_list: For `check`: the table of what to do that is to be written, or None.
        learn_from: The run folder that was named as the recipe, where `--out` is given too; else None.
        processes: How many of this machine work on images, or None.
        engine: Who works on images if it is not this machine, as it was written, or None.
        part: The part of the images to work on, as it was written, or None.
        finish: Whether to leave images to parts.
    """

    config: RunConfig
    out: Path
    redo: str | None
    print_config: bool
    estimate: bool = True
    fix_list: Path | None = None
    learn_from: Path | None = None
    processes: int | None = None
    engine: str | None = None
    part: str | None = None
    finish: bool = False


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


def new_parser(verb: str, description: str) -> ArgumentParser:
    """Return an empty parser that raises instead of leaving the program; `weakseg.help` shows its help."""
    return ArgumentParser(
        prog=f"weakseg {verb}", description=description, exit_on_error=False, allow_abbrev=False, add_help=False
    )


def add_engine_options(parser: ArgumentParser) -> None:
    """Let a verb say who works on single images; `weakseg.pipeline.engines.choose_engine` takes these words."""
    parser.add_argument("--processes", type=int, default=None, help="so many of this machine work on images")
    parser.add_argument("--engine", default=None, metavar="ray", help="who works on images: a Ray cluster")
    parser.add_argument("--part", default=None, metavar="I/N", help="work on this part of the images alone; or auto")
    parser.add_argument("--finish", action="store_true", help="do what lies between images that parts work on")


def parse_words(parser: ArgumentParser, words: Sequence[str]) -> Namespace | None:
    """Parse the words after a verb.

    Returns:
        The arguments, or None after `--help` was shown.

    Raises:
        UsageError: If an argument is missing or an option unknown.
        ConfigError: If a dotted setting is unknown or its value wrong.
    """
    if SHOW_PARSER in words:
        raise ParserShown(parser, takes_settings=False)
    if find_help(words) is not None:
        print(render_verb(parser), end="")
        return None
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        text = " ".join(str(error).split())
        option = re.search(r"[Uu]nrecognized arguments: (\S+)", text)
        if option and "." not in option.group(1).split("=")[0]:
            known = [name for action in parser._actions for name in action.option_strings if "." not in name]
            known.append("--help")
            raise UsageError(f"unknown argument '{option.group(1)}'; {nearest(option.group(1), known)}") from None
        if wrong := _find_wrong_value(parser, text):
            raise UsageError(wrong) from None
        if missing := re.search(r"the following arguments are required: (\w+)", text):
            named = [a.option_strings[0] for a in parser._actions if a.option_strings and a.dest == missing.group(1)]
            text = f"{text[: missing.start(1)]}{(named or [missing.group(1)])[0]}{text[missing.end(1) :]}"
        if "required" in text or ("expected" in text and text.startswith("argument ")):
            raise UsageError(f"{text}; see '{parser.prog} --help'") from None
        raise explain(error) from None


def _find_wrong_value(parser: ArgumentParser, text: str) -> str | None:
    """Reword a complaint about the value of a verb's own option; None if it is about something else."""
    found = re.search(r"Parser key \"(\w+)\".*Expected a <class '(int|float)'>\. Got value: (.*)", text)
    if found is None:
        return None
    key, kind, value = found.groups()
    expected = "a whole number" if kind == "int" else "a number"
    return f"--{key.replace('_', '-')}: expected {expected}, got {value}; see '{parser.prog} --help'"


def _spell_out(word: str, *, stage: str) -> str:
    """Turn `--method` of `localize` or `refine` into that stage's setting."""
    name, equals, value = word.partition("=")
    return f"--{stage}.method{equals}{value}" if name == "--method" and stage in STAGES_WITH_METHOD else word


def parse_recipe_words(
    verb: str, words: Sequence[str], *, recipe: str | None = None, summary: str = ""
) -> RecipeRequest | None:
    """Parse `RECIPE [--out RUN] [--redo STAGE] [--section.setting value ...]`.

    A run folder stands for the recipe it was made with, and is then the run folder unless `--out` says otherwise. Any
    other folder is one of photographs: it stands for the recipe `folder` with that `data.root`.

    Args:
        verb: For messages and help.
        words: The words after the verb.
        recipe: Built-in recipe to use; the words then name none.
        summary: What the verb does, for its help.

    Returns:
        The request, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser(verb, f"{summary[:1].upper()}{summary[1:]}. Every setting overrides the recipe.".lstrip(". "))
    target = "" if recipe is not None else "RECIPE "
    parser.usage = f"weakseg {verb} {target}[--out RUN] [--redo STAGE] [--print_config] [--section.setting VALUE ...]"
    if recipe is None:
        what = "a built-in recipe, a folder of photographs, a .yaml file, or a run folder to go on with"
        what += " (with --out: to learn from its corrections)" if verb == "run" else ""
        parser.add_argument("recipe", help=f"{what}; 'weakseg list' shows the recipes")
    parser.add_argument("--out", default=None, help="run folder; runs/<recipe> when not given")
    parser.add_argument("--redo", default=None, metavar="STAGE", help="replace this stage and all later ones")
    parser.add_argument(PRINT_CONFIG, action="store_true", help="show the resolved recipe and stop")
    if verb == "demo":
        parser.add_argument(QUICK, action="store_true", help="in a minute: fewer and smaller images")
    if verb == "check":
        parser.add_argument("--estimate", type=bool, default=True, help="whether to tell how long a run takes here")
        parser.add_argument("--fix-list", default=None, metavar="FILE", help="CSV of what to do, a line per image")
    elif verb in VERBS_WITH_IMAGES:
        add_engine_options(parser)
    words = [_spell_out(word, stage=verb) for word in words]
    # jsonargparse gives an option of this name a meaning of its own, so it is taken out before parsing.
    print_config = PRINT_CONFIG in words
    words = [word for word in words if word != PRINT_CONFIG]
    resolved = resolve_recipe(parser, words, recipe=recipe)
    if resolved is None:
        return None
    fix_list = resolved.arguments.get("fix_list")
    return RecipeRequest(
        config=resolved.config,
        out=resolved.out,
        redo=resolved.arguments.redo,
        print_config=print_config,
        estimate=bool(resolved.arguments.get("estimate", True)),
        fix_list=None if fix_list is None else Path(str(fix_list)),
        learn_from=None if resolved.arguments.out is None else resolved.named,
        processes=resolved.arguments.get("processes"),
        engine=resolved.arguments.get("engine"),
        part=resolved.arguments.get("part"),
        finish=bool(resolved.arguments.get("finish", False)),
    )


def _read_settings(name: str, *, in_run: bool, is_named: bool) -> dict[str, JsonValue]:
    """Read the settings of a recipe, of a run folder, or those of `folder` for a folder of photographs."""
    if in_run:
        return read_recipe(str(Path(name) / RECIPE_FILE))
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
