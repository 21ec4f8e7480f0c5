"""Corrected masks as edited files of `RUN/masks`: those that are not what the run has written."""

from __future__ import annotations

from collections.abc import Iterator

from weakseg.data.masks import encode_mask, read_mask
from weakseg.errors import DataError
from weakseg.handover.corrections.folder import read_one
from weakseg.handover.corrections.known_images import Brought
from weakseg.pipeline.edited_masks import find_edited, is_remembered
from weakseg.pipeline.run_folder import RunFolder


def read_edited(folder: RunFolder) -> Iterator[Brought]:
    """Read the masks that were edited since `refine` wrote them.

    A run of an older version does not remember what it wrote. There, an edited mask is one whose file is packed in
    another way than this package packs it.
    """
    if is_remembered(folder):
        for sample_id in find_edited(folder):
            yield read_one(folder.mask(sample_id), sample_id, code=None)
        return
    for path in sorted(folder.masks.rglob("*.png")):
        name = path.relative_to(folder.masks).with_suffix("").as_posix()
        try:
            mask = read_mask(path)
        except DataError as error:
            yield Brought(str(path), name, fault=str(error))
            continue
        if encode_mask(mask) != path.read_bytes():
            yield Brought(str(path), name, mask)
