"""`weakseg study methods`: every method, and every refinement of its seeds, with the same budget."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.config.load import add_config_arguments


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study methods`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser("study methods", "CAM, RIB, SEAM and CDA, refined by CRF, PSA and IRN, with several seeds.")
    parser.usage = (
        "weakseg study methods RECIPE|RUN [--methods NAME ...] [--masks NAME ...] [--seeds N ...] "
        "[--thresholds X ...] [--split SPLIT] [--out RUN] [--name NAME] [--redo] [--section.setting VALUE ...]"
    )
    parser.add_argument("recipe", help="a recipe with the settings of all methods: methods_critters")
    parser.add_argument("--methods", nargs="+", default=[], help="some of cam, rib, seam, cda; all when not given")
    parser.add_argument("--masks", nargs="+", default=[], help="some of crf, psa, irn; all when not given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of networks and generated images")
    parser.add_argument("--thresholds", nargs="+", type=float, default=[], help="background thresholds of the CRF")
    parser.add_argument("--split", default="train", help="train or val: whose seeds and masks are scored")
    parser.add_argument("--out", default=None, help="folder of the study's run; runs/<recipe> when not given")
    parser.add_argument("--name", default=None, help="folder below RUN/studies; methods when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")
    add_config_arguments(parser)
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.study.methods import study_methods
    from weakseg.tasks.study.study import StudyRequest, print_study

    start_logging()
    given = resolved.arguments
    command = shlex.join(["weakseg", "study", "methods", *words])
    study = study_methods(
        resolved.config,
        StudyRequest(run=resolved.out, name=given.name, redo=given.redo, command=command),
        methods=given.methods,
        masks=given.masks,
        seeds=given.seeds,
        thresholds=given.thresholds,
        split=given.split,
    )
    print_study(study)
    return 0
