"""How new images are predicted, as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from weakseg.errors import UsageError
from weakseg.models.tiling import Tiling
from weakseg.predict.targets import OUTPUTS

MAX_BATCH = 100_000
"""No memory holds more images at once."""


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Args:
        outputs: What is written, of `OUTPUTS`.
        tags: The only classes that may appear, in every image; None for all.
        tag_file: A file with those of each image; None for none.
        batch: So many images of one size, or tiles of large ones, go through the network at once.
        tiling: How large images are cut.
        max_side_px: Larger images are shrunk to this longer side before the network sees them; 0 for no limit; None
            for that of the run.
        skip_existing: Leave images as they are whose results are there, made by this very model with these settings.
    """

    outputs: tuple[str, ...] = OUTPUTS
    tags: tuple[str, ...] | None = None
    tag_file: Path | None = None
    batch: int = 1
    tiling: Tiling = field(default_factory=Tiling)
    max_side_px: int | None = None
    skip_existing: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"--batch: expected at least 1 image at once, got {self.batch}")
        if self.batch > MAX_BATCH:
            raise UsageError(f"--batch: expected at most {MAX_BATCH} images at once, got {self.batch}")
        if self.max_side_px is not None and self.max_side_px < 0:
            raise UsageError(f"--max-side-px: expected pixels, or 0 for no limit, got {self.max_side_px}")
