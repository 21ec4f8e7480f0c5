"""The segmenter's masks of validation images -> `predictions/`, with which the stage `evaluate` begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakseg.data.images import ShrunkImage
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, ImageWork, run_job
from weakseg.pipeline.images import first_missing
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.scoring.ablation import mask_files, predict_steps, prediction_steps
from weakseg.types import Sample


def predict_split(context: Context) -> None:
    """Write the segmenter's masks of every validation image that lacks one."""
    context.folder.predictions.mkdir(parents=True, exist_ok=True)  # the stage's output, even when it stays empty
    if context.val is None:
        return
    run_job(context, PREDICTIONS, [context.val])


def unpredicted_file(context: Context, sample_id: str) -> Path:
    """Name the first of an image's predictions that is missing."""
    return first_missing(mask_files(context, sample_id))


@contextmanager
def open_predictions(context: Context) -> Iterator[ImageWork]:
    """Lend the run's segmenter as what writes predictions."""
    segmenter, _ = load_segmenter(context.folder.network("segmenter").model, context.device)
    steps = prediction_steps(context.config.evaluate)

    def write(sample: Sample, image: ShrunkImage) -> None:
        found = predict_steps(segmenter, image.pixels, steps, max_side_px=context.config.data.max_side_px)
        for path, labels in zip(mask_files(context, sample.id), found, strict=True):
            save_mask(path, labels)  # the prediction itself last

    yield write


PREDICTIONS = ImageJob(
    name="predictions",
    stage="evaluate",
    label="predicting",
    output=unpredicted_file,
    open=open_predictions,
    reading="whole",
)
"""What makes the segmenter's masks of validation images -> `predictions/`."""
