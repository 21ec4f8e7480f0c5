"""The part of `weakseg check` that looks at names: which files of a run will be called otherwise than their image."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from weakseg.data.base import Dataset, Problem
from weakseg.file_names import safe_path

RENAMED, SAME_ELSEWHERE = "renamed", "same-elsewhere"
"""Kinds of the problems found here."""


def judge_names(datasets: Sequence[Dataset]) -> Iterator[Problem]:
    """Yield a note for each image whose id is no name for files everywhere, and for ids that macOS or Windows confuse.

    Args:
        datasets: The splits that belong together.
    """
    seen: dict[str, str] = {}
    for key in dict.fromkeys(sample.id for dataset in datasets for sample in dataset):
        name = safe_path(key)
        if name != key:
            message = f"not every file system takes this name; its files in a run are called '{name}'"
            yield Problem("note", RENAMED, key, message)
        other = seen.setdefault(unicodedata.normalize("NFC", key).casefold(), key)
        if other != key:
            message = f"differs from '{other}' in case or in the form of a letter only: Linux keeps files of both, but "
            message += "macOS and Windows do not; rename one of them if the run is to go there"
            yield Problem("note", SAME_ELSEWHERE, key, message)
