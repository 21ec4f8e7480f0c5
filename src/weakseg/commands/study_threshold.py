"""`weakseg study threshold`: background thresholds chosen without masks, beside the best and the fixed one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from weakseg.arguments import new_parser, resolve_recipe
from weakseg.config.load import add_config_arguments
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
    parser.usage = (
        "weakseg study threshold RUN [--split SPLIT] [--images N] [--name NAME] [--redo] [--section.setting VALUE ...]"
    )
    parser.add_argument("recipe", metavar="RUN", help="a run folder with seeds; for irn with a trained refiner, too")
    parser.add_argument("--split", default="val", help="train or val; it needs truth masks and seeds")
    parser.add_argument("--images", type=int, default=200, help="most images to score, evenly spaced over the split")
    parser.add_argument("--out", default=None, help="where the run is, if its recipe is a file of its own")
    parser.add_argument("--name", default=None, help="folder below RUN/studies; threshold-<refinement> when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")
    add_config_arguments(parser)
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    given = resolved.arguments
    if not resolved.names_run and given.out is None:
        raise UsageError(f"study threshold: expected a run folder, got '{given.recipe}'; 'weakseg run' makes one")
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.study.study import StudyRequest, print_study
    from weakseg.tasks.study.threshold import study_threshold

    start_logging()
    request = StudyRequest(
        run=resolved.out,
        name=given.name,
        redo=given.redo,
        may_train=False,
        command=shlex.join(["weakseg", "study", "threshold", *words]),
    )
    print_study(study_threshold(resolved.config, request, images=given.images, split=given.split))
    return 0
