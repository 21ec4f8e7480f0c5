"""Draws from torch's global generators, made to follow from a seed: dropout and foreign code take no generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_draws(device: torch.device, *seed: int) -> Iterator[None]:
    """Seed torch's global generators of the CPU and of `device` for a block, and give them their states back after it.

    Other devices' generators, and those of Python and NumPy, are left alone.

    Args:
        device: Where the block draws, besides the CPU; CUDA is in use already.
        seed: Numbers of at least 0 that select the draws together, such as (seed, step, rank).
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    states = [generator.get_state() for generator in generators]
    mixed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    try:
        for generator in generators:
            generator.manual_seed(mixed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
