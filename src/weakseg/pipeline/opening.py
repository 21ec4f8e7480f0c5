"""Opening a run that is there, to read its images, masks and classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.run_classes import require_run_classes
from weakseg.pipeline.run_folder import RunFolder


def open_run(run: Path) -> Context:
    """Open a run folder with its data sets, on the CPU: the GPU of the run may be on another machine.

    Raises:
        ArtifactError: If it is no run, or its data have other classes than its networks learnt.
        DataError: If its images cannot be used any more.
    """
    config = read_run_config(run)
    context = prepare(replace(config, runtime=replace(config.runtime, device="cpu")), RunFolder(run))
    require_run_classes(context.folder, context.train.classes)
    return context
