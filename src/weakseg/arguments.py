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
    """

    config: RunConfig
    out: Path
    redo: str | None
    print_config: bool


@dataclass(frozen=True)
class RibStudyRequest:
    """A study of RIB to make.

    Args:
        config: The resolved configuration.
        run: The run folder.
        may_train: Whether the run may still have to train its classifier; not if it was itself named.
        over: What to vary.
        values: Its values as typed; empty for the usual ones.
        images: Number of images.
        split: `train` or `val`.
        name: The study's name, or None for its usual one.
        redo: Whether to replace an earlier study of this name.
    """

    config: RunConfig
    run: Path
    may_train: bool
    over: str
    values: tuple[str, ...]
    images: int
    split: str
    name: str | None
    redo: bool


@dataclass(frozen=True)
class ExportRequest:
    """An export to make.

    Args:
        run: The run folder.
        to: Name of the format.
        out: Folder to write to, or None for the usual one.
        what: `masks` or `predictions`.
        split: `train` or `val`, or None for the usual one.
        images: `copy` or `link`.
    """

    run: Path
    to: str
    out: Path | None
    what: str
    split: str | None
    images: str


@dataclass(frozen=True)
class _Resolved:
    """Arguments, the configuration they give, its run folder, and whether that was named as the recipe."""

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
        if "required" in text or ("expected" in text and text.startswith("argument ")):
            raise UsageError(f"{text}; see '{parser.prog} --help'") from None
        raise explain(error) from None


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
    add_config_arguments(parser)
    words = [_spell_out(word, stage=verb) for word in words]
    # jsonargparse gives an option of this name a meaning of its own, so it is taken out before parsing.
    print_config = PRINT_CONFIG in words
    words = [word for word in words if word != PRINT_CONFIG]
    resolved = _resolve(parser, words, recipe=recipe)
    if resolved is None:
        return None
    return RecipeRequest(
        config=resolved.config, out=resolved.out, redo=resolved.arguments.redo, print_config=print_config
    )


def parse_rib_study_words(words: Sequence[str]) -> RibStudyRequest | None:
    """Parse `RECIPE|RUN --over WHAT [--values V ...] [--images N] ... [--section.setting value ...]`.

    Args:
        words: The words after `study rib`.

    Returns:
        The request, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study rib", "What one setting of RIB does to the seeds. Every setting below is held fast.")
    parser.usage = (
        "weakseg study rib RECIPE|RUN --over WHAT [--values V ...] [--images N] [--split SPLIT] [--out RUN] "
        "[--name NAME] [--redo] [--section.setting VALUE ...]"
    )
    parser.add_argument("recipe", help="a run folder with a trained classifier, or a recipe to train one with")
    parser.add_argument("--over", required=True, help="what to vary: K, threshold, lr, margin or pooling")
    parser.add_argument("--values", nargs="+", default=[], help="its values; the usual ones when not given")
    parser.add_argument("--images", type=int, default=40, help="number of images, evenly spaced over the split")
    parser.add_argument("--split", default="val", help="train or val; it needs truth masks")
    parser.add_argument("--out", default=None, help="run folder; runs/<recipe> when not given")
    parser.add_argument("--name", default=None, help="folder below RUN/studies; rib-<over> when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")
    add_config_arguments(parser)
    resolved = _resolve(parser, words, recipe=None)
    if resolved is None:
        return None
    given = resolved.arguments
    return RibStudyRequest(
        config=resolved.config,
        run=resolved.out,
        may_train=not resolved.names_run,
        over=given.over,
        values=tuple(given["values"]),  # a namespace has a method of this name
        images=given.images,
        split=given.split,
        name=given.name,
        redo=given.redo,
    )


def parse_export_words(words: Sequence[str]) -> ExportRequest | None:
    """Parse `RUN --to FORMAT [--out FOLDER] [--what WHAT] [--split SPLIT] [--images copy|link]`.

    Args:
        words: The words after `export`.

    Returns:
        The request, or None after `--help` was shown.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser("export", "Write the masks of a run in the format of another tool; docs/export.md lists them.")
    parser.add_argument("run", help="run folder")
    parser.add_argument("--to", required=True, help="voc, coco, yolo-seg, cvat, label-studio or hf-dataset")
    parser.add_argument("--out", default=None, help="folder to write to; below RUN/exports when not given")
    parser.add_argument("--what", default="masks", help="masks (pseudo masks) or predictions (of the segmenter)")
    parser.add_argument("--split", default=None, help="train or val; train for masks, val for predictions if not given")
    parser.add_argument("--images", default="copy", help="copy or link, for formats that hold the images")
    given = parse_words(parser, words)
    if given is None:
        return None
    return ExportRequest(
        run=Path(given.run),
        to=given.to,
        out=None if given.out is None else Path(given.out),
        what=given.what,
        split=given.split,
        images=given.images,
    )


def _resolve(parser: ArgumentParser, words: Sequence[str], *, recipe: str | None) -> _Resolved | None:
    """Parse words twice: once for the recipe's name, once with its settings as defaults. None after `--help`."""
    arguments = parse_words(parser, words)
    if arguments is None:
        return None
    name = recipe or str(arguments["recipe"])
    in_run = (Path(name) / RECIPE_FILE).is_file()
    set_recipe(parser, read_recipe(str(Path(name) / RECIPE_FILE) if in_run else name))
    arguments = parse_words(parser, words)
    assert arguments is not None
    default_out = Path(name) if in_run else RUNS / Path(name).name.removesuffix(RECIPE_SUFFIXES[0])
    out = default_out if arguments.out is None else Path(arguments.out)
    names_run = in_run and out.resolve() == Path(name).resolve()
    return _Resolved(arguments, config_from(parser, arguments), out, names_run)
