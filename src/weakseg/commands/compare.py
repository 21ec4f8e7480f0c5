"""`weakseg compare A B` and `weakseg report A B`: one run against another, on the terminal or as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.errors import UsageError

DEFAULT_TOP = 8
"""Images that the terminal lists."""

DEFAULT_IMAGES = 12
"""Images that the page shows."""


def run(words: Sequence[str]) -> int:
    """Print the comparison that the words after `compare` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "compare",
        "Hold one run against another: what differs in settings, images and code, and what came of it. "
        "'weakseg report A B' makes a page of it, with pictures; docs/report.md.",
    )
    parser.usage = "weakseg compare A B [--top N] [--json]"
    parser.add_argument("first", help="run folder A")
    parser.add_argument("second", help="run folder B, which is held against A")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--top", type=int, default=DEFAULT_TOP, help="images that are listed")
    given = parse_words(parser, words)
    if given is None:
        return 0
    if given.top < 0:
        raise UsageError(f"--top: expected 0 or more images, got {given.top}")
    from weakseg.pipeline.telling import start_logging
    from weakseg.scoring.two_runs import compare_runs
    from weakseg.scoring.two_runs_text import describe_two_runs

    start_logging()
    found = compare_runs(Path(given.first), Path(given.second))
    print(json.dumps(found.to_json(), indent=1) if given.json else describe_two_runs(found, top=given.top).rstrip())
    return 0


def write_page(words: Sequence[str]) -> int:
    """Write the page of the comparison that the words after `report` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser("report", "Hold one run against another on a page, with the images whose masks differ most.")
    parser.usage = "weakseg report A B [--out FILE] [--images N]"
    parser.add_argument("first", help="run folder A")
    parser.add_argument("second", help="run folder B, which is held against A")
    parser.add_argument("--out", default=None, help="the page; B/compared_with_A.html when not given")
    parser.add_argument("--images", type=int, default=DEFAULT_IMAGES, help="images that are shown")
    given = parse_words(parser, words)
    if given is None:
        return 0
    if given.images < 0:
        raise UsageError(f"--images: expected 0 or more, got {given.images}")
    from weakseg.pipeline.telling import start_logging
    from weakseg.report.two_runs import write_comparison

    start_logging()
    first, second = Path(given.first), Path(given.second)
    out = Path(given.out) if given.out is not None else second / f"compared_with_{first.resolve().name}.html"
    print(write_comparison(first, second, out, max_images=given.images))
    return 0
