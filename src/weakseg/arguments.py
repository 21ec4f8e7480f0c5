"""Command-line words into requests: a verb's own options, and a recipe with its overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from weakseg.config.load import (
    RECIPE_SUFFIXES,
    add_config_arguments,
    config_from,
    explain,
    list_recipes,
    read_recipe,
    set_recipe,
)
from weakseg.config.schema import RunConfig
from weakseg.errors import UsageError
from weakseg.spelling import nearest

RUNS = Path("runs")
"""Where run folders are made unless `--out` says otherwise."""

RECIPE_FILE = "recipe.yaml"
"""The resolved recipe within a run folder."""

PRINT_CONFIG = "--print_config"

STAGES_WITH_METHOD = ("localize", "refine")
"""Verbs for which `--method` stands for their stage's setting of that name."""


@dataclass(frozen=True)
class RecipeRequest:
    """A recipe to run.

    Args:
        config: The resolved configuration.
        out: The run folder.
        redo: Stage to replace, or None.
        print_config: Only show the configuration.
        estimate: For `check`: also tell how long a run takes.
    """

    config: RunConfig
    out: Path
    redo: str | None
    print_config: bool
    estimate: bool = True


@dataclass(frozen=True)
class ResolvedRecipe:
    """What the words of a verb with a recipe say.

    Args:
        arguments: Everything that was typed, with the verb's own options.
        config: The resolved configuration.
        out: The run folder.
        names_run: Whether that folder was itself named as the recipe.
    """

    arguments: Namespace
    config: RunConfig
    out: Path
    names_run: bool


def new_parser(verb: str, description: str) -> ArgumentParser:
    """Return an empty parser that raises instead of leaving the program."""
    return ArgumentParser(prog=f"weakseg {verb}", description=description, exit_on_error=False, allow_abbrev=False)


def parse_words(parser: ArgumentParser, words: Sequence[str]) -> Namespace | None:
    """Parse the words after a verb.

    Returns:
        The arguments, or None after `--help` was shown.

    Raises:
        UsageError: If an argument is missing or an option unknown.
        ConfigError: If a dotted setting is unknown or its value wrong.
    """
    try:
        return parser.parse_args(list(words))
    except SystemExit:
        return None
    except ArgumentError as error:
        text = " ".join(str(error).split())
        option = re.search(r"[Uu]nrecognized arguments: (\S+)", text)
        if option and "." not in option.group(1).split("=")[0]:
            known = [name for action in parser._actions for name in action.option_strings if "." not in name]
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


def parse_recipe_words(verb: str, words: Sequence[str], *, recipe: str | None = None) -> RecipeRequest | None:
    """Parse `RECIPE [--out RUN] [--redo STAGE] [--section.setting value ...]`.

    A run folder stands for the recipe it was made with, and is then the run folder unless `--out` says otherwise.

    Args:
        verb: For messages and help.
        words: The words after the verb.
        recipe: Built-in recipe to use; the words then name none.

    Returns:
        The request, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser(
        verb, f"Built-in recipes: {', '.join(list_recipes())}. Every setting below overrides the recipe."
    )
    target = "" if recipe is not None else "RECIPE "
    parser.usage = f"weakseg {verb} {target}[--out RUN] [--redo STAGE] [--print_config] [--section.setting VALUE ...]"
    if recipe is None:
        parser.add_argument("recipe", help="a built-in recipe, a .yaml file, or a run folder to go on with")
    parser.add_argument("--out", default=None, help="run folder; runs/<recipe> when not given")
    parser.add_argument("--redo", default=None, metavar="STAGE", help="replace this stage and all later ones")
    parser.add_argument(PRINT_CONFIG, action="store_true", help="show the resolved recipe and stop")
    if verb == "check":
        parser.add_argument("--estimate", type=bool, default=True, help="whether to tell how long a run takes here")
    add_config_arguments(parser)
    words = [_spell_out(word, stage=verb) for word in words]
    # jsonargparse gives an option of this name a meaning of its own, so it is taken out before parsing.
    print_config = PRINT_CONFIG in words
    words = [word for word in words if word != PRINT_CONFIG]
    resolved = resolve_recipe(parser, words, recipe=recipe)
    if resolved is None:
        return None
    return RecipeRequest(
        config=resolved.config,
        out=resolved.out,
        redo=resolved.arguments.redo,
        print_config=print_config,
        estimate=bool(resolved.arguments.get("estimate", True)),
    )


def resolve_recipe(parser: ArgumentParser, words: Sequence[str], *, recipe: str | None = None) -> ResolvedRecipe | None:
    """Parse words that name a recipe: once for its name, once with its settings as defaults.

    Args:
        parser: Has the positional `recipe` (unless one is given here), the option `--out`, and every setting.
        words: The words after the verb.
        recipe: Built-in recipe to use; the words then name none.

    Returns:
        What they say, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    arguments = parse_words(parser, words)
    if arguments is None:
        return None
    name = recipe or str(arguments["recipe"])
    in_run = (Path(name) / RECIPE_FILE).is_file()
    set_recipe(parser, read_recipe(str(Path(name) / RECIPE_FILE) if in_run else name))
    arguments = parse_words(parser, words)
    assert arguments is not None
    path = Path(name)
    default_out = path if in_run else RUNS / (path.stem if path.suffix in RECIPE_SUFFIXES else path.name)
    out = default_out if arguments.out is None else Path(arguments.out)
    names_run = in_run and out.resolve() == Path(name).resolve()
    return ResolvedRecipe(arguments, config_from(parser, arguments), out, names_run)
