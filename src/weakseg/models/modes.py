"""Temporary changes of a network's mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` in evaluation mode for a block and give every submodule its own mode back, also after an error.

    `module.train(was_training)` would not do: it also switches on the parts that were kept in evaluation mode.
    """
    trained = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in trained:
            part.training = True
