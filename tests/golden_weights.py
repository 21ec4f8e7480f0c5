"""Parameters as a function of their official names, by which the recorded values in `golden/` were made."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden"
LAST_NORMS = ("bn3.weight", "increase.bn.weight", "bn_branch2b2.weight", "bn_branch2b1.weight")


@dataclass(frozen=True)
class Layout:
    """Parameter names of an official checkpoint: shapes by canonical name, canonical names by alias."""

    shapes: Mapping[str, Sequence[int]]
    aliases: Mapping[str, str]


def load_layout(kind: str) -> Layout:
    content = json.loads((GOLDEN / f"{kind}_layout.json").read_text())
    return Layout(shapes=content["shapes"], aliases=content["aliases"])


def fill_state_dict(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, NDArray[np.generic]]:
    return {name: fill(name, tuple(shape), seed) for name, shape in shapes.items()}


def fill(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.generic]:
    """Return one parameter, drawn from a stream seeded with (seed, crc32(name))."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith(("running_mean", "bias")):
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)
    # A small scale on the last norm of a block keeps the sums over blocks tame.
    return (rng.uniform(0.8, 1.2, shape) * (0.3 if name.endswith(LAST_NORMS) else 1.0)).astype(np.float32)
