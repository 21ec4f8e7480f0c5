"""How the files of a run folder are written and read; `RunFolder` says where each lives. Nothing here is a pickle.

Every writer is atomic (`weakseg.files`), so that a file that exists is a file that is complete, and deterministic: the
same run gives the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from weakseg.data.masks import encode_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ShapeError
from weakseg.files import JsonValue, write_bytes
from weakseg.pipeline.run_folder import NetworkFolder, RunFolder
from weakseg.train.loop import TrainState
from weakseg.types import ScoreMaps

__all__ = [
    "METADATA_KEY",
    "NetworkFolder",
    "RunFolder",
    "load_info",
    "load_seed",
    "load_state",
    "load_stop_reason",
    "load_tensors",
    "save_mask",
    "save_seed",
    "save_state",
    "save_tensors",
]

METADATA_KEY = "weakseg"
"""Entry of a safetensors header that holds our JSON."""


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
            info = decode_json((file.metadata() or {}).get(METADATA_KEY, "{}"))
        if not isinstance(info, dict):
            raise ValueError(f"expected its '{METADATA_KEY}' to be a mapping, got {type(info).__name__}")
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
    """Read why the adaptation behind a seed ended; None where there was none.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["stopped_by"]) if "stopped_by" in file.files else None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"seed {path} is missing or damaged ({error}); run 'localize' again") from None


def _all_finite(maps: ScoreMaps) -> bool:
    return all(bool(scale.isfinite().all()) for scale in maps.scales)


def save_mask(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write a label map (H, W) as a palette PNG."""
    write_bytes(path, encode_mask(labels))
