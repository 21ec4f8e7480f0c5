"""Settings of the stages `evaluate` and `report`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateConfig:
    """Stage `evaluate`: the network's masks of the validation split, and numbers where there are truth masks.

    Args:
        scales: Factors an image is resized by when the network predicts it, here and in `weakseg predict`;
            probabilities are averaged.
        flip: Whether each of them is also predicted mirrored.
        threshold_steps: The sweep tries this many background thresholds, evenly spaced within 0..1.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    threshold_steps: int = 100


@dataclass(frozen=True)
class ReportConfig:
    """Stage `report`: one self-contained HTML file.

    Args:
        title: Heading of the report; the run's name when null.
        gallery_images: How many images the gallery shows, worst first.
    """

    title: str | None = None
    gallery_images: int = 24
