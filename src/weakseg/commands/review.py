"""`weakseg review`: which masks and tags of a run to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments import new_parser, parse_words
from weakseg.errors import UsageError

DEFAULT_TOP = 20
"""Rows that are printed of each table."""


def run(words: Sequence[str]) -> int:
    """List what the words after `review` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "review",
        "Order the images of a run by how likely their masks are wrong, and list doubtful tags; docs/review.md.",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument("--list", action="store_true", help="print the order, and write it to RUN/review/ as CSV")
    parser.add_argument("--split", default="all", help="train, val or all (the default)")
    parser.add_argument("--top", type=int, default=DEFAULT_TOP, help=f"rows to print; {DEFAULT_TOP} if not given")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.pipeline.opening import open_run
    from weakseg.pipeline.runtime import start_logging
    from weakseg.review.listing import PARTS, describe_queue, open_queue, write_queue

    if given.split not in PARTS:
        raise UsageError(f"--split: expected one of {', '.join(PARTS)}, got '{given.split}'")
    if given.top < 1:
        raise UsageError(f"--top: expected 1 or more rows, got {given.top}")
    start_logging()
    context = open_run(Path(given.run))
    queue = open_queue(context, part=given.split)
    write_queue(context.folder, queue)
    print(describe_queue(context.folder, queue, top=given.top), end="")
    return 0
