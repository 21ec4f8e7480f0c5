"""Settings of the stages `evaluate` and `report`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SegmenterCRFConfig:
    """The dense CRF on the network's probabilities; the defaults are DeepLab-v2's.

    Args:
        enabled: Whether it is run, here and in `weakseg predict`.
        gaussian: Standard deviation in pixels and weight of the kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of the kernel on both.
        iterations: Updates of the mean field.
    """

    enabled: bool = False
    gaussian: tuple[float, float] = (1.0, 3.0)
    bilateral: tuple[float, float, float] = (67.0, 3.0, 4.0)
    iterations: int = 10


@dataclass(frozen=True)
class EvaluateConfig:
    """Stage `evaluate`: the network's masks of the validation split, and numbers where there are truth masks.

    Args:
        scales: Factors an image is resized by when the network predicts it, here and in `weakseg predict`;
            probabilities are averaged.
        flip: Whether each of them is also predicted mirrored.
        crf: The CRF that follows.
        ablate: Also score what the network says of the image alone, and what scales, flip and CRF add to that.
        threshold_steps: The sweep tries this many background thresholds, evenly spaced within 0..1.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    crf: SegmenterCRFConfig = field(default_factory=SegmenterCRFConfig)
    ablate: bool = False
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
