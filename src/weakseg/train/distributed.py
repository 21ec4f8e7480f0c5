"""The few facts about processes that training needs; one process needs no launcher and answers rank 0 of 1."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """Return this process's rank, 0 without a launcher."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 without a launcher."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait_for_all() -> None:
    """Block until every process is here."""
    if world_size() > 1:
        dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the elementwise sum over all processes; the input is not modified."""
    total = values.clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return total


def average_gradients(model: nn.Module) -> nn.Module:
    """Wrap a model so that `backward` averages gradients over the processes; returns it as it is when there is one."""
    if world_size() == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of rank 0, in place: batch norm's statistics come from each one's own images."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
