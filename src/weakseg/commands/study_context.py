"""`weakseg study context`: CAM against CDA where backgrounds tell more or less of what stands before them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.config.load import add_config_arguments


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study context`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study context", "CAM against CDA at several strengths of the context, with several seeds.")
    parser.usage = (
        "weakseg study context RECIPE|RUN [--values X ...] [--seeds N ...] [--thresholds X ...] [--split SPLIT] "
        "[--out RUN] [--name NAME] [--redo] [--section.setting VALUE ...]"
    )
    parser.add_argument("recipe", help="a recipe on critters: methods_critters")
    parser.add_argument("--values", nargs="+", type=float, default=[], help="of data.critters.p_context")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of networks and generated images")
    parser.add_argument("--thresholds", nargs="+", type=float, default=[], help="background thresholds of the CRF")
    parser.add_argument("--split", default="train", help="train or val: whose seeds and masks are scored")
    parser.add_argument("--out", default=None, help="folder of the study's run; runs/<recipe> when not given")
    parser.add_argument("--name", default=None, help="folder below RUN/studies; context when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")
    add_config_arguments(parser)
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.study.context import study_context
    from weakseg.tasks.study.study import StudyRequest, print_study

    start_logging()
    given = resolved.arguments
    command = shlex.join(["weakseg", "study", "context", *words])
    study = study_context(
        resolved.config,
        StudyRequest(run=resolved.out, name=given.name, redo=given.redo, command=command),
        values=tuple(given["values"]),  # a namespace has a method of this name
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
    )
    print_study(study)
    return 0
