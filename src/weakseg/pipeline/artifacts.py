"""The files of a run folder: where each lives, and how it is written and read. Nothing here is a pickle.

Every writer is atomic (`weakseg.files`), so that a file that exists is a file that is complete, and deterministic: the
same run gives the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from weakseg.data.masks import PngMasks, encode_mask
from weakseg.errors import ArtifactError, ShapeError
from weakseg.files import JsonValue, write_bytes
from weakseg.train.loop import TrainState
from weakseg.types import ScoreMaps

METADATA_KEY = "weakseg"
"""Entry of a safetensors header that holds our JSON."""


@dataclass(frozen=True)
class RunFolder:
    """The layout of one run.

    Args:
        root: The folder; may not exist yet.
    """

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved configuration, YAML."""
        return self.root / "recipe.yaml"

    @property
    def state(self) -> Path:
        """State, fingerprint, versions and timings of each stage, JSON."""
        return self.root / "run.json"

    @property
    def image_index(self) -> Path:
        """What is known about each image file, JSON; a cache."""
        return self.root / "images.json"

    @property
    def generated_data(self) -> Path:
        """The generated data set, when the recipe has one and gives no other place."""
        return self.root / "data"

    @property
    def seeds(self) -> Path:
        """Folder of score maps, `<id>.npz`."""
        return self.root / "seeds"

    @property
    def adaptations(self) -> Path:
        """Folder of the comparison of CAM with RIB, `<updates>/<id>.npz`: score maps of some images during RIB."""
        return self.root / "adaptations"

    @property
    def labels(self) -> Path:
        """Folder of the confident labels that a refiner learns from, `<id>.png`."""
        return self.root / "labels"

    @property
    def instances(self) -> Path:
        """Folder of instances, `<id>.npz`."""
        return self.root / "instances"

    @property
    def detections(self) -> Path:
        """Folder of the instances of each split as COCO's detection results, `<split>.json`."""
        return self.root / "detections"

    @property
    def saliency_index(self) -> Path:
        """What is known about each saliency map, JSON; a cache."""
        return self.root / "saliency.json"

    @property
    def confidence_maps(self) -> Path:
        """Folder of how sure the pseudo masks are, `<id>.png`, 8-bit grey, 255 for sure."""
        return self.root / "confidence"

    @property
    def threshold(self) -> Path:
        """The background threshold that `auto` has chosen, and every candidate's score, JSON."""
        return self.root / "threshold.json"

    @property
    def masks(self) -> Path:
        """Folder of pseudo masks, `<id>.png`."""
        return self.root / "masks"

    @property
    def predictions(self) -> Path:
        """Folder of the segmenter's masks of the validation split, `<id>.png`."""
        return self.root / "predictions"

    @property
    def metrics(self) -> Path:
        """All numbers, JSON."""
        return self.root / "metrics.json"

    @property
    def image_scores(self) -> Path:
        """IoU of every evaluated image, CSV."""
        return self.root / "image_scores.csv"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    def network(self, kind: str) -> NetworkFolder:
        """Files of the network `classifier`, `refiner` or `segmenter`."""
        return NetworkFolder(self.root / kind)

    def seed(self, sample_id: str) -> Path:
        """Seed file of one image."""
        return self.seeds / f"{sample_id}.npz"

    def adaptation(self, updates: int, sample_id: str) -> Path:
        """Seed file of one image whose adaptation saw so many updates; 0 is CAM."""
        return self.adaptations / str(updates) / f"{sample_id}.npz"

    def label(self, sample_id: str) -> Path:
        """Confident labels of one image."""
        return self.labels / f"{sample_id}.png"

    def instance(self, sample_id: str) -> Path:
        """Instances of one image."""
        return self.instances / f"{sample_id}.npz"

    def detection(self, split: str) -> Path:
        """All instances of one split as COCO's detection results."""
        return self.detections / f"{split}.json"

    def confidence_map(self, sample_id: str) -> Path:
        """How sure the pseudo mask of one image is."""
        return self.confidence_maps / f"{sample_id}.png"

    def mask(self, sample_id: str) -> Path:
        """Pseudo mask of one image."""
        return self.masks / f"{sample_id}.png"

    def prediction(self, sample_id: str) -> Path:
        """The segmenter's mask of one image."""
        return self.predictions / f"{sample_id}.png"

    def ablated(self, key: str, sample_id: str) -> Path:
        """Segmenter's mask of one validation image when it is predicted with less than the recipe says."""
        return self.root / "ablation" / key / f"{sample_id}.png"

    def mask_reader(self) -> PngMasks:
        """Reader of the pseudo masks."""
        return PngMasks((self.masks,))


@dataclass(frozen=True)
class NetworkFolder:
    """Files of one trained network.

    Args:
        root: The folder.
    """

    root: Path

    @property
    def model(self) -> Path:
        """Final weights, safetensors; complete training only."""
        return self.root / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch, safetensors; gone once the training is complete."""
        return self.root / "checkpoint.safetensors"

    @property
    def donors(self) -> Path:
        """How many objects of each class were found for pasting, JSON; only with context decoupling."""
        return self.root / "donors.json"

    @property
    def pasted_sheet(self) -> Path:
        """Some images with pasted objects, PNG; only with context decoupling."""
        return self.root / "pasted.png"

    @property
    def history(self) -> Path:
        """One record per epoch, JSON."""
        return self.root / "history.json"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, JsonValue]) -> None:
    """Write tensors and JSON information as one safetensors file."""
    header = {METADATA_KEY: json.dumps(info, sort_keys=True, allow_nan=False)}
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, metadata=header))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
    """Read a safetensors file that `save_tensors` wrote.

    Returns:
        Tensors on the CPU, and the information (empty if another program wrote the file).

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    return _read(path, with_tensors=True)


def load_info(path: Path) -> dict[str, JsonValue]:
    """Read the information of a safetensors file without its tensors; raises as `load_tensors` does."""
    return _read(path, with_tensors=False)[1]


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
    if not path.is_file():
        raise ArtifactError(f"expected a safetensors file at {path}, but there is none; run the stage that writes it")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}
            info = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and run the stage that writes it again") from None
    return tensors, info


def save_state(path: Path, state: TrainState) -> None:
    """Write a training state."""
    save_tensors(path, state.tensors, state.plain)


def load_state(path: Path) -> TrainState | None:
    """Read a training state, or return None if there is none."""
    return TrainState(*load_tensors(path)) if path.is_file() else None


def save_seed(path: Path, maps: ScoreMaps, *, stopped_by: str | None = None) -> None:
    """Write score maps as an `.npz` file: `keys` (K,), `size_hw` (2,), and per scale `scale_<i>` (K, h, w) float32.

    Args:
        path: The file.
        maps: The score maps.
        stopped_by: Why an adaptation ended; kept as the entry `stopped_by`, absent if None.

    Raises:
        ArtifactError: If a value is not finite.
    """
    if not _all_finite(maps):
        raise ArtifactError(
            f"the score maps for {path} are not finite: the classifier has diverged; train it with a lower rate"
        )
    arrays: dict[str, NDArray[np.generic]] = {
        "keys": np.array(maps.keys, np.int64),
        "size_hw": np.array(maps.size_hw, np.int64),
    }
    if stopped_by is not None:
        arrays["stopped_by"] = np.array(stopped_by)
    for index, scale in enumerate(maps.scales):
        arrays[f"scale_{index}"] = scale.detach().cpu().numpy()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def load_seed(path: Path) -> ScoreMaps:
    """Read score maps.

    Raises:
        ArtifactError: If the file is missing, damaged, or holds a value that is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("scale_") for name in file.files)
            scales: list[NDArray[np.float32]] = [file[f"scale_{index}"] for index in range(count)]
            keys, (height, width) = file["keys"], file["size_hw"]
        maps = ScoreMaps(
            keys=tuple(int(key) for key in keys),
            scales=tuple(torch.from_numpy(scale) for scale in scales),
            size_hw=(int(height), int(width)),
        )
    except FileNotFoundError:
        raise ArtifactError(f"expected a seed at {path}, but there is none; run the stage 'localize'") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ShapeError) as error:
        raise ArtifactError(f"seed {path} is damaged ({error}); delete it and run 'localize' again") from None
    if not _all_finite(maps):
        raise ArtifactError(f"seed {path} holds values that are not finite; delete it and run 'localize' again")
    return maps


def load_stop_reason(path: Path) -> str | None:
    """Read why the adaptation behind a seed ended; None where there was none."""
    with np.load(path, allow_pickle=False) as file:
        return str(file["stopped_by"]) if "stopped_by" in file.files else None


def _all_finite(maps: ScoreMaps) -> bool:
    return all(bool(scale.isfinite().all()) for scale in maps.scales)


def save_mask(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write a label map (H, W) as a palette PNG."""
    write_bytes(path, encode_mask(labels))
