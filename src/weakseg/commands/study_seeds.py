"""`weakseg study seeds`: what tells the seeds of several runs apart, beyond their mean IoU."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments import new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study seeds`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "study seeds", "How the seeds of runs differ: errors, outlines, sizes, parts; the first run is the reference."
    )
    parser.usage = (
        "weakseg study seeds RUN [RUN ...] [--what WHAT] [--split SPLIT] [--labels LABEL ...] [--sizes SHARE ...] "
        "[--boundary SHARE] [--name NAME] [--redo]"
    )
    parser.add_argument("runs", nargs="+", help="run folders of one data set; the study goes into the first one")
    parser.add_argument("--what", default="seeds", help="seeds, masks, predictions or adaptations (of one run)")
    parser.add_argument("--split", default=None, help="train or val, with truth masks; val when not given")
    parser.add_argument("--labels", nargs="+", default=[], help="names of the runs; their folders' when not given")
    parser.add_argument(
        "--sizes", nargs="+", type=float, default=[], help="shares of the image that part sizes; 0.04 0.16 if not given"
    )
    parser.add_argument(
        "--boundary", type=float, default=None, help="width of boundaries as a share of the diagonal; 0.02 if not given"
    )
    parser.add_argument("--name", default=None, help="folder below RUN/studies; seeds or seeds-<what> when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.ops.boundary import DIAGONAL_SHARE
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.study.seeds import SIZE_EDGES, study_seeds
    from weakseg.tasks.study.study import StudyRequest, print_study

    start_logging()
    runs = [Path(name) for name in given.runs]
    request = StudyRequest(
        run=runs[0],
        name=given.name,
        redo=given.redo,
        may_train=False,
        command=shlex.join(["weakseg", "study", "seeds", *words]),
    )
    study = study_seeds(
        runs,
        request,
        subject=given.what,
        split=given.split,
        labels=tuple(given.labels),
        size_edges=tuple(given.sizes) or SIZE_EDGES,
        boundary_share=DIAGONAL_SHARE if given.boundary is None else given.boundary,
    )
    print_study(study)
    return 0
