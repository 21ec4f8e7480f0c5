"""Removing what stages and studies have written: results that are replaced, and what killed processes left behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from weakseg.errors import ArtifactError
from weakseg.files import advise_on, remove_partial_files
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import StageRecord, read_records, write_records
from weakseg.train.distributed import rank, wait_for_all


def remove_results(folder: RunFolder, outputs: Sequence[tuple[str, Sequence[str]]]) -> dict[str, StageRecord]:
    """Remove the files of stages and forget the stages; every rank calls it, and rank 0 does it.

    Args:
        folder: The run.
        outputs: Names of the stages, each with the files and folders below the run that are its own.

    Returns:
        The records of the other stages.

    Raises:
        ArtifactError: If the system refuses.
    """
    removed = {name for name, _ in outputs}
    left = {name: record for name, record in read_records(folder).items() if name not in removed}
    wait_for_all()
    if rank() == 0:
        # Images that are handed out in parts may be among these results, or follow from them.
        remove_files([*(folder.root / output for _, own in outputs for output in own), folder.parts])
        write_records(folder, left)
    wait_for_all()
    return left


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files and whole folders, those that are not there among them.

    Raises:
        ArtifactError: If the system refuses.
    """
    for path in paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(f"cannot remove {path}: {advise_on(error)}") from error


def remove_half_written(root: Path, outputs: Iterable[str | Path]) -> None:
    """Delete what a killed process left half-written; rank 0 does it.

    Args:
        root: A run or study.
        outputs: Files and folders below it, whose own half-written files go at any depth.

    Raises:
        ArtifactError: If the system refuses.
    """
    if rank() != 0:
        return
    try:
        for output in outputs:
            remove_partial_files(root / output)
        for partial in root.glob(".*.partial"):
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot remove half-written files of {root}: {advise_on(error)}") from error
