"""`weakseg check` tells how long a run will take: its stages are tried in a process of their own, for a few seconds.

What goes wrong there, be it that the memory does not suffice, ends that process and becomes a line of the answer.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset, Problem
from weakseg.errors import DataError, WeaksegError
from weakseg.estimate.costs import Estimate, PartCost
from weakseg.estimate.parts import try_parts
from weakseg.estimate.stages import plan_parts
from weakseg.estimate.text import render_estimate
from weakseg.estimate.trial import open_trial
from weakseg.ops.crf import refine_labels
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.runtime import choose_device, make_deterministic

BUDGET_S = 14.0
"""Seconds in which everything is tried."""

GRACE_S = 2.0
"""So long after that the trials are ended, even in the midst of a step."""

START_S = 60.0
"""The other process may take so long to import what it needs, three seconds on an idle machine, and to compile the CRF,
ten seconds once in an installation's life."""

COMPILED_SIDE_PX = 8
"""Any image will do to compile for."""

_KILLED = -9
"""The exit code after SIGKILL, which Windows does not name."""

_ENDED = "ended"
"""Stands for the reason why the process sends nothing more, until it is known."""

UNREADABLE = "unreadable"
"""Kind of the problem of an image that no run uses."""


@dataclass(frozen=True)
class _Plan:
    """What the trials will come to.

    Args:
        device: Where networks run, in words.
        stages: The stages, in order.
    """

    device: str
    stages: tuple[str, ...]


def estimate_run(
    config: RunConfig, datasets: Sequence[Dataset], *, budget_s: float = BUDGET_S, start_s: float = START_S
) -> Estimate:
    """Measure a few steps and images of every stage of a recipe, and tell the cost of all of it.

    Args:
        config: The recipe.
        datasets: Usable images of the training split and, if there is one, of the validation split.
        budget_s: Seconds to do it in, once the process that does it has started; stages share them.
        start_s: Seconds that process may take to start.

    Raises:
        ConfigError: If a path of the recipe is a misspelt word.
    """
    started_s = time.monotonic()
    config = absolute_paths(config)
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="weakseg-check-") as folder:
        receiver, sender = spawning.Pipe(duplex=False)
        arguments = (sender, config, tuple(datasets), Path(folder), budget_s, multiprocessing.get_start_method())
        process = spawning.Process(target=_run_trials, args=arguments)
        process.start()
        sender.close()
        try:
            plan, parts, stopped = _collect(receiver, start_s=start_s, limit_s=budget_s + GRACE_S)
            if stopped == _ENDED:
                process.join(GRACE_S)
                stopped = _explain_exit(process.exitcode)
        finally:
            _end(process)
            receiver.close()
    tried = {part.stage for part in parts}
    missing = () if plan is None else tuple(stage for stage in plan.stages if stage not in tried)
    device = "on this machine" if plan is None else plan.device
    took_s = time.monotonic() - started_s
    return Estimate(tuple(parts), device, took_s, config.runtime.workers, missing, stopped)


def print_estimate(config: RunConfig, datasets: Sequence[Dataset], problems: Sequence[Problem]) -> None:
    """Print what a recipe will cost, or in a line why that cannot be told.

    Args:
        config: The recipe.
        datasets: The splits as their readers see them, the one to train on first.
        problems: What a check has found, for the images that cannot be read.
    """
    print()
    unreadable = [problem.where for problem in problems if problem.kind == UNREADABLE]
    try:
        print(render_estimate(estimate_run(config, usable_samples(datasets, unreadable))), end="")
    except WeaksegError as error:
        print(f"How long it takes here cannot be told: {error}")


def usable_samples(datasets: Sequence[Dataset], unreadable: Sequence[str]) -> list[Dataset]:
    """Return splits as a run uses them: without unreadable images, and the first without those of unknown tags."""
    left_out = set(unreadable)
    kept = []
    for place, dataset in enumerate(datasets):
        samples = [sample for sample in dataset if sample.id not in left_out and (place or sample.known.any())]
        if samples or place == 0:
            kept.append(replace(dataset, samples=tuple(samples)))
    return kept


def _collect(receiver: Connection, *, start_s: float, limit_s: float) -> tuple[_Plan | None, list[PartCost], str]:
    """Receive what is measured until there is no more, or no time; says why it is not all."""
    plan: _Plan | None = None
    parts: list[PartCost] = []
    deadline_s = time.monotonic() + start_s
    while receiver.poll(max(0.0, deadline_s - time.monotonic())):
        try:
            message = receiver.recv()
        except EOFError:
            return plan, parts, _ENDED
        if message is None:
            return plan, parts, ""
        if isinstance(message, _Plan):
            plan, deadline_s = message, time.monotonic() + limit_s
        elif isinstance(message, PartCost):
            parts.append(message)
        else:
            return plan, parts, f"Nothing could be tried: {message}"
    what = "start" if plan is None else "try the rest"
    return plan, parts, f"There was no time to {what}: this machine is slow for the recipe, or busy."


def _end(process: BaseProcess) -> None:
    """End a process and those it has started, such as workers that decode: they would outlive it."""
    try:
        os.killpg(process.ident or 0, signal.SIGKILL)
    except (AttributeError, OSError):  # no groups of processes here, or it has not made its own yet
        process.kill()
    process.join()


def _explain_exit(code: int | None) -> str:
    reason = "themselves" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
    hint = ", which often means that the memory does not suffice" if code == _KILLED else ""
    return f"The trials were ended by {reason}{hint}; the stages after the last one above were not tried."


def _run_trials(
    sender: Connection, config: RunConfig, datasets: tuple[Dataset, ...], folder: Path, budget_s: float, method: str
) -> None:
    """Try all stages in this process, and send what each costs; None at the end, or why nothing can be tried."""
    multiprocessing.set_start_method(method, force=True)  # decoding workers start as in a run
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # so that all that begins here can be ended together
    _silence()
    try:
        make_deterministic()
        device = choose_device(config.runtime.device)
        val = datasets[1] if len(datasets) > 1 else None
        if not datasets[0].samples:
            raise DataError("there is no readable image to try anything on")
        _compile()
        trial = open_trial(Context(config, RunFolder(folder), device, datasets[0], val, {}))
        parts = plan_parts(trial)
    except WeaksegError as error:
        sender.send(" ".join(str(error).split()))
        return
    sender.send(_Plan(_describe_device(device), tuple(dict.fromkeys(part.stage for part in parts))))
    try_parts(trial, parts, deadline_s=time.monotonic() + budget_s, done=sender.send)
    sender.send(None)


def _describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads > 1)} on the CPU"


def _compile() -> None:
    """Compile the CRF, if no process has yet: a run does so once, a trial would count it for every image."""
    image = np.zeros((COMPILED_SIDE_PX, COMPILED_SIDE_PX, 3), np.uint8)
    refine_labels(image, np.zeros(image.shape[:2], np.uint8), num_labels=2)


def _silence() -> None:
    """Keep progress and warnings of the trials from the terminal: they are about stand-ins."""
    logging.getLogger("weakseg").setLevel(logging.CRITICAL)
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(null, 1)
    os.dup2(null, 2)
