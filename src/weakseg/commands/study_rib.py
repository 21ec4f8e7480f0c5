"""`weakseg study rib`: what one setting of RIB does to the seeds."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_words import RECIPE_USAGE, add_recipe_words, show_study, start_study


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study rib`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study rib", "What one setting of RIB does to the seeds. Every setting below is held fast.")
    parser.usage = (
        f"weakseg study rib RECIPE|RUN --over WHAT [--values V ...] [--images N] [--split SPLIT] {RECIPE_USAGE}"
    )
    parser.add_argument("--over", required=True, help="what to vary: K, threshold, lr, margin or pooling")
    parser.add_argument("--values", nargs="+", default=[], help="its values; the usual ones when not given")
    parser.add_argument("--images", type=int, default=40, help="number of images, evenly spaced over the split")
    parser.add_argument("--split", default="val", help="train or val; it needs truth masks")
    add_recipe_words(
        parser,
        recipe="a run folder with a trained classifier, or a recipe to train one with",
        usual_name="rib-<over>",
    )
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.studies.rib.study import study_rib

    given = resolved.arguments
    study = study_rib(
        resolved.config,
        start_study("rib", words, given, resolved.out, may_train=not resolved.names_run),
        over=given.over,
        values=tuple(given["values"]),  # a namespace has a method of this name
        images=given.images,
        split=given.split,
    )
    return show_study(study)
