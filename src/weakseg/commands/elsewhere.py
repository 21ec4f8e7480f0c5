"""Runs among the words of a command that lie elsewhere, such as `s3://bucket/runs/a`: a folder here stands for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath

from weakseg.arguments.recipes import RECIPE_FILE
from weakseg.errors import UsageError
from weakseg.remote import is_url, names_shards
from weakseg.stores import Store

OUT = "--out"
_ENGINE = "--engine"

_FILES = (".onnx", ".zip", ".csv", ".json", ".safetensors")
"""What some verbs write in the place of a folder."""


@contextmanager
def runs_here(words: Sequence[str]) -> Iterator[list[str]]:
    """Lend the words of a command with a folder of this machine in the place of each run elsewhere.

    The value of `--out` is one, and any other word that is the URL of a folder with a recipe. Values of settings, such
    as `--data.root`, are left alone.

    Args:
        words: All words of the command.

    Raises:
        UsageError: If several processes or machines would have to share the folder.
        ArtifactError: If a run cannot be read or written.
    """
    places = _find_urls(words)
    if not places:
        yield list(words)
        return
    from weakseg.pipeline.putting import open_run_elsewhere
    from weakseg.pipeline.runtime import launched_processes
    from weakseg.pipeline.telling import start_logging

    start_logging()
    lent = list(words)
    with ExitStack() as stack:
        folders: dict[str, str] = {}
        for at, (prefix, url) in places.items():
            if not prefix and words[at - 1] != OUT and not Store(url).exists(RECIPE_FILE):
                continue  # images, for one
            if launched_processes() > 1:
                raise UsageError(f"{url}: the processes of torchrun need a run in a folder that all of them see")
            if any(word.partition("=")[0] == _ENGINE for word in words):
                raise UsageError(f"{url}: the nodes of a Ray cluster need a run in a folder that all of them see")
            if PurePosixPath(url).suffix in _FILES:
                raise UsageError(f"{OUT}: expected the URL of a folder, got {url}; write the file here and copy it")
            if url not in folders:
                folders[url] = str(stack.enter_context(open_run_elsewhere(url)))
            lent[at] = prefix + folders[url]
        yield lent


def _find_urls(words: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Return by its place each word that may be a run: what stands before it in the word, and the URL."""
    found = {}
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        if word.startswith(f"{OUT}=") and is_url(word.removeprefix(f"{OUT}=")):
            found[at] = (f"{OUT}=", word.removeprefix(f"{OUT}=").rstrip("/"))
        elif is_url(word) and not names_shards(word) and not _takes_value(before):
            found[at] = ("", word.rstrip("/"))
    return found


def _takes_value(word: str) -> bool:
    """Say whether a word is an option whose value is no run: a setting that is written without `=`, or the engine."""
    return word == _ENGINE or (word.startswith("--") and "." in word and "=" not in word)
