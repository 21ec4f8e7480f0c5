"""`weakseg study corrections`: what correcting some masks is worth, by the review queue and by chance."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.arguments.recipes import resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_words import add_recipe_words, show_study, start_study
from weakseg.errors import UsageError


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study corrections`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong, or the first word is no run.
        ConfigError: If a setting is wrong.
    """
    parser = new_parser(
        "study corrections", "What correcting some masks is worth: the data's true masks stand in for a person's."
    )
    parser.usage = (
        "weakseg study corrections RUN [--counts N ... all] [--order queue classes random] [--out OUT] [--name NAME] "
        "[--redo] [--section.setting VALUE ...]"
    )
    parser.add_argument(
        "--counts",
        nargs="+",
        default=[],
        help="corrected images, and all for full supervision; 0 10 25 50 100 if not given",
    )
    parser.add_argument("--order", nargs="+", default=[], help="queue, classes, random; all when not given")
    add_recipe_words(
        parser,
        recipe="a finished run on images with true masks",
        usual_name="corrections",
        metavar="RUN",
        out="folder whose studies/ the study goes to; RUN when not given",
    )
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    given = resolved.arguments
    if resolved.named is None:
        raise UsageError(f"{given.recipe} is no run folder; the study starts from a run, which 'weakseg run' makes")
    from weakseg.studies.corrections.person import ORDERS
    from weakseg.studies.corrections.study import USUAL_COUNTS, study_corrections

    study = study_corrections(
        resolved.config,
        resolved.named,
        start_study("corrections", words, given, resolved.out),
        counts=tuple(map(str, given.counts)) or USUAL_COUNTS,
        orders=tuple(given.order) or ORDERS,
    )
    return show_study(study)
