"""Checkpoints into safetensors, which hold tensors alone and run no code when they are read."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch

from weakseg.errors import ArtifactError, UsageError
from weakseg.files import write_bytes
from weakseg.models.checkpoints import read_checkpoint

SUFFIX = ".safetensors"


def convert_checkpoint(source: Path, out: Path | None = None, *, trust_pickle: bool = False) -> tuple[Path, int]:
    """Write the named tensors of a checkpoint as safetensors; values, names and types stay, all else is left out.

    Args:
        source: What `torch.save` wrote.
        out: The new file, `.safetensors`; beside the source, under its name, when None.
        trust_pickle: Unpickle with full powers, which lets the file run any code; see `read_checkpoint`.

    Returns:
        The new file, and how many tensors it holds.

    Raises:
        UsageError: If the new file has another suffix.
        ArtifactError: If the source cannot be read, asks to run code and is not trusted, or the new file exists.
    """
    out = source.with_suffix(SUFFIX) if out is None else out
    if out.suffix != SUFFIX:
        raise UsageError(f"--out: expected a name that ends in {SUFFIX}, got {out}")
    if out.exists():
        raise ArtifactError(f"{out} exists; remove it, or choose another --out")
    tensors = read_checkpoint(source, trust_pickle=trust_pickle)
    # Copies, since a checkpoint's tensors may share memory, which safetensors refuses.
    apart = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    write_bytes(out, safetensors.torch.save(apart, {"converted_from": source.name}))
    return out, len(apart)
