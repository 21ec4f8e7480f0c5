"""`weakseg study seeds`: what tells the seeds of several runs apart, beyond their mean IoU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.commands.study_words import add_study_words, show_study, start_study


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
    add_study_words(parser, folder="RUN", usual_name="seeds or seeds-<what>")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.ops.boundary import DIAGONAL_SHARE
    from weakseg.studies.seeds.study import SIZE_EDGES, study_seeds

    runs = [Path(name) for name in given.runs]
    study = study_seeds(
        runs,
        start_study("seeds", words, given, runs[0], may_train=False),
        subject=given.what,
        split=given.split,
        labels=tuple(given.labels),
        size_edges=tuple(given.sizes) or SIZE_EDGES,
        boundary_share=DIAGONAL_SHARE if given.boundary is None else given.boundary,
    )
    return show_study(study)
