"""What a run tells the user while it works: messages, progress, and the log that it keeps."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from weakseg.errors import WeaksegError
from weakseg.file_names import printable
from weakseg.log_form import JsonFormatter, TimedFormatter, is_json, progress_event
from weakseg.pipeline.runtime import launched_rank
from weakseg.remote import as_said
from weakseg.train.distributed import rank
from weakseg.train.loop import Tick

LINE_INTERVAL_S = 10.0
"""Without a terminal, a long loop prints one plain line this often."""

console = Console(stderr=True, highlight=False)
"""Progress and messages go to stderr, so that stdout stays a command's result."""


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
