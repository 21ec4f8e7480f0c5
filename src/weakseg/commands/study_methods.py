"""`weakseg study methods`: every method, and every refinement of its seeds, with the same budget."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.commands.study_words import RECIPE_USAGE, add_method_words, add_recipe_words, show_study, start_study
from weakseg.registry import LOCALIZERS, REFINERS


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study methods`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study methods", "CAM, RIB, SEAM and CDA, refined by CRF, PSA and IRN, with several seeds.")
    parser.usage = (
        "weakseg study methods RECIPE|RUN [--methods NAME ...] [--masks NAME ...] [--seeds N ...] "
        f"[--thresholds X ...] [--split SPLIT] {RECIPE_USAGE}"
    )
    methods = ("cam", "rib", "seam", "cda", *LOCALIZERS.names()[2:])
    masks = ("crf", "psa", "irn", *REFINERS.names()[4:])
    usual = "all that need a classifier when not given"
    parser.add_argument("--methods", nargs="+", default=[], help=f"some of {', '.join(methods)}; {usual}")
    parser.add_argument("--masks", nargs="+", default=[], help=f"some of {', '.join(masks)}; all when not given")
    add_method_words(parser)
    add_recipe_words(parser, recipe="a recipe with the settings of all methods: methods_critters", usual_name="methods")
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.studies.methods.study import study_methods

    given = resolved.arguments
    study = study_methods(
        resolved.config,
        start_study("methods", words, given, resolved.out),
        methods=given.methods,
        masks=given.masks,
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
    )
    return show_study(study)
