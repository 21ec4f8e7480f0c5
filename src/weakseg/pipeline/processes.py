"""Several processes of this machine work on images, each with a network of its own; this one hands images out.

The processes are spawned when the first images are to be worked on and stay until the run ends. One that dies is
replaced, and its images are handed out again; nothing waits for it. Trainings are not theirs: they stay in this
process, so that every file is the same as one process makes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

import torch

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, work_in_turn
from weakseg.pipeline.images import list_images
from weakseg.pipeline.losses import Losses
from weakseg.pipeline.runtime import make_deterministic
from weakseg.pipeline.telling import show_progress
from weakseg.train.loop import Tick

logger = logging.getLogger("weakseg")

START_METHOD: Literal["spawn", "fork"] = "spawn"
"""A fork of a process whose libraries have started threads, or that uses a GPU, may hang."""

GRACE_S = 5.0
"""A process that is told to end has so long to do it."""

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries read when they are loaded: how many threads they may start."""

END = b"end"
"""Tells a process to end, in the place of a job."""

CHECK_S = 1.0
"""How often one looks whether processes that say nothing are still there, and these whether the one that started them
is."""

Message = tuple[Literal["take", "done", "ended", "failed"], object]
"""What a process says: that it wants an image, has done one (place and outcome), has done the job, or failed (the
error)."""


@dataclass(eq=False)
class _Worker:
    """A process, its connection, and the images it has in hand, in the order it took them."""

    number: int
    process: BaseProcess
    connection: Connection
    held: dict[int, None] = field(default_factory=dict)
    busy: bool = False


class Processes:
    """An engine of so many processes on this machine.

    Args:
        count: How many, at least 1.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads = max(1, torch.get_num_threads() // count)
        self._workers: list[_Worker] = []

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """See `weakseg.pipeline.image_jobs.Engine`."""
        if job.prepare is not None:
            job.prepare(context)
        images = list_images(datasets)
        pending = [place for place, (_, sample) in enumerate(images) if job.is_pending(context, sample)]
        if not pending:
            return
        # Files of all images were looked at before; those who work on them need not know.
        sent = replace(context, engine=None, images={}, config=_share_decoding(context, self._count))
        outcomes: Counter[str] = Counter()
        with show_progress(job.label, note=lambda: job.note(outcomes)) as tick:
            losses = Losses(lambda place: images[place][1].id)
            hand_out = _HandOut(self, (sent, job, datasets), pending, outcomes, tick, losses)
            try:
                hand_out.run()
            except BaseException:
                self.close(at_once=True)  # what they are doing is of no use any more
                raise

    def close(self, *, at_once: bool = False) -> None:
        """End the processes; those that do not heed it, or all of them at once, are killed."""
        for worker in self._workers:
            with suppress(OSError):  # it has gone already
                worker.connection.send_bytes(END)
            worker.connection.close()
            if at_once:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(GRACE_S)
            worker.process.kill()
            worker.process.join()
        self._workers = []

    def crew(self, size: int) -> list[_Worker]:
        """Return the processes; spawns those that are missing to so many, at most to those that were asked for."""
        while len(self._workers) < min(size, self._count):
            self._workers.append(self._spawn())
        return self._workers

    def forget(self, lost: _Worker) -> str:
        """Give up a process that has died; returns how it ended, in words."""
        lost.connection.close()
        lost.process.kill()  # it may only have closed its connection
        lost.process.join()
        self._workers.remove(lost)
        return describe_exit(lost.process.exitcode or 0)

    def _spawn(self) -> _Worker:
        start = multiprocessing.get_context("fork") if START_METHOD == "fork" else multiprocessing.get_context("spawn")
        own, theirs = start.Pipe()
        number = min(set(range(self._count)) - {worker.number for worker in self._workers})
        process = start.Process(target=serve, args=(theirs, number, self._threads), name=f"weakseg-{number}")
        with _thread_settings(self._threads):
            process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        return _Worker(number, process, own)


class _HandOut:
    """One job's images on their way to the processes and back."""

    def __init__(
        self,
        processes: Processes,
        task: tuple[Context, ImageJob, Sequence[Dataset]],
        pending: Sequence[int],
        outcomes: Counter[str],
        tick: Tick,
        losses: Losses,
    ) -> None:
        self._processes = processes
        self._task = pickle.dumps(task)  # once, however many processes get it
        self._waiting = deque(pending)
        self._total = len(pending)
        self._done = 0
        self._outcomes = outcomes
        self._tick = tick
        self._losses = losses

    def run(self) -> None:
        """Hand out all images; returns when all are done and all processes have ended the job."""
        for worker in self._processes.crew(self._total):
            self._begin(worker)
        while workers := [worker for worker in self._processes.crew(0) if worker.busy]:
            ready = wait([worker.connection for worker in workers], timeout=CHECK_S)
            for worker in workers:
                if worker.connection in ready:
                    try:
                        self._heed(worker, worker.connection.recv())
                    except (EOFError, OSError):
                        self._lose(worker)
                elif not (ready or worker.process.is_alive()):  # processes it has started keep its connection open
                    self._lose(worker)

    def _begin(self, worker: _Worker) -> None:
        worker.busy = True
        with suppress(OSError):  # it has died, which is noticed when it is listened to
            worker.connection.send_bytes(self._task)

    def _heed(self, worker: _Worker, message: Message) -> None:
        what, content = message
        if what == "take":
            place = self._waiting.popleft() if self._waiting else None
            if place is not None:
                worker.held[place] = None
            worker.connection.send(place)
        elif what == "done":
            assert isinstance(content, tuple)
            place, outcome = content
            del worker.held[place]
            self._done += 1
            self._outcomes.update([] if outcome is None else [outcome])
            self._tick(self._done, self._total)
        elif what == "ended":
            worker.busy = False
        else:
            assert isinstance(content, Exception)
            raise content

    def _lose(self, worker: _Worker) -> None:
        """Hand out again what a lost process had in hand."""
        held = list(worker.held)
        self._losses.count(held, self._processes.forget(worker))
        self._waiting.extendleft(reversed(held))
        if self._waiting:
            self._begin(self._processes.crew(len(self._processes.crew(0)) + 1)[-1])


def describe_exit(code: int) -> str:
    """Say how a process ended: `SIGKILL`, `exit code 3`."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _share_decoding(context: Context, processes: int) -> RunConfig:
    """Share the processes that decode images out; a process that gets none decodes itself."""
    runtime = context.config.runtime
    return replace(context.config, runtime=replace(runtime, workers=runtime.workers // processes))


@contextmanager
def _thread_settings(threads: int) -> Iterator[None]:
    """Let processes that are spawned meanwhile begin with so many threads."""
    before = {name: os.environ.get(name) for name in THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
    connection: Connection, context: Context, job: ImageJob, datasets: Sequence[Dataset], *, number: int
) -> None:
    if context.device.type == "cuda" and context.config.runtime.device in ("auto", "cuda"):
        context = replace(context, device=torch.device("cuda", number % torch.cuda.device_count()))
        torch.cuda.set_device(context.device)
    for place, outcome in work_in_turn(context, job, list_images(datasets), _draw(connection)):
        connection.send(("done", (place, outcome)))
    connection.send(("ended", None))


def _draw(connection: Connection) -> Iterator[int]:
    """Ask for images until there are none left."""
    while True:
        connection.send(("take", None))
        place = connection.recv()
        if place is None:
            return
        yield place


def packable(error: Exception) -> Exception:
    """Return an error that arrives as it is, or one that tells of it."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        return error if str(copy) == str(error) else RuntimeError(f"{type(error).__name__}: {error}")
    except Exception:  # any class may refuse in any way
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """End this process when the one that started it has gone; it may have been killed, and cannot say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a spawned process has one"
    number = os.getppid()
    while os.getppid() == number and not wait([parent.sentinel], timeout=CHECK_S):
        pass
    os._exit(1)
