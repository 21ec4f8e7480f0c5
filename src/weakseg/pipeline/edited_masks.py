"""Pseudo masks that somebody has edited: what `refine` wrote is remembered, and what differs is a person's work.

Such a mask is not the run's own any more. Training on it would give a segmenter under the name of another, and making
the masks again would destroy it: both are refused until `weakseg correct` has put it among the corrections.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from weakseg.data.masks import encode_mask, read_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, DataError
from weakseg.file_names import safe_path
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.file_index import digest_bytes
from weakseg.pipeline.run_folder import RunFolder, learning_command

logger = logging.getLogger("weakseg")

MAX_NAMED = 3
"""Edited masks that a message names before the rest is only counted."""


def remember_masks(folder: RunFolder, sample_ids: Iterable[str]) -> None:
    """Write down what the masks of a run are: the stage that made them calls this when it ends.

    What is known of a mask stays as it is: the stage has made the same again, or somebody has edited it since. A mask
    that is not there yet is not told of.
    """
    known = _read(folder)
    entries: dict[str, JsonValue] = {}
    for sample_id in sample_ids:
        path = folder.mask(sample_id)
        if sample_id in known:
            entries[sample_id] = [*known[sample_id]]
        elif path.is_file():
            content = path.read_bytes()
            entries[sample_id] = [len(content), digest_bytes(content)]
    since_ns = folder.mask_index.stat().st_mtime_ns if known else None
    write_json(folder.mask_index, entries)
    if since_ns is not None:  # what was edited between then and now is still later than what is known of it
        os.utime(folder.mask_index, ns=(since_ns, since_ns))


def find_edited(folder: RunFolder) -> list[str]:
    """Return the ids of the images whose masks are not what `refine` wrote, in the order of their ids.

    Only files that have another size, or were written later than what is known of them, are read. A mask that is gone
    is none. Empty for runs of versions that remembered nothing.
    """
    known = _read(folder)
    if not known:
        return []
    since_ns = folder.mask_index.stat().st_mtime_ns
    return sorted(key for key, entry in known.items() if _is_edited(folder.mask(key), entry, since_ns=since_ns))


def find_unkept(folder: RunFolder) -> list[str]:
    """Return the ids of the edited masks that are not among the corrections, see `weakseg correct`."""
    return [sample_id for sample_id in find_edited(folder) if not _is_kept(folder, sample_id)]


def is_remembered(folder: RunFolder) -> bool:
    """Say whether it is known what `refine` wrote."""
    return bool(_read(folder))


def describe_edited(folder: RunFolder, sample_ids: list[str]) -> str:
    """Say which masks were edited, and what keeps them; one line."""
    named = ", ".join(sample_ids[:MAX_NAMED]) + (", ..." if len(sample_ids) > MAX_NAMED else "")
    count = f"{len(sample_ids)} mask{'s' if len(sample_ids) > 1 else ''} in {folder.masks}"
    return (
        f"{count} w{'ere' if len(sample_ids) > 1 else 'as'} edited since 'refine' wrote {_them(sample_ids)} ({named}); "
        f"'weakseg correct {folder.root} --from {folder.masks}' keeps {_them(sample_ids)} as corrections"
    )


def require_kept(folder: RunFolder, *, what: str) -> None:
    """Refuse to use or replace masks that somebody has edited and nothing keeps.

    Args:
        folder: The run.
        what: What is about to happen to them, for the message: `training on them`.

    Raises:
        ArtifactError: If there are such masks.
    """
    unkept = find_unkept(folder)
    if unkept:
        raise ArtifactError(f"{what} stops here: {describe_edited(folder, unkept)}; then repeat this command")


def require_own(folder: RunFolder, *, what: str) -> None:
    """Refuse to use masks that somebody has edited, also those that are kept: they are not what the run calls its own.

    Args:
        folder: The run.
        what: What is about to happen with them, for the message: `training on them`.

    Raises:
        ArtifactError: If there are such masks.
    """
    require_kept(folder, what=what)
    edited = find_edited(folder)
    if edited:
        count = f"{len(edited)} mask{'s' if len(edited) > 1 else ''} in {folder.masks}"
        raise ArtifactError(
            f"{what} stops here: {count} w{'ere' if len(edited) > 1 else 'as'} edited since 'refine' wrote "
            f"{_them(edited)}, and {'are' if len(edited) > 1 else 'is'} among the corrections; "
            f"'{learning_command(folder.root)}' learns from {_them(edited)}, and '--redo refine' makes the run's "
            "own again"
        )


def is_untouched(folder: RunFolder) -> bool:
    """Say whether all masks of a run are what `refine` wrote.

    A run of an older version does not remember what it wrote. There, a mask counts as edited if its file is packed in
    another way than this package packs it.
    """
    if is_remembered(folder):
        return not find_edited(folder)
    return not any(_is_repacked(path) for path in folder.masks.rglob("*.png"))


def tell_of_edited(folder: RunFolder) -> None:
    """Warn of masks that somebody has edited and nothing keeps: no stage has made anything of them."""
    unkept = find_unkept(folder)
    if unkept:
        logger.warning("%s", describe_edited(folder, unkept))


def _them(sample_ids: list[str]) -> str:
    return "them" if len(sample_ids) > 1 else "it"


def _is_kept(folder: RunFolder, sample_id: str) -> bool:
    """Say whether the same mask lies among the corrections."""
    kept = folder.corrections / f"{safe_path(sample_id)}.png"
    try:
        return kept.is_file() and np.array_equal(read_mask(kept), read_mask(folder.mask(sample_id)))
    except DataError:
        return False


def _is_repacked(path: Path) -> bool:
    try:
        return encode_mask(read_mask(path)) != path.read_bytes()
    except (DataError, OSError):
        return True


def _is_edited(path: Path, known: tuple[int, str], *, since_ns: int) -> bool:
    size_bytes, digest = known
    try:
        status = path.stat()
        if status.st_size == size_bytes and status.st_mtime_ns <= since_ns:
            return False
        return status.st_size != size_bytes or digest_bytes(path.read_bytes()) != digest
    except OSError:
        return False  # a mask that is gone is made again


def _read(folder: RunFolder) -> dict[str, tuple[int, str]]:
    """Return size in bytes and digest of each mask by image id; empty where nothing is known, or what is is damaged."""
    try:
        document: Mapping[str, list[JsonValue]] = decode_json(folder.mask_index.read_bytes())
        return {key: _entry(value) for key, value in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _entry(value: list[JsonValue]) -> tuple[int, str]:
    size_bytes, digest = value
    if not (isinstance(size_bytes, int) and isinstance(digest, str)):
        raise TypeError("expected size and digest")
    return size_bytes, digest
