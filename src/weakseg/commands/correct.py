"""`weakseg correct`: corrected masks back into a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Bring back what the words after `correct` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "correct",
        "Bring corrected masks back into RUN/corrections: from a folder of label PNGs, CVAT, Label Studio, COCO's JSON "
        "or YOLO's polygons; docs/corrections.md.",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument(
        "--from",
        dest="source",
        default=None,
        help="folder, .zip, .json or .xml; RUN/masks takes what was edited there",
    )
    parser.add_argument(
        "--format",
        default=None,
        help="folder, cvat, label-studio, coco or yolo; when not given, by what is there",
    )
    parser.add_argument("--accept", default=None, help="list of images whose mask is right, one a line")
    parser.add_argument(
        "--accept-unchanged", action="store_true", help="call the masks right that came back as the run made them"
    )
    parser.add_argument(
        "--replace", action="store_true", help="also replace corrections that came from elsewhere, such as the page"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out what cannot be used instead of stopping")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.handover.corrections.bring import bring_corrections
    from weakseg.pipeline.run_folder import learning_command
    from weakseg.pipeline.telling import start_logging

    start_logging()
    brought = bring_corrections(
        Path(given.run),
        source=None if given.source is None else Path(given.source),
        format=given.format,
        accept=None if given.accept is None else Path(given.accept),
        accept_unchanged=given.accept_unchanged,
        replace_others=given.replace,
        skip_bad=given.skip_bad,
    )
    print(brought.describe())
    if brought.written or brought.accepted or brought.known:
        print(f"  {learning_command(Path(given.run))}  learns from them")
    return 0
