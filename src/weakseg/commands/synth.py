"""`weakseg synth`: the generated data set as a folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Draw the images that the words after `synth` ask for; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser("synth", "Write generated images with exact masks as a VOC-layout folder.")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--images", type=int, default=800, help="training images")
    parser.add_argument("--val-images", type=int, default=200, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another data set")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels")
    arguments = parse_words(parser, words)
    if arguments is None:
        return 0
    from weakseg.data.synthetic import CritterSettings, write_critters

    written = write_critters(
        Path(arguments.out),
        CritterSettings(size_px=arguments.size),
        images=arguments.images,
        val_images=arguments.val_images,
        seed=arguments.seed,
        progress=_print_progress if sys.stderr.isatty() else None,
    )
    total = arguments.images + arguments.val_images
    print(f"{total} images in {arguments.out}, {written} of them drawn now; look at them with")
    print(f"  weakseg check voc --data.root {shlex.quote(arguments.out)} --data.train train")
    return 0


def _print_progress(done: int, total: int) -> None:
    # rich would do this better, but its import comes with torch here, and drawing takes seconds.
    print(f"\r{done}/{total} images", end="\n" if done == total else "", file=sys.stderr, flush=True)
