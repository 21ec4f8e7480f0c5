"""Passing a batch through the network in parts, so that a large batch fits into little memory.

Gradients of the parts add up to that of the whole batch if each part's loss is its share of the whole batch's loss.
Losses are means over what is labelled, and parts hold unequal amounts of it: a part therefore knows its whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from weakseg.data.crops import Batch


@dataclass(frozen=True, eq=False)
class BatchPart(Batch):
    """Some images of a batch.

    Args:
        whole: The batch, of this process, that they are taken from.
    """

    whole: Batch


def whole_of(batch: Batch) -> Batch:
    """Return the batch that a part is taken from, or the batch itself if it is no part."""
    return batch.whole if isinstance(batch, BatchPart) else batch


def split_batch(batch: Batch, parts: int) -> tuple[BatchPart, ...]:
    """Split a batch into runs of consecutive images whose numbers differ by one at most.

    Args:
        batch: The whole batch, not modified and not copied.
        parts: Number of parts; no more than there are images are made.

    Returns:
        The parts, on the batch's device.
    """
    images = len(batch.images)
    parts = min(parts, images)
    bounds = [-(-images * index // parts) for index in range(parts + 1)]
    return tuple(
        BatchPart(
            images=batch.images[first:last],
            tags=batch.tags[first:last],
            known=batch.known[first:last],
            labels=None if batch.labels is None else batch.labels[first:last],
            whole=batch,
        )
        for first, last in pairwise(bounds)
    )


def add_gradients(model: nn.Module, batch: Batch, *, loss: Callable[[nn.Module, Batch], Tensor], parts: int) -> Tensor:
    """Add a batch's gradients to those the parameters have.

    Args:
        model: The network, perhaps wrapped for several processes; those average their gradients once.
        batch: On the model's device.
        loss: Returns the scalar loss of the batch or, for a `BatchPart`, its share of the loss of `whole_of` it.
        parts: In how many parts the batch is passed; 1 passes it as it is.

    Returns:
        The batch's loss, without history.
    """
    if parts == 1:
        return _add(model, batch, loss)
    pieces = split_batch(batch, parts)
    total = None
    for index, part in enumerate(pieces):
        with _without_averaging(model) if index < len(pieces) - 1 else nullcontext():
            share = _add(model, part, loss)
        total = share if total is None else total + share
    assert total is not None, "a batch without images"
    return total


def _add(model: nn.Module, batch: Batch, loss: Callable[[nn.Module, Batch], Tensor]) -> Tensor:
    value = loss(model, batch)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach()


def _without_averaging(model: nn.Module) -> AbstractContextManager[None]:
    """Keep the processes from averaging gradients to which more will be added."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
