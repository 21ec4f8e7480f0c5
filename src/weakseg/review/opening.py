"""Opening a finished run to look at its masks; what stands in the way is told in one line."""

from __future__ import annotations

from pathlib import Path

from weakseg.errors import ArtifactError, DataError
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.lock import hold_folder
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.runner import Context
from weakseg.types import Sample


def open_run(run: Path) -> Context:
    """Open a run whose masks are to be looked at.

    Args:
        run: The run folder.

    Raises:
        ArtifactError: If it is no run folder, another process is at work in it, or it has no masks.
        DataError: If its images are no longer where they were.
    """
    config, folder = read_run_config(run), RunFolder(run)
    if not any(folder.masks.rglob("*.png")):
        raise ArtifactError(f"{run} has no masks to look at; make them with 'weakseg refine {run}'")
    with hold_folder(run):  # says who is at work in it; while a person looks, nobody is kept out
        try:
            context = prepare(config, folder)
        except DataError as error:
            raise DataError(
                f"the images of {run} cannot be opened ({error}); put them back, or correct data.root in "
                f"{folder.recipe}"
            ) from None
    if not masked_samples(context):
        raise ArtifactError(f"{run} has masks, but none of an image in {config.data.root}; correct data.root")
    return context


def masked_samples(context: Context) -> list[Sample]:
    """Return the images that have a mask, those of the training split first, in their order."""
    mask = context.folder.mask
    return [sample for dataset in seeded_datasets(context) for sample in dataset if mask(sample.id).is_file()]
