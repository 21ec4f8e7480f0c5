"""Files of instances, `instances/<id>.npz`: one bit a pixel and instance, deflated. Nothing here is a pickle."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from weakseg.errors import ArtifactError, ShapeError
from weakseg.files import write_bytes
from weakseg.ops.instances import Instances


def save_instances(path: Path, instances: Instances) -> None:
    """Write instances as an `.npz` file: `keys` (K,), `scores` (K,), `size_hw` (2,) and `bits` (K, ceil(H W / 8)).

    A few kB for a photograph. The file appears whole or not at all; equal instances give equal bytes.

    Raises:
        ArtifactError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        keys=instances.keys,
        scores=instances.scores,
        size_hw=np.array(instances.size_hw, np.int64),
        bits=np.packbits(instances.masks.reshape(len(instances), math.prod(instances.size_hw)), axis=1),
    )
    write_bytes(path, buffer.getvalue())


def load_instances(path: Path) -> Instances:
    """Read instances.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, scores, bits = file["keys"], file["scores"], file["bits"]
            height, width = (int(side) for side in file["size_hw"])
        expected = (len(keys), math.ceil(height * width / 8))
        if bits.dtype != np.uint8 or bits.shape != expected:
            raise ShapeError(f"expected bits {expected} uint8, got {bits.shape} {bits.dtype}")
        masks = np.unpackbits(bits, axis=1, count=height * width).astype(np.bool_)
        return Instances(masks.reshape(len(keys), height, width), keys, scores)
    except FileNotFoundError:
        raise ArtifactError(f"expected instances at {path}, but there are none; run the stage 'refine'") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile, ShapeError) as error:
        raise ArtifactError(f"instances {path} are damaged ({error}); delete the file and run 'refine' again") from None
