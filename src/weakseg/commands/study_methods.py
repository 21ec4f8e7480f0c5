"""`weakseg study methods`: every method, and every refinement of its seeds, with the same budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_words import RECIPE_USAGE, add_method_words, add_recipe_words, show_study, start_study
from weakseg.registry import LOCALIZERS, REFINERS

if TYPE_CHECKING:  # imports torch, which `--help` and mistakes do not wait for
    from weakseg.config.schema import RunConfig
    from weakseg.studies.folder import StudyRequest

AVERAGED = "NAME-averaged"

USAGE = (
    "[--methods NAME ...] [--masks NAME ...] [--seeds N ...] [--images N] [--learn-from NAME ...] [--runs RUN ...] "
    f"[--thresholds X ...] [--split SPLIT] [--estimate BOOL] {RECIPE_USAGE}"
)
"""How the usage ends, after what the study starts from."""


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study methods`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study methods", "Every localiser, SEAM and CDA, refined in every way, with several seeds.")
    parser.usage = f"weakseg study methods RECIPE|RUN {USAGE}"
    add_table_words(parser, images=None)
    recipe = "a recipe with the settings of all methods: methods_photographs, methods_critters; or a run"
    add_recipe_words(parser, recipe=recipe, usual_name="methods")
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    given = resolved.arguments
    runs = [resolved.out] if resolved.names_run else []
    request = start_study("methods", words, given, resolved.out)
    return make_table(resolved.config, request, given, runs=runs, learn_from=given.learn_from)


def add_table_words(parser: ArgumentParser, *, images: int | None) -> None:
    """Add what says which table is made.

    Args:
        parser: Receives the arguments.
        images: How many images get seeds and masks unless `--images` says it; None for all.
    """
    methods = ("cam", "rib", "seam", "cda", *LOCALIZERS.names()[2:], AVERAGED)
    masks = ("crf", "psa", "irn", *REFINERS.names()[4:])
    parser.add_argument("--methods", nargs="+", default=[], help=f"some of {', '.join(methods)}; all when not given")
    parser.add_argument("--masks", nargs="+", default=[], help=f"some of {', '.join(masks)}; all when not given")
    few = "so many of a split get seeds and masks, not all" if images is None else "so many get seeds and masks"
    parser.add_argument("--images", type=int, default=images, help=few)
    parser.add_argument("--learn-from", nargs="+", default=[], help="methods whose seeds networks of masks learn from")
    parser.add_argument("--runs", nargs="+", default=[], help="finished runs whose classifiers may be taken")
    parser.add_argument("--estimate", type=bool, default=True, help="whether to tell beforehand how long it takes")
    add_method_words(parser)


def make_table(
    config: RunConfig, request: StudyRequest, given: Namespace, *, runs: Sequence[Path], learn_from: Sequence[str]
) -> int:
    """Make the table and show it; returns the exit code.

    Args:
        config: The resolved recipe.
        request: Where and how.
        given: The parsed words, see `add_table_words`.
        runs: Finished runs whose classifiers may be taken, besides those of `--runs`.
        learn_from: Methods on whose seeds refiners train their networks.
    """
    from weakseg.studies.methods.study import Saving, study_methods

    lenders = (*runs, *(Path(run) for run in given.runs))
    study = study_methods(
        config,
        request,
        methods=given.methods,
        masks=given.masks,
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
        saving=Saving(given.images, tuple(learn_from), lenders, given.estimate),
    )
    return show_study(study)
