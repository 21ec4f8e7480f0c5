"""The few facts about processes that training needs; one process needs no launcher and answers rank 0 of 1."""

from __future__ import annotations

import logging
import warnings

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

logger = logging.getLogger("weakseg")


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
    # Of weights of 1 x 1 kernels, whose strides say the same in either memory format; torch warns once per process.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of rank 0, in place: batch norm's statistics come from each one's own images."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def tell_differences(model: nn.Module) -> None:
    """Warn, when there are several processes, of what in a network makes them learn otherwise than one would.

    Args:
        model: In training mode, as it is about to learn.
    """
    if world_size() == 1:
        return
    for what, kind in (("batch norm, whose statistics", _BatchNorm), ("dropout, whose draws", _DropoutNd)):
        if any(isinstance(module, kind) and module.training and _acts(module) for module in model.modules()):
            cure = "; fixed_norm: true makes them equal" if kind is _BatchNorm else ""
            _tell(f"{what} are each process's own{cure}")


def tell_own_pairs() -> None:
    """Warn, when there are several processes, that a loss is averaged over the pairs of each process's own share."""
    if world_size() > 1:
        _tell("a loss that each process averages over the pairs of pixels in its own images")


def _tell(why: str) -> None:
    logger.warning("%d processes end with a slightly different network than one would: %s", world_size(), why)


def _acts(module: nn.Module) -> bool:
    """Say whether a layer does anything; dropout of no share does not."""
    return not isinstance(module, _DropoutNd) or module.p > 0
