"""Opening what can predict: a run folder, a bundle, the weights file of a segmenter, or an ONNX file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.regular_files import NOT_A_FILE, is_regular
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.models.inference import LabelledPixels
from weakseg.models.onnx_network import OnnxNetwork
from weakseg.models.predictor import DenseNetwork, TorchNetwork, Views, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.ops.images import require_image
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.runtime import choose_device
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.predict.zipped import BUNDLE_FILE, ZIP_SUFFIX, unzipped_bundle
from weakseg.scoring.ablation import make_crf
from weakseg.types import ClassSet

ModelKind = Literal["run", "bundle", "weights", "onnx"]

ONNX_SUFFIX = ".onnx"
WEIGHTS_SUFFIX = ".safetensors"
_DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A network that is ready to predict.

    Args:
        kind: What it was opened from.
        path: As given.
        network: The network.
        classes: Its classes.
        views: How the run it comes from looks at images.
        digest: Hexadecimal 16-byte BLAKE2b of the file with the weights.
    """

    kind: ModelKind
    path: Path
    network: DenseNetwork
    classes: ClassSet
    views: Views
    digest: str


def name_device(path: Path, device: str) -> str:
    """Return the device that is meant where a model is to run: with `auto` an ONNX file runs on the CPU."""
    return "cpu" if device == "auto" and _is_onnx(path) else device


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ONNX_SUFFIX and (is_regular(path) or not path.exists())


def open_model(path: Path, *, device: str) -> OpenedModel:
    """Open a model.

    Args:
        path: A run folder, a bundle (a folder or a zip), a segmenter's `model.safetensors`, or an ONNX file.
        device: `auto`, `cpu`, `cuda` or `cuda:N`. With `auto` an ONNX file runs on the CPU.

    Raises:
        ArtifactError: If there is no trained segmenter, or a bundle's weights are not those it was made with.
        ConfigError: If the device is not there.
        MissingExtra: If an ONNX file is given and onnxruntime is not installed.
    """
    if _is_onnx(path):
        onnx = OnnxNetwork(path, choose_device(name_device(path, device)))
        return OpenedModel("onnx", path, onnx, onnx.info.classes, onnx.info.views, digest_file(path))
    if path.suffix.lower() == ZIP_SUFFIX and path.is_file():
        with unzipped_bundle(path) as folder:
            return replace(open_model(folder, device=device), path=path)
    weights = find_segmenter(path)
    digest = digest_file(weights)
    kind: ModelKind = "weights" if weights == path else "run"
    if (path / BUNDLE_FILE).is_file():
        kind = "bundle"
        _require_own_weights(path / BUNDLE_FILE, weights, digest)
    module, classes = load_segmenter(weights, choose_device(device))
    return OpenedModel(kind, path, TorchNetwork(module), classes, views_of(find_settings(path)), digest)


def _require_own_weights(file: Path, weights: Path, digest: str) -> None:
    try:
        expected = decode_json(file.read_text(encoding="utf-8"))["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{file} is damaged ({error}); copy the bundle again") from None
    if digest != expected:
        raise ArtifactError(
            f"{weights} are not the weights of this bundle: digest {digest}, expected {expected}; copy it again"
        )


def find_segmenter(model: Path) -> Path:
    """Return the weights file of a run folder or bundle, or the file itself.

    Raises:
        ArtifactError: If it is nothing of this kind, or a run without a trained segmenter.
    """
    if not model.is_dir():
        if not model.is_file() or model.suffix.lower() != WEIGHTS_SUFFIX:
            raise ArtifactError(
                f"{model} is no model: expected a run folder, a bundle (folder or {ZIP_SUFFIX}), the "
                f"model{WEIGHTS_SUFFIX} of a segmenter, or an {ONNX_SUFFIX} file, "
                f"got {_tell_other(model)}"
            )
        return model
    weights = RunFolder(model).network("segmenter").model
    if not weights.is_file() and not RunFolder(model).recipe.is_file():
        inner = [place.parent for place in sorted(model.glob(f"*/{BUNDLE_FILE}"))]
        hint = f"; did you mean {inner[0]}?" if inner else ""  # a zip unpacked into a folder of its own
        raise ArtifactError(
            f"{model} is no model: expected a run folder or a bundle, got a folder without "
            f"{RunFolder(model).recipe.name}{hint}"
        )
    if not weights.is_file():
        raise ArtifactError(f"{model} has no trained segmenter; finish the run with 'weakseg run {model}'")
    return weights


def _tell_other(model: Path) -> str:
    if model.is_file():
        return "another file"
    return NOT_A_FILE if os.path.lexists(model) else "nothing of that name"


def find_settings(model: Path) -> RunConfig:
    """Return the recipe of a run folder or bundle, or of the one a weights file lies in; the defaults without any."""
    for folder in (model, model.absolute().parent.parent):
        recipe = RunFolder(folder).recipe
        if recipe.is_file():
            return build_config(read_recipe(str(recipe)))
    return RunConfig()


def views_of(config: RunConfig) -> Views:
    """Return how a recipe looks at images that are predicted."""
    evaluate = config.evaluate
    data = config.data
    return Views(evaluate.scales, evaluate.flip, data.max_side_px, make_crf(evaluate.crf), data.pixel_range)


def limit_views(views: Views, max_side_px: int | None) -> Views:
    """Put a limit of the longer side in place of the run's: 0 for none; the run's own stays for None."""
    return views if max_side_px is None else replace(views, max_side_px=max_side_px or None)


def allowed_labels(classes: ClassSet, tags: Iterable[str] | None) -> list[int] | None:
    """Return the labels that may appear where only these classes may: background and theirs; None for any.

    Raises:
        DataError: If a tag is no class; names the nearest.
    """
    return None if tags is None else [0, *(1 + classes.index(tag) for tag in tags)]


def label_image(
    opened: OpenedModel, image: NDArray[np.uint8], *, tiling: Tiling, tags: Iterable[str] | None = None
) -> LabelledPixels:
    """Label one image, as `weakseg predict` labels each.

    Args:
        opened: The network.
        image: (H, W, 3) uint8 RGB, not modified.
        tiling: How it is cut where it is large.
        tags: The only classes that may appear; None for all.

    Returns:
        `labels` (H, W) uint8, 0 background, c + 1 class c, and `confidence` (H, W) float32 in 0..1.

    Raises:
        DataError: If a tag is no class; names the nearest.
        ShapeError: If the image is not (H, W, 3) uint8.
    """
    allowed = allowed_labels(opened.classes, tags)
    require_image(image)
    (maps,) = predict_views(opened.network, [image], views=opened.views, tiling=tiling)
    return choose_labels(maps, image, views=opened.views, allowed=allowed)


def digest_file(path: Path) -> str:
    """Return the hexadecimal 16-byte BLAKE2b of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()
