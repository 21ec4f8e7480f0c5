"""What is asked of a verb with stages: a recipe with its overrides, and the verb's own options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import add_engine_options, new_parser
from weakseg.config.schema import RunConfig

PRINT_CONFIG = "--print_config"

QUICK = "--quick"
"""Of `demo`: its other recipe."""

STAGES_WITH_METHOD = ("localize", "refine")
"""Verbs for which `--method` stands for their stage's setting of that name."""

VERBS_WITH_IMAGES = ("run", "demo", "localize", "refine", "evaluate")
"""Verbs with stages that work on single images."""


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
    parser = _make_parser(verb, recipe=recipe, summary=summary)
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


def _make_parser(verb: str, *, recipe: str | None, summary: str) -> ArgumentParser:
    """Return a parser of all but settings; see `parse_recipe_words`."""
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
    return parser
