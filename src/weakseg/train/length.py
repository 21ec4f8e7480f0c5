"""How long a network trains: passes over the images, and how many more where images are few."""

from __future__ import annotations

from typing import Protocol

MOST_TIMES = 5
"""However few images there are, they are passed over at most so many times as often as the recipe says."""


class TrainingLength(Protocol):
    """The settings that say how long a training is."""

    @property
    def epochs(self) -> int:
        """Passes over the images."""
        ...

    @property
    def min_updates(self) -> int | None:
        """At least so many updates; None for as many as the passes have."""
        ...

    @property
    def batch_size(self) -> int:
        """Images of an update."""
        ...


def count_epochs(section: TrainingLength, images: int) -> int:
    """Return how many passes over so many images a network makes: `epochs`, or more until `min_updates` are made.

    Six passes over 100 images are a quarter of the updates of six passes over 400, and teach half as much. More than
    `MOST_TIMES` the passes would only be learnt by heart, and a try with ten images would take as long as one with 400.

    Args:
        section: The recipe's `classifier` or `segmenter`.
        images: Number of training images; what a batch leaves over is not used in a pass.
    """
    if section.min_updates is None or images < 1:
        return section.epochs
    updates = max(1, images // section.batch_size)
    return min(max(section.epochs, -(-section.min_updates // updates)), MOST_TIMES * section.epochs)


def tell_length(section: TrainingLength, images: int) -> str:
    """Say that a network makes more passes than the recipe's `epochs`: `, 27 epochs instead of ...`; else nothing."""
    epochs = count_epochs(section, images)
    if epochs == section.epochs:
        return ""
    return f", {epochs} epochs instead of {section.epochs} since they are few"
