"""A number of epochs that somebody says stands, whatever a recipe says of few images."""

from __future__ import annotations

from collections.abc import Sequence

NETWORKS = ("classifier", "segmenter")
"""The sections that have `epochs` and `min_updates`."""


def obey_epochs(words: Sequence[str]) -> tuple[str, ...]:
    """Let a number of epochs that somebody says be obeyed: it switches `min_updates` off unless that is said, too.

    Args:
        words: Of a command line, such as `--classifier.epochs`, `3`.
    """
    names = {word.partition("=")[0] for word in words}
    said = [network for network in NETWORKS if f"--{network}.epochs" in names]
    off = [f"--{network}.min_updates=null" for network in said if f"--{network}.min_updates" not in names]
    return (*off, *words)
