"""Reading tensors out of checkpoint files without running code in them, and fitting them into a network."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from weakseg.errors import ArtifactError

SHOWN_NAMES = 4
"""How many parameter names an error message lists."""

_TORCHSCRIPT = "TorchScript"
"""Word in the message by which torch refuses to read a program as tensors alone."""

_DATA_PARALLEL_PREFIX = "module."
_COUNTER_SUFFIX = "num_batches_tracked"


def read_checkpoint(path: Path, *, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint file into host memory.

    Args:
        path: A `.safetensors` file, or any other name for what `torch.save` wrote.
        trust_pickle: Unpickle with full powers, which lets the file run any code. Only for files whose origin is
            beyond doubt; without it a file that needs more than tensors and plain containers is refused.

    Returns:
        The tensors by name, see `as_tensors`.

    Raises:
        ArtifactError: If the file is missing, damaged, needs code to be run, or holds no named tensors.
    """
    if not path.is_file():
        raise ArtifactError(f"no checkpoint at {path}: expected a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        try:
            return as_tensors(safetensors.torch.load_file(path), where=str(path))
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{path}: not a readable safetensors file ({error}); copy it again") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f".*{_TORCHSCRIPT}")  # said below, in one line
            content = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        raise ArtifactError(
            f"{path}: damaged, or its pickle asks to run code ({_refused(error)}). If you know who made the file, turn "
            f"it into safetensors with 'weakseg convert {path} --trust-pickle' (in Python: trust_pickle=True)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        if _TORCHSCRIPT in str(error) and not trust_pickle:
            raise ArtifactError(
                f"{path}: a program with its weights (TorchScript), as OpenAI gives out CLIP. If you know who made "
                f"the file, take its weights out of it with 'weakseg convert {path} --trust-pickle'"
            ) from error
        raise ArtifactError(f"{path}: not a readable checkpoint ({_first_line(error)}); copy it again") from error
    if isinstance(content, torch.jit.ScriptModule):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        raise ArtifactError(f"{path}: expected a mapping of names to tensors, got {type(content).__name__}")
    return as_tensors(content, where=str(path))


def as_tensors(content: Mapping[str, Tensor | NDArray[np.generic]], *, where: str) -> dict[str, Tensor]:
    """Turn a mapping of arrays or tensors into CPU tensors under plain names.

    An outer mapping with a `state_dict` entry is unwrapped, and the `module.` prefix of `DataParallel` dropped.

    Args:
        content: Tensors or NumPy arrays by name, not modified; arrays are copied, tensors shared.
        where: File or description for error messages.

    Raises:
        ArtifactError: If a value is neither a tensor nor a numeric array, or there is none.
    """
    inner = content.get("state_dict")
    entries = inner if isinstance(inner, Mapping) else content
    if not entries:
        raise ArtifactError(f"{where}: expected named tensors, got an empty mapping")
    tensors = {}
    for name, value in entries.items():
        if not isinstance(name, str):
            raise ArtifactError(f"{where}: expected parameter names as keys, got {type(name).__name__} {name!r}")
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.array(value))
        if not isinstance(value, Tensor):
            raise ArtifactError(f"{where}: expected tensors, but '{name}' holds {type(value).__name__}")
        tensors[name.removeprefix(_DATA_PARALLEL_PREFIX)] = value.detach().cpu()
    return tensors


def fit_state(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Copy `state` into `module`, which it must fit name by name and shape by shape.

    Only batch norm's `num_batches_tracked` may be missing: checkpoints older than PyTorch 0.4.1 lack it, and fixed
    statistics do not use it.

    Args:
        module: Network whose parameters and buffers are overwritten.
        state: Tensors by name; values are converted to the module's dtypes and devices.
        where: File or description for error messages.

    Raises:
        ArtifactError: If names are missing or unexpected, or a shape differs; then `module` is unchanged.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER_SUFFIX)]
    if missing:
        raise ArtifactError(f"{where}: lacks {len(missing)} of {len(own)} parameters: {abridge(missing)}")
    unexpected = [name for name in state if name not in own]
    if unexpected:
        raise ArtifactError(f"{where}: holds {len(unexpected)} unexpected parameters: {abridge(unexpected)}")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            expected, got = tuple(own[name].shape), tuple(tensor.shape)
            raise ArtifactError(f"{where}: '{name}' should have shape {expected}, got {got}; is it another network's?")
    module.load_state_dict(dict(state), strict=False)


def abridge(names: Iterable[str]) -> str:
    """Join the first few names for a message."""
    listed = list(names)
    tail = ", ..." if len(listed) > SHOWN_NAMES else ""
    return ", ".join(listed[:SHOWN_NAMES]) + tail


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refused(error: BaseException) -> str:
    """Return the line of torch's long message that names what was refused, else the first one."""
    for line in str(error).splitlines():
        if "WeightsUnpickler error" in line:
            return line.strip()
    return _first_line(error)
