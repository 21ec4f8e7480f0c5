"""Exporting a run: its masks in the format of another tool, or its network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakseg.config.schema import DataConfig
from weakseg.data.export.folder import ExportFolder, find_own_files
from weakseg.data.export.formats import FORMATS
from weakseg.data.export.pieces import Piece
from weakseg.data.export.specks import Specks
from weakseg.data.export.split import ROLES, Role
from weakseg.errors import ArtifactError, UsageError
from weakseg.handover.network import EXPORTS, MODEL_FORMATS, ExportedModel, export_model
from weakseg.handover.pieces import PieceWork
from weakseg.handover.source import MASKS, PREDICTIONS, Part, choose_part, choose_parts, make_source
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Engine, OneProcess
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.runtime import joined_processes
from weakseg.pipeline.telling import show_progress
from weakseg.train.distributed import world_size
from weakseg.types import Sample

SUBJECTS = (MASKS, PREDICTIONS)
ALL = "all"
IMAGE_CHOICES = ("copy", "link")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        format: Name of the format.
        what: `masks`, `predictions`, or `masks and predictions`.
        split: Name of the split, or of both.
        folder: Where it was written.
        images: Number of images.
        notes: What the format could not hold, and what it takes to use it.
    """

    format: str
    what: str
    split: str
    folder: Path
    images: int
    notes: tuple[str, ...]

    def describe(self) -> str:
        """Say in one line what was written."""
        return f"{self.what} of {self.images} images of {self.split} -> {self.folder} ({self.format})"


def export_run(
    run: Path,
    *,
    to: str,
    out: Path | None = None,
    what: str | None = None,
    split: str | None = None,
    images: str | None = None,
    min_area_px: int | None = None,
    engine: Engine | None = None,
) -> Exported | ExportedModel:
    """Write the masks of a run in another format, or its network.

    Args:
        run: The run folder.
        to: Name of the format, one of `FORMATS` for masks and of `MODEL_FORMATS` for the network.
        out: Folder to write to; `RUN/exports/<format>-<what>-<split>` when None. It may hold an earlier export to the
            same format, which is replaced, and no other file. For the network see `export_model`.
        what: `masks`, or `predictions` of the segmenter; `masks` when None. Not for the network, as all that follow.
        split: `train` or `val` as the recipe means them, or `all` for both: pseudo masks where the run makes them, else
            the segmenter's masks. When None, `train` for masks and `val` for predictions.
        images: `copy` or `link`, for the formats that hold images; `copy` when None.
        min_area_px: Connected parts of fewer pixels are left out, 0 for none; when None, those that are specks by the
            size of the image in formats of objects, and none in others.
        engine: Who works on the images, see `export_masks`.

    Returns:
        What was written.

    Raises:
        UsageError: If a name is none of those that exist, or images are to be linked where the format has none.
        ArtifactError: If `run` is no run folder or lacks masks, or the folder to write to holds foreign files.
        DataError: If the data set cannot be opened, or a mask or image cannot be used.
        StageStopped: If images are left to parts, or this was one.
    """
    _require_choice(to, (*FORMATS, *MODEL_FORMATS), option="--to")
    if to in MODEL_FORMATS:
        if engine is not None and not isinstance(engine, OneProcess):
            raise UsageError(
                f"--processes, --engine, --part and --finish are for work on images, and '{to}' is the network itself"
            )
        area = {"--min-area-px": min_area_px}
        _refuse_options_of_masks(to, {"--what": what, "--split": split, "--images": images, **area})
        return export_model(run, to=to, out=out)
    role = _choose_role(to=to, what=what, split=split, images=images or "copy")
    if min_area_px is not None and min_area_px < 0:
        raise UsageError(f"--min-area-px: expected pixels, or 0 to keep every part, got {min_area_px}")
    link = images == "link"
    return export_masks(
        open_run(run),
        to=to,
        out=out,
        what=what,
        role=role,
        link_images=link,
        min_area_px=min_area_px,
        engine=engine,
    )


def export_masks(
    context: Context,
    *,
    to: str,
    out: Path | None = None,
    what: str | None = None,
    role: Role | Literal["all"] = "train",
    link_images: bool = False,
    min_area_px: int | None = None,
    engine: Engine | None = None,
) -> Exported:
    """Write the masks of an opened run in another format; see `export_run`.

    Args:
        context: The run.
        to: See `export_run`, as `out`, `what` and `min_area_px`.
        out: See above.
        what: See above.
        role: What the split is used for, or `all`.
        link_images: Whether images are linked to instead of copied.
        min_area_px: See above.
        engine: Who works on the images; None for this process, or those of `torchrun`. It is closed at the end. Files
            are put together in this process, or in the first one of `torchrun`.

    Raises:
        StageStopped: If images are left to parts, or this was one.
    """
    if role == "all":
        parts = choose_parts(context, what=what)
    else:
        parts = [choose_part(context, what=what or MASKS, role=role)]
    target = out or context.folder.root / EXPORTS / f"{to}-{what or MASKS}-{role}"
    _require_outside_data(context.config.data, target)
    pixel_range = context.train.pixel_range
    specks = Specks(min_area_px if FORMATS[to].has_objects or min_area_px is not None else 0)
    notes: list[str] = []

    def put_together(piece_reader: Callable[[Sample], Piece] | None) -> None:
        folder = ExportFolder(target, format=to, link_images=link_images, pixel_range=pixel_range)
        with show_progress(f"exporting to {to}" if piece_reader is None else "putting it together") as tick:
            source = make_source(context, parts, specks=specks, tick=tick, piece_reader=piece_reader)
            notes.extend(FORMATS[to].write(source, folder))
        folder.finish()

    engine = engine or OneProcess()
    with closing(engine), joined_processes(context.device):
        if isinstance(engine, OneProcess) and world_size() == 1:
            put_together(None)
        else:
            find_own_files(target, to)  # what would be refused at the end is refused before the work
            work = PieceWork(context, tuple(parts), to, specks.min_area_px)
            work.run(target, engine, specks=specks, put_together=put_together)
    whats = " and ".join(dict.fromkeys(part.what for part in parts))
    notes += [*specks.notes(), *_tell_mixture(parts)]
    splits = " and ".join(dict.fromkeys(part.dataset.split for part in parts))
    return Exported(to, whats, splits, target, sum(len(part.dataset) for part in parts), tuple(notes))


def _tell_mixture(parts: Sequence[Part]) -> list[str]:
    predicted = [part.dataset.split for part in parts if part.what == PREDICTIONS]
    if len(parts) == 1 or not predicted:
        return []
    return [f"the masks of {predicted[0]} are the segmenter's, since the run makes no pseudo masks of it"]


def _choose_role(*, to: str, what: str | None, split: str | None, images: str) -> Role | Literal["all"]:
    """Check what was typed, and return what the split is used for."""
    _require_choice(what or MASKS, SUBJECTS, option="--what")
    _require_choice(images, IMAGE_CHOICES, option="--images")
    if split is not None:
        _require_choice(split, (*ROLES, ALL), option="--split")
    if what == PREDICTIONS and split in ("train", ALL):
        raise UsageError(f"--split {split}: predictions are made of the validation split only; use --split val")
    if images == "link" and not FORMATS[to].holds_images:
        holding = " and ".join(name for name, format in FORMATS.items() if format.holds_images)
        raise UsageError(f"--images link: '{to}' has no images in it; {holding} have")
    if split == ALL:
        return "all"
    return "val" if split == "val" or what == PREDICTIONS else "train"


def _refuse_options_of_masks(to: str, given: Mapping[str, str | int | None]) -> None:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} {value}: '{to}' is the network itself, not masks of images; leave {option} out")


def _require_outside_data(data: DataConfig, target: Path) -> None:
    """Refuse to write images where the data set's reader would find them the next time."""
    if data.name == "folder" and data.root is not None and Path(data.root).resolve() in target.resolve().parents:
        raise ArtifactError(
            f"{target} lies within the data set {data.root}, whose images are taken at any depth; choose another --out"
        )


def _require_choice(value: str, valid: Iterable[str], *, option: str) -> None:
    options = list(valid)
    if value not in options:
        raise UsageError(f"{option}: expected one of {', '.join(options)}, got '{value}'")
