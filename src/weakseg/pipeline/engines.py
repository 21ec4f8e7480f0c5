"""Choosing who works on single images, by the words of a command."""

from __future__ import annotations

import os

from weakseg.errors import UsageError
from weakseg.pipeline.image_jobs import Engine, OneProcess
from weakseg.pipeline.parts import Finishing, PartOf, parse_part
from weakseg.pipeline.processes import Processes
from weakseg.pipeline.runtime import launched_processes

MAX_PROCESSES = 1024
"""No machine has room for more networks."""


def choose_engine(*, processes: int = 1, part: str | None = None, finish: bool = False) -> Engine:
    """Return the engine that a command asks for.

    Args:
        processes: How many of this machine.
        part: The part of the images to work on, see `weakseg.pipeline.parts.parse_part`; None for all.
        finish: Whether to leave images to parts.

    Raises:
        UsageError: If these contradict each other, there cannot be so many processes, there is no such part, or
            `torchrun` has started several processes, which share the images already.
    """
    if not 1 <= processes <= MAX_PROCESSES:
        raise UsageError(f"--processes: expected 1 to {MAX_PROCESSES}, got {processes}")
    if part is not None and finish:
        raise UsageError(f"--part {part} works on images and --finish on what lies between; leave one of the two out")
    for option, given in ((f"--processes {processes}", processes > 1), (f"--part {part}", part is not None)):
        if given and launched_processes() > 1:
            raise UsageError(
                f"{option}: torchrun has started {launched_processes()} processes, which share the images already; "
                "leave one of the two out"
            )
    inner = OneProcess() if processes == 1 else Processes(processes)
    if part is not None:
        return PartOf(parse_part(part, os.environ), inner)
    return Finishing(inner) if finish else inner
