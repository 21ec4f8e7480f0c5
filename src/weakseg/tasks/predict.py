"""Masks and overlays of new images from a trained segmentation network."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.images import IMAGE_SUFFIXES, read_image
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_bytes
from weakseg.models.inference import predict_labels
from weakseg.ops.color import overlay
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.networks import load_segmenter
from weakseg.pipeline.runtime import choose_device, show_progress

logger = logging.getLogger("weakseg")

OVERLAY_QUALITY = 90


@dataclass(frozen=True)
class Prediction:
    """What was found in one image.

    Args:
        image: The image file.
        mask: The palette PNG written for it.
        shares: Share of the pixels per class found, largest first; background left out.
    """

    image: Path
    mask: Path
    shares: tuple[tuple[str, float], ...]


def predict_files(model: Path, inputs: Sequence[Path], out: Path, *, device: str) -> list[Prediction]:
    """Label images with a trained segmenter and write `<id>.png` masks and `<id>_overlay.jpg` beside them.

    Args:
        model: A run folder, or the `model.safetensors` of a segmenter.
        inputs: Image files, and folders whose images are taken at any depth.
        out: Folder to write to; sub-folders of an input folder are kept.
        device: As `runtime.device`.

    Returns:
        One entry per image written. Unreadable images are named in the log and left out.

    Raises:
        ArtifactError: If there is no trained segmenter.
        DataError: If there is nothing to predict, no image can be read, two inputs would write the same file, or an
            input would be overwritten.
    """
    targets = list_targets(inputs, out=out)
    segmenter, classes = load_segmenter(find_segmenter(model), choose_device(device))
    settings = find_settings(model)
    found: list[Prediction] = []
    with show_progress("predicting") as tick:
        for done, (name, path) in enumerate(targets.items()):
            tick(done, len(targets))
            try:
                image = read_image(path)
            except DataError as error:
                logger.warning("%s; left out", error)
                continue
            labels = predict_labels(
                segmenter,
                image,
                scales=settings.evaluate.scales,
                flip=settings.evaluate.flip,
                max_side_px=settings.data.max_side_px,
            )
            mask, painted = target_files(out, name)
            save_mask(mask, labels)
            _save_overlay(painted, overlay(image, labels))
            counts = np.bincount(labels.ravel(), minlength=classes.num_labels)[1:] / labels.size
            order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k] > 0]
            found.append(Prediction(path, mask, tuple((classes.names[k], float(counts[k])) for k in order)))
        tick(len(targets), len(targets))
    if not found:
        raise DataError(f"none of the {len(targets)} images can be read; each is named above")
    return found


def find_segmenter(model: Path) -> Path:
    """Return the weights file of a run folder, or the file itself."""
    if not model.is_dir():
        return model
    weights = RunFolder(model).network("segmenter").model
    if not weights.is_file():
        raise ArtifactError(f"{model} has no trained segmenter; finish the run with 'weakseg run {model}'")
    return weights


def find_settings(model: Path) -> RunConfig:
    """Return the recipe of a run folder, or of the one a weights file lies in; the defaults for a bare file."""
    for folder in (model, model.parent.parent):
        recipe = RunFolder(folder).recipe
        if recipe.is_file():
            return build_config(read_recipe(str(recipe)))
    return RunConfig()


def target_files(out: Path, name: str) -> tuple[Path, Path]:
    """Return the files of the mask and of the overlay of an image."""
    return out / f"{name}.png", out / f"{name}_overlay.jpg"


def list_targets(inputs: Sequence[Path], *, out: Path) -> dict[str, Path]:
    """Name the images of files and folders; names are relative paths without suffix.

    Args:
        inputs: Files, and folders to look through.
        out: Folder to write to. Where it lies below an input folder, what it holds are earlier results, no inputs.

    Raises:
        DataError: If an input does not exist, none holds an image, two images would have one name, or a result would
            replace an input.
    """
    targets: dict[str, Path] = {}
    for given in inputs:
        if given.is_dir():
            found = _find_images(given, out=out)
            named = [(path.relative_to(given).with_suffix("").as_posix(), path) for path in found]
        elif given.is_file():
            named = [(given.stem, given)]
        else:
            raise DataError(f"there is no file or folder {given}")
        for name, path in named:
            if name in targets:
                raise DataError(f"{targets[name]} and {path} would both be written as '{name}.png'; rename one of them")
            targets[name] = path
    if not targets:
        raise DataError(f"no images ({', '.join(IMAGE_SUFFIXES)}) in {', '.join(str(path) for path in inputs)}")
    given_files = {path.resolve() for path in targets.values()}
    for name in targets:
        for path in target_files(out, name):
            if path.resolve() in given_files:
                raise DataError(f"{path} is one of the images and would be replaced by a result; choose another --out")
    return targets


def _find_images(folder: Path, *, out: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    results = out.resolve()
    if folder.resolve() not in results.parents:
        return paths
    return [path for path in paths if results not in path.resolve().parents]


def _save_overlay(path: Path, image: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=OVERLAY_QUALITY)
    write_bytes(path, buffer.getvalue())
