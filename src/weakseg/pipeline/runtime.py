"""How a run computes: device, processes, seeds, and what it tells the user while it works."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from weakseg.errors import ConfigError, PeerFailed, WeaksegError
from weakseg.file_names import printable
from weakseg.log_form import JsonFormatter, TimedFormatter, is_json, progress_event
from weakseg.models.layout import Network, lay_out
from weakseg.remote import as_said
from weakseg.train.distributed import rank, wait_for_all
from weakseg.train.loop import Tick

LINE_INTERVAL_S = 10.0
"""Without a terminal, a long loop prints one plain line this often."""

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

console = Console(stderr=True, highlight=False)
"""Progress and messages go to stderr, so that stdout stays a command's result."""


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


def _escape_names(record: logging.LogRecord) -> bool:
    """Let no name of a file break a line or move the cursor; a message's own line breaks stay."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            printable(as_said(str(part))) if isinstance(part, str | Path | WeaksegError) else part
            for part in record.args
        )
    return True


def start_logging(*, verbose: bool = False) -> None:
    """Send the package's messages to stderr: colours on a terminal, plain lines elsewhere, only rank 0 below errors.

    With `--log json` they are JSON, see `weakseg.log_form`.
    """
    logger = logging.getLogger("weakseg")
    logger.handlers.clear()
    logger.propagate = False
    logger.filters[:] = [_escape_names]
    if console.is_terminal and not is_json():
        logger.addHandler(RichHandler(console=console, show_time=False, show_path=False, show_level=False))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if is_json() else logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    level = logging.DEBUG if verbose else logging.INFO
    logger.setLevel(level if launched_rank() == 0 else logging.ERROR)


@contextmanager
def show_progress(label: str, *, note: Callable[[], str] = str) -> Iterator[Tick]:
    """Show a loop's progress with its remaining time: a bar on a terminal, a line every 10 s elsewhere.

    Args:
        label: What is being done.
        note: Asked at every step for what else there is to say; it stands behind the label.

    Yields:
        A callback that takes (done, total). Only rank 0 shows anything.
    """
    if rank() != 0:
        yield lambda done, total: None
    elif is_json():
        yield json_ticker(label, note=note)
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total, description=label + note())
    else:
        yield plain_ticker(label, write=logging.getLogger("weakseg").info, note=note)


def plain_ticker(
    label: str, *, write: Callable[[str], None], interval_s: float = LINE_INTERVAL_S, note: Callable[[], str] = str
) -> Tick:
    """Return a callback that writes a plain line with the remaining time every `interval_s` seconds.

    The first call sets the clock: what comes before it is also the loop's preparation, which does not come again.
    """
    last_s = time.monotonic()
    first: tuple[float, int] | None = None

    def tick(done: int, total: int) -> None:
        nonlocal last_s, first
        now_s = time.monotonic()
        first = first or (now_s, done)  # a resumed loop starts above zero
        if now_s - last_s < interval_s or done >= total:
            return
        last_s = now_s
        since_s, begun_at = first
        left = ""
        if done > begun_at:
            left = f", about {format_duration((now_s - since_s) / (done - begun_at) * (total - done))} left"
        write(f"  {label}{note()}: {done}/{total}{left}")

    return tick


def json_ticker(label: str, *, interval_s: float = LINE_INTERVAL_S, note: Callable[[], str] = str) -> Tick:
    """Return a callback that tells of progress every `interval_s` seconds, and of the end, as programs read it."""
    started_s = time.monotonic()
    last_s = started_s
    begun_at: int | None = None

    def tick(done: int, total: int) -> None:
        nonlocal last_s, begun_at
        begun_at = done - 1 if begun_at is None else begun_at
        now_s = time.monotonic()
        if now_s - last_s < interval_s and done < total:
            return
        last_s = now_s
        event = progress_event(label, done=done, total=total, begun_at=begun_at, seconds=now_s - started_s)
        logging.getLogger("weakseg").info("  %s%s: %d/%d", label, note(), done, total, extra=event)

    return tick


class _RunLog(logging.Handler):
    """Appends messages to a run's log once its folder is there; what cannot be written is lost."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._lines: list[str] = []
        self.setFormatter(TimedFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, and those that came before the folder."""
        self._lines.append(self.format(record))
        if not self._path.parent.is_dir():
            return
        with suppress(OSError), self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in self._lines)
        self._lines = []


@contextmanager
def keep_log(path: Path) -> Iterator[None]:
    """Append what the block tells to a file, with times and levels, and what ends it early; rank 0 does it.

    Args:
        path: The file. It is not made before its folder is there.
    """
    logger = logging.getLogger("weakseg")
    if launched_rank() != 0:
        yield
        return
    handler = _RunLog(path)
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        if path.is_file():  # a command that is refused leaves nothing
            handler.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, "%s", (text,), None))
        raise
    finally:
        logger.removeHandler(handler)


def format_duration(time_s: float) -> str:
    """Say a duration as people do: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = round(time_s)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
