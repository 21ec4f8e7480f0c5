"""Exporting a run: its masks in the format of another tool, or its network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.config.schema import DataConfig
from weakseg.data.base import Dataset
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.formats import FORMATS
from weakseg.data.export.split import LabelledSplit, Role
from weakseg.data.masks import PngMasks
from weakseg.errors import ArtifactError, UsageError
from weakseg.ops.instances import Instances
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.irn import makes_instances
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.refine.instance_files import load_instances
from weakseg.tasks.export_model import EXPORTS, MODEL_FORMATS, ExportedModel, export_model
from weakseg.tasks.run import read_run_config
from weakseg.types import Sample

SUBJECTS = ("masks", "predictions")
"""What can be exported: the pseudo masks, or the segmenter's masks of the validation split."""

ROLES: tuple[Role, ...] = ("train", "val")
IMAGE_CHOICES = ("copy", "link")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        format: Name of the format.
        what: `masks` or `predictions`.
        split: Name of the split.
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
) -> Exported | ExportedModel:
    """Write the masks of a run in another format, or its network.

    Args:
        run: The run folder.
        to: Name of the format, one of `FORMATS` for masks and of `MODEL_FORMATS` for the network.
        out: Folder to write to; `RUN/exports/<format>-<what>-<split>` when None. It may hold an earlier export to the
            same format, which is replaced, and no other file. For the network see `export_model`.
        what: `masks`, or `predictions` of the segmenter; `masks` when None. Not for the network, as all that follow.
        split: `train` or `val` as the recipe means them; when None, `train` for masks and `val` for predictions.
        images: `copy` or `link`, for the formats that hold images; `copy` when None.

    Returns:
        What was written.

    Raises:
        UsageError: If a name is none of those that exist, or images are to be linked where the format has none.
        ArtifactError: If `run` is no run folder or lacks masks, or the folder to write to holds foreign files.
        DataError: If the data set cannot be opened, or a mask or image cannot be used.
    """
    _require_choice(to, (*FORMATS, *MODEL_FORMATS), option="--to")
    if to in MODEL_FORMATS:
        _refuse_options_of_masks(to, {"--what": what, "--split": split, "--images": images})
        return export_model(run, to=to, out=out)
    what, images = what or "masks", images or "copy"
    role = _choose_role(to=to, what=what, split=split, images=images)
    return export_masks(_open_run(run), to=to, out=out, what=what, role=role, link_images=images == "link")


def export_masks(
    context: Context,
    *,
    to: str,
    out: Path | None = None,
    what: str = "masks",
    role: Role = "train",
    link_images: bool = False,
) -> Exported:
    """Write the masks of an opened run in another format; see `export_run`."""
    dataset = _choose_dataset(context, what, role)
    files = context.folder.mask if what == "masks" else context.folder.prediction
    _require_masks(context, dataset, files, what)
    target = out or context.folder.root / EXPORTS / f"{to}-{what}-{role}"
    _require_outside_data(context.config.data, target)
    folder = ExportFolder(target, format=to, link_images=link_images)
    with show_progress(f"exporting to {to}") as tick:
        notes = FORMATS[to].write(_make_source(context, dataset, what, role, tick), folder)
    folder.finish()
    return Exported(to, what, dataset.split, target, len(dataset), tuple(notes))


def _choose_role(*, to: str, what: str, split: str | None, images: str) -> Role:
    """Check what was typed, and return what the split is used for."""
    _require_choice(what, SUBJECTS, option="--what")
    _require_choice(images, IMAGE_CHOICES, option="--images")
    if split is not None:
        _require_choice(split, ROLES, option="--split")
    if what == "predictions" and split == "train":
        raise UsageError("--split train: predictions are made of the validation split only; use --split val")
    if images == "link" and not FORMATS[to].holds_images:
        holding = " and ".join(name for name, format in FORMATS.items() if format.holds_images)
        raise UsageError(f"--images link: '{to}' has no images in it; {holding} have")
    return "val" if split == "val" or what == "predictions" else "train"


def _refuse_options_of_masks(to: str, given: Mapping[str, str | None]) -> None:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} {value}: '{to}' is the network itself, not masks of images; leave {option} out")


def _open_run(run: Path) -> Context:
    config = read_run_config(run)
    # Nothing is computed, and the GPU of the run may be on another machine.
    return prepare(replace(config, runtime=replace(config.runtime, device="cpu")), RunFolder(run))


def _choose_dataset(context: Context, what: str, role: Role) -> Dataset:
    """Return the images of a split that have what is asked for."""
    run = context.folder.root
    whole = context.train if role == "train" else context.val
    if whole is None:
        raise ArtifactError(f"{run} has no validation split (data.val); --split train exports the pseudo masks")
    if what == "predictions":
        return whole
    if role not in context.config.localize.splits:
        raise ArtifactError(
            f"{run} has no pseudo masks of {whole.split}: localize.splits is {list(context.config.localize.splits)}; "
            "use --what predictions for the segmenter's masks"
        )
    own = {sample.id for dataset in seeded_datasets(context) for sample in dataset}
    return whole.keep(own)


def _require_masks(context: Context, dataset: Dataset, files: Callable[[str], Path], what: str) -> None:
    run, stage = context.folder.root, "refine" if what == "masks" else "evaluate"
    if not len(dataset):
        raise ArtifactError(f"{run} has no images of {dataset.split} to export")
    missing = [sample.id for sample in dataset if not files(sample.id).is_file()]
    if missing:
        raise ArtifactError(
            f"{run} lacks the {what} of {len(missing)} of {len(dataset)} images of {dataset.split}, such as "
            f"'{missing[0]}'; finish the stage '{stage}' with 'weakseg run {run}'"
        )


def _require_outside_data(data: DataConfig, target: Path) -> None:
    """Refuse to write images where the data set's reader would find them the next time."""
    if data.name == "folder" and data.root is not None and Path(data.root).resolve() in target.resolve().parents:
        raise ArtifactError(
            f"{target} lies within the data set {data.root}, whose images are taken at any depth; choose another --out"
        )


def _make_source(
    context: Context, dataset: Dataset, what: str, role: Role, tick: Callable[[int, int], None]
) -> LabelledSplit:
    folder = context.folder
    reader = PngMasks((folder.masks if what == "masks" else folder.predictions,))
    done = 0

    def read_mask(sample: Sample, /) -> NDArray[np.uint8] | None:
        nonlocal done
        done += 1
        tick(done, len(dataset))
        return reader(sample)

    def read_instances(sample: Sample) -> Instances:
        return load_instances(folder.instance(sample.id))

    return LabelledSplit(
        name=dataset.split,
        role=role,
        classes=dataset.classes,
        samples=dataset.samples,
        mask_reader=read_mask,
        # Instances are parts of the pseudo masks; the segmenter's masks are others.
        instance_reader=read_instances if what == "masks" and makes_instances(context.config) else None,
        source_ids=dataset.source_ids,
    )


def _require_choice(value: str, valid: Iterable[str], *, option: str) -> None:
    options = list(valid)
    if value not in options:
        raise UsageError(f"{option}: expected one of {', '.join(options)}, got '{value}'")
