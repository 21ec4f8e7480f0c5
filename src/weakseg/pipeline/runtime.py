"""How a run computes: its device, its processes, and what makes it compute the same each time."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from weakseg.errors import ConfigError, PeerFailed, WeaksegError
from weakseg.models.layout import Network, lay_out
from weakseg.train.distributed import wait_for_all

MAX_WAIT = timedelta(days=7)
"""Processes wait this long for one that works alone, as rank 0 does when it scores. The defaults of torch are 10 and 30
minutes; a process that has died is noticed by `torchrun`, not by this."""

MEETING_WAIT = timedelta(minutes=10)
"""Processes wait so long for each other at the beginning. One that is lost then is noticed by `torchrun`, too, but now
and then the others' connection hangs after it has started all again (torch 2.13.0, gloo)."""

RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""Where `torchrun` says how often it has started the processes again."""

FAILED_KEY = "weakseg/failed"
"""Where processes count those of them that have failed, in the store through which they met."""

LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""What gloo and NCCL say when another process has gone."""


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device; under `torchrun` each process takes the GPU of its rank.

    Raises:
        ConfigError: If the device is unknown or not there, or several processes of this machine are to share one GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and re.fullmatch(r"cuda(:\d+)?", name) is None:
        raise ConfigError(f"runtime.device: expected auto, cpu, cuda or cuda:N, got '{name}'")
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)
    if device.type == "cuda":
        sharing = local_processes()
        if name != "cuda" and sharing > 1:  # NCCL refuses two processes on one GPU
            raise ConfigError(
                f"runtime.device: '{name}' is one GPU for {sharing} processes; use cuda, which gives each its own"
            )
        if not torch.cuda.is_available():
            raise ConfigError(f"runtime.device: '{name}' asked for, but torch sees no CUDA GPU; use auto or cpu")
        if device.index >= torch.cuda.device_count():
            raise ConfigError(f"runtime.device: '{device}' asked for, but there are {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(device)
    return device


def launched_rank() -> int:
    """Return the rank `torchrun` gave this process, 0 without it; known also before processes join and after."""
    return int(os.environ.get("RANK", "0"))


def local_processes() -> int:
    """Return how many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def launched_processes() -> int:
    """Return how many processes `torchrun` started, 1 without it; known also before they join."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def place_network(network: Network, device: torch.device) -> Network:
    """Move a network to its device, laid out as it computes fastest; see `weakseg.models.layout.lay_out`."""
    return lay_out(network.to(device))


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Join the other processes when started by `torchrun`; does nothing without a launcher.

    Raises:
        PeerFailed: If the block fails after another process has failed.
        WeaksegError: If another process has gone without saying why.
    """
    if launched_processes() == 1 or dist.is_initialized():
        yield
        return
    _meet("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        wait_for_all()  # none takes its connections down while another still uses them
    except BaseException as error:
        if not _is_first_to_fail():
            raise PeerFailed("another process of this run has failed") from error
        if any(words in str(error) for words in LOST_CONNECTION):
            raise WeaksegError(
                "another process of this run has gone without a word, which often means that the memory does not "
                "suffice; start the same command again to go on"
            ) from error
        raise
    finally:
        # A wrapper that a reference cycle keeps alive would outlive the group it belongs to.
        gc.collect()
        dist.destroy_process_group()


def _meet(backend: str) -> None:
    """Meet the other processes, in a store of their own for each start.

    When `torchrun` starts all again after a loss, its store still has what the processes before have left there: their
    addresses, and our counts. The number of the start keeps them apart.
    """
    from torch._C._distributed_c10d import PrefixStore  # not there in builds of torch without processes
    from torch.distributed.rendezvous import rendezvous

    common, rank, world_size = next(rendezvous("env://", timeout=MEETING_WAIT))
    store = PrefixStore(f"weakseg/start_{os.environ.get(RESTARTS, '0')}", common)
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=MEETING_WAIT)
    except RuntimeError as error:
        raise WeaksegError(f"{world_size} processes were started, but they did not meet: {error}") from error
    store.set_timeout(MAX_WAIT)
    dist.distributed_c10d._set_pg_timeout(MAX_WAIT)


def _is_first_to_fail() -> bool:
    """Say that this process fails; True if none has said so before, since one of them is to tell the user why."""
    try:
        store = dist.distributed_c10d._get_default_store()
        return int(store.add(FAILED_KEY, 1)) == 1
    except (RuntimeError, ValueError):  # no connection to the launcher either
        return True


def make_deterministic() -> None:
    """Ask torch for algorithms that give the same result each time; one that has none warns instead of failing."""
    # cuBLAS needs this before its first call (https://docs.nvidia.com/cuda/cublas, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def make_generator(seed: int) -> torch.Generator:
    """Return a generator for the initial weights of a network (drawn on the CPU, so that every device starts alike)."""
    return torch.Generator().manual_seed(seed)
