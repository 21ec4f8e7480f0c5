"""`weakseg study context`: CAM against CDA where backgrounds tell more or less of what stands before them."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_words import RECIPE_USAGE, add_method_words, add_recipe_words, show_study, start_study


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study context`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study context", "CAM against CDA at several strengths of the context, with several seeds.")
    parser.usage = (
        "weakseg study context RECIPE|RUN [--values X ...] [--seeds N ...] [--thresholds X ...] [--split SPLIT] "
        f"{RECIPE_USAGE}"
    )
    parser.add_argument("--values", nargs="+", type=float, default=[], help="of data.critters.p_context")
    add_method_words(parser)
    add_recipe_words(parser, recipe="a recipe on critters: methods_critters", usual_name="context")
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.studies.context.study import study_context

    given = resolved.arguments
    study = study_context(
        resolved.config,
        start_study("context", words, given, resolved.out),
        values=tuple(given["values"]),  # a namespace has a method of this name
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
    )
    return show_study(study)
