"""`weakseg review`: the page on which masks are looked at and corrected, and which of them to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.errors import UsageError

if TYPE_CHECKING:
    from weakseg.review.listing import Order, Part

DEFAULT_TOP = 20
"""Rows that are printed of each table."""

MAX_PORT = 65535


def run(words: Sequence[str]) -> int:
    """Serve or list the run that the words after `review` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "review",
        "Look at the masks of a run and correct them in the browser, the most doubtful first; docs/review.md.",
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument("--list", action="store_true", help="only print the order, and write it to RUN/review/ as CSV")
    parser.add_argument("--port", type=int, default=None, help="where the page is served on this machine; 8760 if free")
    parser.add_argument("--no-browser", action="store_true", help="only print the address of the page")
    parser.add_argument("--unsorted", action="store_true", help="leave the images in the order of the data set")
    parser.add_argument(
        "--order",
        default="doubt",
        help="doubt (the default): the most doubtful images first; classes: those of each class by turns",
    )
    parser.add_argument("--split", default="all", help="train, val or all (the default)")
    parser.add_argument(
        "--top", type=int, default=DEFAULT_TOP, help=f"rows that --list prints; {DEFAULT_TOP} if not given"
    )
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.review.listing import ORDERS, PARTS

    if given.split not in PARTS:
        raise UsageError(f"--split: expected one of {', '.join(PARTS)}, got '{given.split}'")
    if given.order not in ORDERS:
        raise UsageError(f"--order: expected one of {', '.join(ORDERS)}, got '{given.order}'")
    if given.top < 1:
        raise UsageError(f"--top: expected 1 or more rows, got {given.top}")
    if given.port is not None and not 0 <= given.port <= MAX_PORT:
        raise UsageError(f"--port: expected 0 (any) to {MAX_PORT}, got {given.port}")
    if given.list:
        _list(Path(given.run), part=given.split, order=given.order, top=given.top)
    else:
        _serve(
            Path(given.run),
            part=given.split,
            order=given.order,
            is_sorted=not given.unsorted,
            port=given.port,
            open_browser=not given.no_browser,
        )
    return 0


def _list(run: Path, *, part: Part, order: Order, top: int) -> None:
    from weakseg.pipeline.corrections.lessons import find_unlearnt
    from weakseg.pipeline.opening import open_run
    from weakseg.pipeline.telling import start_logging
    from weakseg.review.listing import describe_queue, open_queue, write_queue

    start_logging()
    context = open_run(run)
    queue = open_queue(context, part=part, order=order)
    write_queue(context.folder, queue)
    datasets = [dataset for dataset in (context.train, context.val) if dataset is not None]
    is_learnt = find_unlearnt(context.folder, datasets, context.taught) is None
    print(describe_queue(context.folder, queue, top=top, order=order, is_learnt=is_learnt), end="")


def _serve(run: Path, *, part: Part, order: Order, is_sorted: bool, port: int | None, open_browser: bool) -> None:
    from weakseg.review.extra import require_extra

    require_extra()
    from weakseg.pipeline.telling import start_logging
    from weakseg.review.opening import open_desk
    from weakseg.review.server import serve

    start_logging()
    serve(open_desk(run, part=part, order=order, is_sorted=is_sorted), port=port, open_browser=open_browser)
