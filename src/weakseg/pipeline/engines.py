"""Choosing who works on single images, by the words of a command."""

from __future__ import annotations

import os

from weakseg.errors import UsageError
from weakseg.pipeline.image_jobs import Engine, OneProcess
from weakseg.pipeline.part_words import parse_part
from weakseg.pipeline.parts import Finishing, PartOf
from weakseg.pipeline.processes import Processes
from weakseg.pipeline.ray_cluster import RayCluster
from weakseg.pipeline.runtime import launched_processes

MAX_PROCESSES = 1024
"""No machine has room for more networks."""


RAY = "ray"
RAY_ADDRESS = "ray://"


def choose_engine(
    *, processes: int | None = None, engine: str | None = None, part: str | None = None, finish: bool = False
) -> Engine:
    """Return the engine that a command asks for.

    Args:
        processes: How many of this machine, or of Ray's actors; None for one, or for as many as have room.
        engine: `ray` or `ray://ADDRESS`; None for this machine.
        part: The part of the images to work on, see `weakseg.pipeline.part_words.parse_part`; None for all.
        finish: Whether to leave images to parts.

    Raises:
        UsageError: If these contradict each other, there cannot be so many processes, there is no such engine or part,
            or `torchrun` has started several processes, which share the images already.
        MissingExtra: If Ray is not installed.
    """
    if processes is not None and not 1 <= processes <= MAX_PROCESSES:
        raise UsageError(f"--processes: expected 1 to {MAX_PROCESSES}, got {processes}")
    if part is not None and finish:
        raise UsageError(f"--part {part} works on images and --finish on what lies between; leave one of the two out")
    several = processes is not None and processes > 1
    asked = {f"--processes {processes}": several, f"--engine {engine}": engine is not None, f"--part {part}": part}
    for option, is_given in asked.items():
        if is_given and launched_processes() > 1:
            raise UsageError(
                f"{option}: torchrun has started {launched_processes()} processes, which share the images already; "
                "leave one of the two out"
            )
    inner = _choose_inner(processes, engine)
    if part is not None:
        return PartOf(parse_part(part, os.environ), inner)
    return Finishing(inner) if finish else inner


def _choose_inner(processes: int | None, engine: str | None) -> Engine:
    if engine is None:
        return OneProcess() if processes in (None, 1) else Processes(processes or 1)
    if engine != RAY and not (engine.startswith(RAY_ADDRESS) and engine != RAY_ADDRESS):
        raise UsageError(f"--engine: expected {RAY} or {RAY_ADDRESS}HOST:PORT, got '{engine}'")
    return RayCluster(None if engine == RAY else engine, actors=processes)
