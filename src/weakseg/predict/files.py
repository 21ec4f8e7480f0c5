"""Predicting images: from files and folders to pictures and a summary, by whatever engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from weakseg.config.schema import RunConfig, RuntimeConfig
from weakseg.errors import UsageError
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Engine, OneProcess
from weakseg.pipeline.notes import hold_notebook
from weakseg.pipeline.runtime import choose_device, joined_processes
from weakseg.predict.command import Command, Predicted
from weakseg.predict.constraint import constrain
from weakseg.predict.notices import tell_passed_over, tell_suffixed, tell_unconstrained
from weakseg.predict.opened import limit_views, name_device, open_model
from weakseg.predict.options import PredictOptions
from weakseg.predict.reading import settle_range
from weakseg.predict.targets import OutputFiles, list_targets

NOTEBOOK = ".weakseg-predict"
"""Folder within the one to write to, as long as images are to be worked on; see `weakseg.pipeline.notes`."""


def predict_files(
    model: Path,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    device: str,
    options: PredictOptions | None = None,
    engine: Engine | None = None,
) -> Predicted:
    """Label images with a trained segmenter and write masks, overlays, confidences and a summary.

    Args:
        model: A run folder, a bundle, a segmenter's `model.safetensors`, or an ONNX file.
        inputs: Image files, folders whose images are taken at any depth, and patterns; see `list_targets`.
        out: Folder to write to; sub-folders of an input folder are kept.
        device: As `runtime.device`.
        options: How; as `PredictOptions` has it when None.
        engine: Who works on the images; None for this process, or those of `torchrun`. It is closed at the end.

    Returns:
        What was done; of several processes of `torchrun`, the first knows it. Unreadable images and what is passed over
        are named in the log and in the summary.

    Raises:
        ArtifactError: If there is no trained segmenter, or a file cannot be written.
        ConfigError: If the device is not there or its memory does not suffice.
        DataError: If there is nothing to predict, no image can be read, two inputs would write the same file, an input
            would be overwritten, or a tag is no class.
        UsageError: If options contradict each other.
        StageStopped: If images are left to parts, or this was one.
    """
    options = options or PredictOptions()
    engine = engine or OneProcess()
    files = OutputFiles(out, options.outputs)
    if options.skip_existing and files.summary is None:
        raise UsageError("--skip-existing needs the summary, which tells what made the results; add it to --outputs")
    found = list_targets(inputs, files=files)
    place = choose_device(name_device(model, device))
    with closing(engine), joined_processes(place):
        opened = open_model(model, device=device)
        constraint = constrain(opened.classes, found.paths, tags=options.tags, tag_file=options.tag_file)
        tell_unconstrained(found.paths, constraint)
        tell_suffixed(found.paths)
        tell_passed_over(found.passed_over)
        views = settle_range(limit_views(opened.views, options.max_side_px), found.paths.values())
        command = Command(replace(opened, views=views), files, constraint, options, found.paths)
        with hold_notebook(out / NOTEBOOK, engine) as notebook:
            config = RunConfig(runtime=RuntimeConfig(device=device, workers=0))
            context = Context(config, notebook.folder, place, command.dataset, None, {})
            return command.run(context, engine, notebook, passed_over=found.passed_over)
