"""Actors of a Ray cluster work on images, each with a network of its own; this process hands images out.

The nodes see the run folder and the images by the same paths, and have weakseg installed. Trainings stay in this
process. A lost node costs the images its actors had in hand: they are handed out again, and other actors take its place
where the cluster has room.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import torch

from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, MissingExtra, WeaksegError
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Answer, ImageJob, ImageWork, OneProcess, Question
from weakseg.pipeline.images import Images, list_images, work_on
from weakseg.pipeline.losses import Losses
from weakseg.pipeline.runtime import make_deterministic
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.turns import cut_blocks
from weakseg.pipeline.worker import packable
from weakseg.train.loop import Tick

logger = logging.getLogger("weakseg")

BLOCKS_AT_ONCE = 2
"""Blocks of images that an actor has in hand, so that it need not wait for the next one."""

CHECK_S = 1.0
"""How often one looks for actors that have been placed."""

PLACING_S = 600.0
"""Without any actor that works, the cluster has so long to place and start one."""

Done = list[tuple[int, str | None]] | Exception
"""What an actor returns: place and outcome of each image of a block, or why it failed."""


def require_ray() -> None:
    """Raise a `MissingExtra` that says what to install, if Ray is missing."""
    if find_spec("ray") is None:
        raise MissingExtra("--engine ray needs Ray, which is not installed here: pip install 'weakseg[ray]'")


class ImageActor:
    """What works on images on a node of the cluster.

    Args:
        threads: How many torch may use.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        make_deterministic()
        logger.setLevel(logging.ERROR)  # the process that hands out has warned already
        self._opened = ExitStack()
        self._context: Context | None = None
        self._job: ImageJob | None = None
        self._images: Images = ()
        self._work: ImageWork | None = None

    def begin(self, context: Context, job: ImageJob, datasets: Sequence[Dataset]) -> Done:
        """Open a job, in the place of the one before."""
        try:
            self._opened.close()
            self._context, self._job, self._images = context, job, list_images(datasets)
            self._work = self._opened.enter_context(job.open(context))
        except Exception as error:
            return packable(error)
        return []

    def work_on(self, places: Sequence[int]) -> Done:
        """Work on the images of a block."""
        context, job, work = self._context, self._job, self._work
        assert context is not None and job is not None and work is not None, "begun before"  # noqa: PT018
        try:
            done = work_on(
                context,
                self._images,
                places,
                work,
                reading=job.reading,
                side_by_side=job.side_by_side,
                threads=job.threads,
            )
            return list(done)
        except Exception as error:
            return packable(error)


@dataclass(eq=False)
class _Actor:
    """An actor, what is expected of it, and the blocks it has in hand, in the order it got them."""

    handle: Any
    beginning: Any = None
    blocks: dict[Any, Sequence[int]] = field(default_factory=dict)
    has_begun: bool = False

    @property
    def expected(self) -> list[Any]:
        """References to what it returns next."""
        return list(self.blocks) if self.has_begun else [self.beginning]


class RayCluster:
    """An engine of actors in a Ray cluster.

    Args:
        address: As `ray.init` takes it; None for the cluster that `RAY_ADDRESS` names or this machine belongs to, else
            for a new one of this machine alone.
        actors: How many, at most as many as the cluster has room for; None for all that have room.
    """

    def __init__(self, address: str | None = None, *, actors: int | None = None) -> None:
        require_ray()
        self._address = address
        self._asked = actors
        self._actors: list[_Actor] = []
        self._is_ours = False

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """See `weakseg.pipeline.image_jobs.Engine`."""
        if job.prepare is not None:
            job.prepare(context)
        images = list_images(datasets)
        pending = [place for place, (_, sample) in enumerate(images) if job.is_pending(context, sample)]
        if not pending:
            return
        self._connect()
        outcomes: Counter[str] = Counter()
        crew = _Crew(self._actors, self._pack(context, job, datasets), on_gpu=context.device.type == "cuda")
        losses = Losses(lambda place: images[place][1].id)
        with show_progress(job.label, note=lambda: job.note(outcomes)) as tick:
            _HandOut(crew, pending, self._count_room(context), outcomes, tick, losses).run()

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """See `weakseg.pipeline.image_jobs.Engine`; asks here, since an answer takes a millisecond."""
        return OneProcess().ask(context, question, datasets)

    def close(self) -> None:
        """End the actors, and the connection to the cluster if it was made here."""
        import ray

        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors = []
        if self._is_ours:
            ray.shutdown()
            self._is_ours = False

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = self._address or os.environ.get("RAY_ADDRESS", "this machine")
            raise WeaksegError(f"--engine ray: no connection to the cluster at {where}: {error}") from error
        self._is_ours = True
        found = ray.cluster_resources()
        logger.info("Ray: %d CPUs, %d GPUs", found.get("CPU", 0), found.get("GPU", 0))

    def _pack(self, context: Context, job: ImageJob, datasets: Sequence[Dataset]) -> tuple[Any, ...]:
        """Put what actors need to know where every node finds it, once."""
        import ray

        # Files of all images were looked at before. Each actor decodes its own images.
        runtime = replace(context.config.runtime, workers=0)
        device = torch.device("cuda", 0) if context.device.type == "cuda" else context.device  # Ray shows it one GPU
        sent = replace(context, engine=None, images={}, device=device, config=replace(context.config, runtime=runtime))
        return tuple(ray.put(part) for part in (sent, job, datasets))

    def _count_room(self, context: Context) -> int:
        """Return how many actors to start."""
        import ray

        resource = "GPU" if context.device.type == "cuda" else "CPU"
        room = int(ray.cluster_resources().get(resource, 0))
        if room < 1:
            raise ArtifactError(f"--engine ray: the cluster has no {resource}; add nodes, or choose another device")
        return room if self._asked is None else min(self._asked, room)


class _Crew:
    """The actors of a cluster while they do one job.

    Args:
        actors: Those that are there; lost ones are taken out, new ones put in.
        task: What `ImageActor.begin` takes.
        on_gpu: Whether each needs a GPU.
    """

    def __init__(self, actors: list[_Actor], task: tuple[Any, ...], *, on_gpu: bool) -> None:
        self.actors = actors
        self._task = task
        self._on_gpu = on_gpu
        for actor in actors:
            self._begin(actor)

    def fill(self, size: int) -> None:
        """Start the actors that are missing to so many; they are placed when there is room."""
        import ray

        made = ray.remote(num_cpus=1, num_gpus=int(self._on_gpu), max_restarts=0)(ImageActor)
        while len(self.actors) < size:
            actor = _Actor(made.remote(1))
            self._begin(actor)
            self.actors.append(actor)

    def _begin(self, actor: _Actor) -> None:
        actor.blocks, actor.has_begun = {}, False
        actor.beginning = actor.handle.begin.remote(*self._task)


class _HandOut:
    """One job's images on their way to the actors and back."""

    def __init__(
        self,
        crew: _Crew,
        pending: Sequence[int],
        size: int,
        outcomes: Counter[str],
        tick: Tick,
        losses: Losses,
    ) -> None:
        self._crew = crew
        self._size = min(size, len(pending))
        cut = cut_blocks(len(pending), self._size)
        self._blocks: deque[Sequence[int]] = deque([pending[number] for number in block] for block in cut)
        self._total = len(pending)
        self._done = 0
        self._outcomes = outcomes
        self._tick = tick
        self._losses = losses

    def run(self) -> None:
        """Hand out all blocks; returns when all images are done."""
        import ray

        idle_since_s = time.monotonic()
        while self._done < self._total:
            self._crew.fill(self._size)
            working = [actor for actor in self._crew.actors if actor.has_begun]
            for actor in working:
                while self._blocks and len(actor.blocks) < BLOCKS_AT_ONCE:
                    block = self._blocks.popleft()
                    actor.blocks[actor.handle.work_on.remote(block)] = block
            if working:
                idle_since_s = time.monotonic()
            elif time.monotonic() - idle_since_s > PLACING_S:
                raise WeaksegError(f"--engine ray: the cluster has placed no actor for {PLACING_S:g} s; is it busy?")
            owners = {reference: actor for actor in self._crew.actors for reference in actor.expected}
            ready, _ = ray.wait(list(owners), num_returns=1, timeout=CHECK_S)
            for reference in ready:
                self._heed(owners[reference], reference)

    def _heed(self, actor: _Actor, reference: Any) -> None:
        import ray

        try:
            done: Done = ray.get(reference)
        except ray.exceptions.RayActorError as error:
            self._lose(actor, type(error).__name__)
            return
        if isinstance(done, Exception):
            raise done
        if not actor.has_begun:
            actor.has_begun = True
            return
        del actor.blocks[reference]
        for _, outcome in done:
            self._done += 1
            self._outcomes.update([] if outcome is None else [outcome])
            self._tick(self._done, self._total)

    def _lose(self, actor: _Actor, how: str) -> None:
        """Hand out again all that a lost actor had in hand, image by image: of a begun block it has told nothing."""
        held = [place for block in actor.blocks.values() for place in block]
        self._crew.actors.remove(actor)
        self._losses.count(held, how)
        self._blocks.extendleft([place] for place in reversed(held))
