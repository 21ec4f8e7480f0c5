"""Processes that are lost while they work on images: what they had in hand is handed out again, but not for ever."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from weakseg.data.ahead import WorkerLost

logger = logging.getLogger("weakseg")

MAX_LOSSES = 3
"""An image that so many lost processes had in hand ends the run, and so do as many losses without any image."""


class Losses:
    """Counts the losses of one job.

    Args:
        name_image: Names the image of a place, for messages.
    """

    def __init__(self, name_image: Callable[[int], str]) -> None:
        self._name_image = name_image
        self._counts: Counter[int | None] = Counter()

    def count(self, held: Sequence[int], how: str) -> None:
        """Count a lost process.

        Args:
            held: Places of the images it had in hand, the one it began first in front.
            how: How it ended, in words.

        Raises:
            WorkerLost: If there is no hope that another one fares better.
        """
        places: list[int | None] = [*held] or [None]
        self._counts.update(places)
        hopeless = [place for place in places if self._counts[place] == MAX_LOSSES]
        if hopeless:
            where = "before any image" if hopeless[0] is None else f"at the image '{self._name_image(hopeless[0])}'"
            raise WorkerLost(
                f"processes that work on images were lost {MAX_LOSSES} times {where}, the last by {how}, which often "
                "means that the memory does not suffice; lower --processes, and start the same command again to go on"
            )
        logger.warning("a process that works on images was lost (%s); %d images are handed out again", how, len(held))
