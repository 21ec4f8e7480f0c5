"""`weakseg study methods`: every method, and every refinement of its seeds, with the same budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.commands.study_words import RECIPE_USAGE, add_method_words, add_recipe_words, show_study, start_study
from weakseg.registry import LOCALIZERS, REFINERS

AVERAGED = "NAME-averaged"


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study methods`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study methods", "Every localiser, SEAM and CDA, refined in every way, with several seeds.")
    parser.usage = (
        "weakseg study methods RECIPE|RUN [--methods NAME ...] [--masks NAME ...] [--seeds N ...] [--images N] "
        f"[--learn-from NAME ...] [--runs RUN ...] [--thresholds X ...] [--split SPLIT] [--estimate BOOL] "
        f"{RECIPE_USAGE}"
    )
    methods = ("cam", "rib", "seam", "cda", *LOCALIZERS.names()[2:], AVERAGED)
    masks = ("crf", "psa", "irn", *REFINERS.names()[4:])
    usual = "all that need a classifier when not given"
    parser.add_argument("--methods", nargs="+", default=[], help=f"some of {', '.join(methods)}; {usual}")
    parser.add_argument("--masks", nargs="+", default=[], help=f"some of {', '.join(masks)}; all when not given")
    parser.add_argument("--images", type=int, default=None, help="so many of a split get seeds and masks, not all")
    parser.add_argument("--learn-from", nargs="+", default=[], help="methods whose seeds networks of masks learn from")
    parser.add_argument("--runs", nargs="+", default=[], help="finished runs whose classifiers may be taken")
    parser.add_argument("--estimate", type=bool, default=True, help="whether to tell beforehand how long it takes")
    add_method_words(parser)
    recipe = "a recipe with the settings of all methods: methods_photographs, methods_critters; or a run"
    add_recipe_words(parser, recipe=recipe, usual_name="methods")
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.studies.methods.study import Saving, study_methods

    given = resolved.arguments
    runs = [Path(run) for run in given.runs]
    if resolved.names_run:
        runs.insert(0, resolved.out)
    saving = Saving(given.images, tuple(given.learn_from), tuple(runs), given.estimate)
    study = study_methods(
        resolved.config,
        start_study("methods", words, given, resolved.out),
        methods=given.methods,
        masks=given.masks,
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
        saving=saving,
    )
    return show_study(study)
