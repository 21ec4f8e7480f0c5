"""`weakseg study threshold`: background thresholds chosen without masks, beside the best and the fixed one."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_words import RECIPE_USAGE, add_recipe_words, show_study, start_study
from weakseg.errors import UsageError


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study threshold`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If a setting is wrong.
    """
    parser = new_parser(
        "study threshold", "Background thresholds chosen without masks, beside the best one and the fixed one."
    )
    parser.usage = f"weakseg study threshold RUN [--split SPLIT] [--images N] {RECIPE_USAGE}"
    parser.add_argument("--split", default="val", help="train or val; it needs truth masks and seeds")
    parser.add_argument("--images", type=int, default=200, help="most images to score, evenly spaced over the split")
    add_recipe_words(
        parser,
        metavar="RUN",
        recipe="a run folder with seeds; for irn with a trained refiner, too",
        usual_name="threshold-<refinement>",
        out="where the run is, if its recipe is a file of its own",
    )
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    given = resolved.arguments
    if not resolved.names_run and given.out is None:
        raise UsageError(f"study threshold: expected a run folder, got '{given.recipe}'; 'weakseg run' makes one")
    from weakseg.studies.threshold.study import study_threshold

    study = study_threshold(
        resolved.config,
        start_study("threshold", words, given, resolved.out, may_train=False),
        images=given.images,
        split=given.split,
    )
    return show_study(study)
