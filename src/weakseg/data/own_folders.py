"""Telling what weakseg has written from a person's photographs: runs, studies and predictions made among them.

Who works in the folder of photographs has `runs/` and `predictions/` there. Their masks and overlays are pictures, and
their folders would be classes; a run that counts them finds other images when it goes on.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from weakseg.documents import decode_json
from weakseg.errors import WeaksegError

_BESIDE_A_RECIPE = ("run.json", "images.json", "weakseg.log")
_STUDY = ("studies", "study.json")
_SUMMARY = "summary.json"
_SUMMARY_KEYS = {"format", "weakseg", "complete", "made_by", "images"}


def is_own_folder(folder: str, file_names: Collection[str]) -> bool:
    """Say whether weakseg has written a folder: a run, a study, or predictions with their summary.

    Args:
        folder: Its path.
        file_names: The names of the files right in it.
    """
    if "recipe.yaml" in file_names and any(name in file_names for name in _BESIDE_A_RECIPE):
        return True
    if _STUDY[1] in file_names and os.path.basename(os.path.dirname(folder)) == _STUDY[0]:
        return True
    return _SUMMARY in file_names and _is_summary(os.path.join(folder, _SUMMARY))


def _is_summary(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            document = decode_json(file.read())
    except (OSError, ValueError, RecursionError, WeaksegError):
        return False
    return isinstance(document, dict) and document.keys() >= _SUMMARY_KEYS
