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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import torch

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Answer, ImageJob, OneProcess, Question
from weakseg.pipeline.images import list_images
from weakseg.pipeline.losses import Losses
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.turns import cut_blocks
from weakseg.pipeline.worker import CHECK_S, END, Message, Task, serve
from weakseg.train.loop import Tick

logger = logging.getLogger("weakseg")

START_METHOD: Literal["spawn", "fork"] = "spawn"
"""A fork of a process whose libraries have started threads, or that uses a GPU, may hang."""

GRACE_S = 5.0
"""A process that is told to end has so long to do it."""

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries read when they are loaded: how many threads they may start."""


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
        self.count = count
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
        sent = replace(context, engine=None, images={}, config=_share_decoding(context, self.count))
        outcomes: Counter[str] = Counter()

        def count(place: int, outcome: str | None) -> None:
            outcomes.update([] if outcome is None else [outcome])

        with show_progress(job.label, note=lambda: job.note(outcomes)) as tick:
            losses = Losses(lambda place: images[place][1].id)
            self._hand_out(_HandOut(self, (sent, job, datasets), pending, count, tick, losses))

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """See `weakseg.pipeline.image_jobs.Engine`; asks here unless processes are there already."""
        images = list_images(datasets)
        if not self._workers or not images:  # starting them takes longer than most answers
            return OneProcess().ask(context, question, datasets)
        answers: dict[int, Answer] = {}
        sent = replace(context, engine=None, images={})
        with show_progress(question.label) as tick:
            losses = Losses(lambda place: images[place][1].id)
            places = range(len(images))
            self._hand_out(_HandOut(self, (sent, question, datasets), places, answers.__setitem__, tick, losses))
        return answers

    def _hand_out(self, images: _HandOut) -> None:
        try:
            images.run()
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
        while len(self._workers) < min(size, self.count):
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
        number = min(set(range(self.count)) - {worker.number for worker in self._workers})
        process = start.Process(target=serve, args=(theirs, number, self._threads), name=f"weakseg-{number}")
        with _thread_settings(self._threads):
            process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        return _Worker(number, process, own)


class _HandOut:
    """One job's images on their way to the processes and back.

    Args:
        processes: Who works on them.
        task: What they do.
        pending: Places of the images.
        heed: Gets the place and outcome of each that is done.
        tick: Gets how many are.
        losses: Counts the processes that die.
    """

    def __init__(
        self,
        processes: Processes,
        task: Task,
        pending: Sequence[int],
        heed: Callable[[int, Any], None],
        tick: Tick,
        losses: Losses,
    ) -> None:
        self._processes = processes
        self._task = pickle.dumps(task)  # once, however many processes get it
        cut = cut_blocks(len(pending), processes.count)
        self._blocks = deque([pending[number] for number in block] for block in cut)
        self._total = len(pending)
        self._done = 0
        self._heed_outcome = heed
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
        if what == "failed":
            assert isinstance(content, Exception)
            raise content
        for place, outcome in content:
            del worker.held[place]
            self._done += 1
            self._heed_outcome(place, outcome)
            self._tick(self._done, self._total)
        if what == "take":
            block = self._blocks.popleft() if self._blocks else []
            worker.held.update(dict.fromkeys(block))
            worker.connection.send(block)
        elif what == "ended":
            worker.busy = False

    def _lose(self, worker: _Worker) -> None:
        """Hand out again what a lost process had in hand, one by one: the next loss then shows which image it is."""
        held = list(worker.held)
        self._losses.count(held, self._processes.forget(worker))
        self._blocks.extendleft([place] for place in reversed(held))
        if self._blocks:
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
