"""Prototypes and samples of features as files: what a run keeps, and how processes give each other their samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from weakseg.errors import ArtifactError, ShapeError
from weakseg.files import write_bytes
from weakseg.localize.feature_sample import ClassFeatures, FeatureSample, merge_features
from weakseg.localize.prototypes import Prototypes
from weakseg.train.distributed import rank, wait_for_all, world_size

KINDS = ("shown", "context")
Arrays = Mapping[str, NDArray[np.generic]]


def save_prototypes(path: Path, prototypes: Mapping[int, Prototypes]) -> None:
    """Write the prototypes of the classes by their index."""
    arrays = {f"{kind}.{key}": getattr(own, kind) for key, own in prototypes.items() for kind in KINDS}
    write_bytes(path, save(arrays))


def load_prototypes(path: Path) -> dict[int, Prototypes]:
    """Read what `save_prototypes` wrote.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    arrays = _read(path)
    try:
        return {key: Prototypes(*(arrays[f"{kind}.{key}"] for kind in KINDS)) for key in _keys(arrays)}  # type: ignore[arg-type]
    except (KeyError, ValueError, IndexError, ShapeError):
        raise ArtifactError(f"{path} holds no prototypes; delete it and run the stage 'localize' again") from None


def gather_features(own: Mapping[int, ClassFeatures], folder: Path) -> Mapping[int, ClassFeatures]:
    """Return the samples of all processes in the first one, by files in a folder of the run; its own in the others."""
    if world_size() == 1:
        return own
    part = folder / f"features.{rank()}.safetensors"
    write_bytes(part, save(_to_arrays(own)))
    wait_for_all()
    parts = [folder / f"features.{other}.safetensors" for other in range(world_size())]
    merged = merge_features([_to_features(_read(path)) for path in parts]) if rank() == 0 else own
    wait_for_all()
    part.unlink()
    return merged


def _read(path: Path) -> Arrays:
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage 'localize' first") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and run the stage 'localize' again") from None


def _to_arrays(features: Mapping[int, ClassFeatures]) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    for key, own in features.items():
        for kind in KINDS:
            sample: FeatureSample = getattr(own, kind)
            arrays[f"features.{kind}.{key}"] = sample.features
            arrays[f"priorities.{kind}.{key}"] = sample.priorities
    return arrays


def _to_features(arrays: Arrays) -> dict[int, ClassFeatures]:
    def restore(kind: str, key: int) -> FeatureSample:
        features, priorities = arrays[f"features.{kind}.{key}"], arrays[f"priorities.{kind}.{key}"]
        return FeatureSample(features.astype(np.float16), priorities.astype(np.uint64))

    return {key: ClassFeatures(restore("shown", key), restore("context", key)) for key in _keys(arrays)}


def _keys(arrays: Arrays) -> list[int]:
    """Return the class indices that names of arrays end with, ascending."""
    return sorted({int(name.rsplit(".", 1)[1]) for name in arrays})
