"""What a process does that `weakseg.pipeline.processes` has spawned: it asks for images, and works on them."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

import torch

from weakseg.data.base import Dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, Question
from weakseg.pipeline.images import list_images
from weakseg.pipeline.runtime import make_deterministic

logger = logging.getLogger("weakseg")

END = b"end"
"""Tells a process to end, in the place of a job."""

CHECK_S = 1.0
"""How often one looks whether processes that say nothing are still there, and these whether the one that started them
is."""

REPORT_S = 0.2
"""How often a process says what it has done. With images of some milliseconds, a word for each would cost a tenth."""

Task = tuple[Context, ImageJob | Question[Any], Sequence[Dataset]]
"""What is to be done with which images."""

Message = tuple[Literal["done", "take", "ended", "failed"], Any]
"""What a process says: what it has done since its last word (places and outcomes), also that it wants a block of images
or has ended the job; or that it has failed (the error)."""


def serve(connection: Connection, number: int, threads: int) -> None:
    """Work on images until there are no more; what a spawned process does.

    Args:
        connection: To the process that hands images out. Jobs come as pickles of (context, job, datasets).
        number: Which of the processes this is, counted from 0; says which GPU it takes.
        threads: How many torch may use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that hands out decides
    threading.Thread(target=_end_with_parent, name="weakseg-parent", daemon=True).start()
    torch.set_num_threads(threads)
    make_deterministic()
    logger.setLevel(logging.ERROR)  # the one that hands out has warned already
    with suppress(EOFError, OSError):  # the other side has gone
        while (task := connection.recv_bytes()) != END:
            try:
                _serve_job(connection, *pickle.loads(task), number=number)
            except (EOFError, OSError):
                raise
            except Exception as error:
                connection.send(("failed", packable(error)))
    os._exit(0)  # taking torch down takes seconds on a busy machine, and there is nothing left to write


def _serve_job(
    connection: Connection,
    context: Context,
    job: ImageJob | Question[Any],
    datasets: Sequence[Dataset],
    *,
    number: int,
) -> None:
    if context.device.type == "cuda" and context.config.runtime.device in ("auto", "cuda"):
        context = replace(context, device=torch.device("cuda", number % torch.cuda.device_count()))
        torch.cuda.set_device(context.device)
    blocks = _Blocks(connection)
    for place, outcome in job.work_in_turn(context, list_images(datasets), blocks):
        blocks.finish(place, outcome)
    blocks.say("ended")


class _Blocks:
    """The images of this process, asked for block by block until there are none left."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._done: list[tuple[int, Any]] = []
        self._said_s = time.monotonic()

    def __iter__(self) -> Iterator[int]:
        while True:
            self.say("take")
            block = self._connection.recv()
            if not block:
                return
            yield from block

    def finish(self, place: int, outcome: Any) -> None:
        """Note what came of an image; it is said soon."""
        self._done.append((place, outcome))
        if time.monotonic() - self._said_s > REPORT_S:
            self.say("done")

    def say(self, what: Literal["done", "take", "ended"]) -> None:
        """Say what has been done since the last word, and what else there is to say."""
        self._connection.send((what, self._done))
        self._done, self._said_s = [], time.monotonic()


def packable(error: Exception) -> Exception:
    """Return an error that arrives as it is, or one that tells of it."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        return error if str(copy) == str(error) else RuntimeError(f"{type(error).__name__}: {error}")
    except Exception:  # any class may refuse in any way
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """End this process when the one that started it has gone; it may have been killed, and cannot say so."""
    parent = parent_process()
    assert parent is not None, "a spawned process has one"
    number = os.getppid()
    while os.getppid() == number and not wait([parent.sentinel], timeout=CHECK_S):
        pass
    os._exit(1)
