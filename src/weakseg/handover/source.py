"""What a run has to export: the masks of its splits, as one source for every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, SourceId
from weakseg.data.export.pieces import Piece
from weakseg.data.export.specks import Specks
from weakseg.data.export.split import LabelledSplit, Role, SplitName
from weakseg.data.masks import PngMasks
from weakseg.errors import ArtifactError
from weakseg.ops.instances import Instances
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.refiner_networks import makes_instances
from weakseg.refine.instance_files import load_instances
from weakseg.types import Sample

MASKS, PREDICTIONS = "masks", "predictions"
"""What can be exported: the pseudo masks, or the segmenter's masks of the validation split."""


@dataclass(frozen=True, eq=False)
class Part:
    """One split's share of an export.

    Args:
        dataset: Its images.
        role: What the run uses the split for.
        what: `masks` or `predictions`.
    """

    dataset: Dataset
    role: Role
    what: str

    def file_of(self, context: Context, sample_id: str) -> Path:
        """Return the file of an image's mask."""
        folder = context.folder
        return folder.mask(sample_id) if self.what == MASKS else folder.prediction(sample_id)


def choose_part(context: Context, *, what: str, role: Role) -> Part:
    """Return the images of a split that have what is asked for.

    Raises:
        ArtifactError: If the run has no such split, or no masks of it.
    """
    run = context.folder.root
    whole = context.train if role == "train" else context.val
    if whole is None:
        raise ArtifactError(f"{run} has no validation split (data.val); --split train exports the pseudo masks")
    if what == PREDICTIONS:
        part = Part(whole, role, what)
    elif role not in context.config.localize.splits:
        raise ArtifactError(
            f"{run} has no pseudo masks of {whole.split}: localize.splits is {list(context.config.localize.splits)}; "
            "use --what predictions for the segmenter's masks"
        )
    else:
        own = {sample.id for dataset in seeded_datasets(context) for sample in dataset}
        part = Part(whole.keep(own), role, what)
    _require_masks(context, part)
    return part


def choose_parts(context: Context, *, what: str | None) -> list[Part]:
    """Return all images of a run: pseudo masks where it makes them, else the segmenter's masks.

    Args:
        context: The run.
        what: `masks` refuses the latter; None takes both.

    Raises:
        ArtifactError: If a split lacks them.
    """
    parts = [choose_part(context, what=MASKS, role="train")]
    if context.val is not None:
        seeded = what == MASKS or "val" in context.config.localize.splits
        val = choose_part(context, what=MASKS if seeded else PREDICTIONS, role="val")
        own = {sample.id for sample in parts[0].dataset}
        rest = val.dataset.keep(sample.id for sample in val.dataset if sample.id not in own)
        if len(rest):
            parts.append(Part(rest, val.role, val.what))
    return parts


def make_source(
    context: Context,
    parts: Sequence[Part],
    *,
    specks: Specks,
    tick: Callable[[int, int], None],
    piece_reader: Callable[[Sample], Piece] | None = None,
) -> LabelledSplit:
    """Return the label maps of some splits as one source.

    Args:
        context: The run.
        parts: At least one split; no image is in two.
        specks: Leaves small parts out.
        tick: Called with (images read, images in total).
        piece_reader: Reads what has been made of each image; None makes it here.
    """
    first = parts[0].dataset
    homes = {sample.id: SplitName(part.dataset.split, part.role) for part in parts for sample in part.dataset}
    whats = {sample.id: part.what for part in parts for sample in part.dataset}
    readers = {MASKS: PngMasks((context.folder.masks,)), PREDICTIONS: PngMasks((context.folder.predictions,))}
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        tick(done, len(homes))

    def read_mask(sample: Sample, /) -> NDArray[np.uint8] | None:
        step()
        return readers[whats[sample.id]](sample)

    def read_piece(sample: Sample) -> Piece:
        assert piece_reader is not None, "see below"
        step()
        return piece_reader(sample)

    def read_instances(sample: Sample) -> Instances | None:
        # Instances are parts of the pseudo masks; the segmenter's masks are others.
        return load_instances(context.folder.instance(sample.id)) if whats[sample.id] == MASKS else None

    has_instances = makes_instances(context.config) and MASKS in whats.values()
    return LabelledSplit(
        name=" and ".join(dict.fromkeys(part.dataset.split for part in parts)),
        role=parts[0].role,
        classes=first.classes,
        samples=tuple(sample for part in parts for sample in part.dataset),
        mask_reader=read_mask,
        instance_reader=read_instances if has_instances else None,
        source_ids=_join_ids([part.dataset.source_ids for part in parts]),
        homes=homes if len(parts) > 1 else {},
        specks=specks,
        piece_reader=None if piece_reader is None else read_piece,
    )


def _join_ids(ids: Sequence[Mapping[str, SourceId] | None]) -> dict[str, SourceId] | None:
    """Return the ids of the source annotations; None if a split has none, or two use one id for different images."""
    joined: dict[str, SourceId] = {}
    for own in ids:
        if own is None:
            return None
        joined.update(own)
    return joined if len(set(joined.values())) == len(joined) else None


def _require_masks(context: Context, part: Part) -> None:
    run, stage = context.folder.root, "refine" if part.what == MASKS else "evaluate"
    dataset = part.dataset
    if not len(dataset):
        raise ArtifactError(f"{run} has no images of {dataset.split} to export")
    missing = [sample.id for sample in dataset if not part.file_of(context, sample.id).is_file()]
    if missing:
        raise ArtifactError(
            f"{run} lacks the {part.what} of {len(missing)} of {len(dataset)} images of {dataset.split}, such as "
            f"'{missing[0]}'; finish the stage '{stage}' with 'weakseg run {run}'"
        )
