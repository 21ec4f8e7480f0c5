"""Giving a run the finished stages of another one, so that runs that differ later do nothing twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from weakseg.errors import ArtifactError
from weakseg.files import partial_path
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.lock import hold_folder
from weakseg.pipeline.records import read_records, write_records
from weakseg.pipeline.stage import Stage
from weakseg.train.distributed import rank, wait_for_all


def share_stages(source: RunFolder, target: RunFolder, stages: Sequence[Stage], *, link: bool = True) -> None:
    """Give a run the files and records of stages that another has finished; what it has already is left alone.

    Files are linked where the file system can, else copied. A link is safe because no stage writes into a file: each is
    written beside its place and renamed over it. The target's own settings are compared with the records when its next
    stage runs.

    Args:
        source: The run that has finished the stages.
        target: The run that gets them; an interrupted sharing is done again.
        stages: Which stages, in order.
        link: Whether to link; False copies what people edit where it stands.

    Raises:
        ArtifactError: If the source lacks one of them, or another process works in the target.
    """
    found = read_records(source)
    for stage in stages:
        if stage.name not in found or not found[stage.name].finished:
            raise ArtifactError(f"{source.root} has not finished the stage '{stage.name}', which is to be shared")
    with hold_folder(target.root):
        own = read_records(target)
        wait_for_all()  # every process has read the records before rank 0 changes them
        if rank() == 0:
            for stage in stages:
                if stage.name in own:
                    continue
                for output in stage.outputs:
                    share_files(source.root / output, target.root / output, link=link)
                own = {**own, stage.name: found[stage.name]}
                write_records(target, own)
        wait_for_all()


def share_files(source: Path, target: Path, *, link: bool = True) -> None:
    """Link a file, or all of a folder, where the file system can, else copy it; what is there is replaced.

    Args:
        source: The file or folder; nothing happens without it.
        target: Where it is to be.
        link: Whether to link; False copies.
    """
    if target.is_dir():
        shutil.rmtree(target)  # left by an interrupted sharing: no record tells of it
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy if link else _copy)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        (_link_or_copy if link else _copy)(str(source), str(target))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    """Copy a file, its times included, so that it is there whole or not at all: stages pass over what is there."""
    partial = partial_path(Path(target))
    try:
        shutil.copy2(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
