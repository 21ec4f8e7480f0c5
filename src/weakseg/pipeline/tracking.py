"""What a run tells those who follow it: settings, numbers as they come, and the files at its end.

This is the one place that knows who follows. Trainings, stages and the chain tell their numbers here, whoever listens;
`weakseg.pipeline.trackers` writes for TensorBoard and MLflow. Nobody listens by default.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from weakseg.pipeline.runtime import launched_rank

logger = logging.getLogger("weakseg")


class Tracker(Protocol):
    """Somebody who follows runs."""

    def add_settings(self, settings: Mapping[str, str]) -> None:
        """Take every setting of the run, by its dotted name."""
        ...

    def add_numbers(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Take finite numbers by name, such as `segmenter/loss`; epochs count their steps from 1."""
        ...

    def add_file(self, path: Path) -> None:
        """Take a file of the run."""
        ...

    def close(self, error: BaseException | None) -> None:
        """Write what is left: the command has ended, perhaps by an error."""
        ...


_following: dict[str, Tracker] = {}
"""Those who follow the run of this process, by name."""


@contextmanager
def tracking(trackers: Mapping[str, Tracker], settings: Mapping[str, str]) -> Iterator[None]:
    """Tell trackers what happens meanwhile. One that fails is told of, and left out from then on: the run goes on.

    Args:
        trackers: Those who follow, by name; the other processes of `torchrun` tell nothing.
        settings: Every setting, by its dotted name.
    """
    if launched_rank() != 0:
        yield
        return
    _following.update(trackers)
    ended_by: BaseException | None = None
    try:
        _tell(lambda tracker: tracker.add_settings(settings))
        yield
    except BaseException as error:
        ended_by = error
        raise
    finally:
        _tell(lambda tracker: tracker.close(ended_by))
        _following.clear()


def track_numbers(where: str, numbers: Mapping[str, float | None], *, step: int = 0) -> None:
    """Tell numbers.

    Args:
        where: What they are of: `segmenter`, `stages/localize`.
        numbers: By name; what is undefined is left out.
        step: The epoch, counted from 1; 0 for numbers that come once.
    """
    finite = {f"{where}/{name}": float(v) for name, v in numbers.items() if v is not None and math.isfinite(v)}
    if finite:
        _tell(lambda tracker: tracker.add_numbers(finite, step=step))


def track_files(paths: Sequence[Path]) -> None:
    """Hand over files of the run, those that are there."""
    for path in paths:
        if path.is_file():
            _tell(lambda tracker, path=path: tracker.add_file(path))  # type: ignore[misc]


def _tell(what: Callable[[Tracker], None]) -> None:
    for name, tracker in list(_following.items()):
        try:
            what(tracker)
        except Exception as error:  # whatever a server or a library does, it must not end a training
            text = " ".join(str(error).split())
            logger.warning(
                "runtime.track: %s fails and is left out from here on: %s: %s", name, type(error).__name__, text
            )
            del _following[name]
