"""`weakseg study rib`: what one setting of RIB does to the seeds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.config.load import add_config_arguments


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study rib`; returns the exit code.

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
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.study.rib import study_rib
    from weakseg.tasks.study.study import StudyRequest, print_study

    start_logging()
    given = resolved.arguments
    request = StudyRequest(
        run=resolved.out,
        name=given.name,
        redo=given.redo,
        may_train=not resolved.names_run,
        command=shlex.join(["weakseg", "study", "rib", *words]),
    )
    study = study_rib(
        resolved.config,
        request,
        over=given.over,
        values=tuple(given["values"]),  # a namespace has a method of this name
        images=given.images,
        split=given.split,
    )
    print_study(study)
    return 0
