"""`weakseg convert`: a checkpoint as safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.verbs import new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Convert the checkpoint that the words after `convert` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser(
        "convert", "Write the tensors of a .pth checkpoint as safetensors, which run no code when they are read."
    )
    parser.add_argument("checkpoint", help="file that torch.save wrote")
    parser.add_argument("--out", default=None, help="the new file; beside the checkpoint when not given")
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="read a checkpoint that holds more than tensors, which lets it run any code: only if you know its maker",
    )
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.handover.convert import convert_checkpoint

    out = None if given.out is None else Path(given.out)
    written, count = convert_checkpoint(Path(given.checkpoint), out, trust_pickle=given.trust_pickle)
    print(f"{written}: {count} tensor{'' if count == 1 else 's'}")
    return 0
