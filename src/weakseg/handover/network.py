"""Handing over a trained segmenter: as an ONNX file, or as a bundle."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from weakseg.config.schema import RunConfig
from weakseg.data.export.folder import JOURNAL, ExportFolder
from weakseg.errors import ArtifactError, UsageError
from weakseg.handover.bundle import write_bundle, zip_bundle
from weakseg.handover.calibration import choose_photographs, measure_agreement, read_inputs
from weakseg.models.onnx_export import export_onnx
from weakseg.models.onnx_int8 import quantize_onnx
from weakseg.models.onnx_network import OnnxInfo
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.pipeline.telling import show_progress
from weakseg.predict.opened import ONNX_SUFFIX, find_segmenter, views_of
from weakseg.predict.zipped import BUNDLE_FILE, ZIP_SUFFIX

EXPORTS = "exports"
"""Folder below the run where exports go unless another is named."""


@dataclass(frozen=True)
class ExportedModel:
    """What was written.

    Args:
        format: `onnx`, `onnx-int8` or `bundle`.
        path: The file or folder.
        classes: Number of classes the network knows.
        notes: How it was checked, and what it takes to use it.
    """

    format: str
    path: Path
    classes: int
    notes: tuple[str, ...]

    def describe(self) -> str:
        """Say in one line what was written."""
        return f"network of {self.classes} class{'es' * (self.classes != 1)} -> {self.path} ({self.format})"


def export_model(run: Path, *, to: str, out: Path | None = None) -> ExportedModel:
    """Write the segmenter of a run so that it can be used without the run.

    Args:
        run: The run folder, or a bundle.
        to: `onnx`: one file of free batch, height and width, without pre- and postprocessing. `onnx-int8`: the same in
            whole numbers of 8 bits, whose ranges the run's training photographs tell. `bundle`: a folder with recipe,
            class names, weights, metrics and a model card, without any path of this machine.
        out: For `onnx` and `onnx-int8` a file `*.onnx`, replaced if it exists. For `bundle` a folder, which may hold an
            earlier bundle and no other file, or a file `*.zip`. `model.onnx`, `model-int8.onnx` or `bundle` in
            `RUN/exports` when None.

    Returns:
        What was written.

    Raises:
        UsageError: If `to` is neither, or `out` is no `*.onnx`.
        ArtifactError: If `run` is no run folder or has no trained segmenter, the folder to write to holds foreign
            files, or the network cannot be written as ONNX; for int8 also if it is a bundle.
        DataError: For int8, if the photographs cannot be read any more.
        MissingExtra: If a package for ONNX is not installed.
    """
    writer = MODEL_FORMATS.get(to)
    if writer is None:
        raise UsageError(f"--to: expected one of {', '.join(MODEL_FORMATS)}, got '{to}'")
    return writer(RunFolder(run), read_run_config(run), out)


def _export_onnx(run: RunFolder, config: RunConfig, out: Path | None) -> ExportedModel:
    target = out or run.root / EXPORTS / f"model{ONNX_SUFFIX}"
    _require_onnx_name(target, "onnx")
    network, classes = load_segmenter(find_segmenter(run.root), torch.device("cpu"))
    info = OnnxInfo(classes=classes, stride=network.stride, views=views_of(config))
    difference = export_onnx(network, target, info)
    notes = (
        f"checked by onnxruntime: logits differ from the network's by at most {difference:.1g} of the largest",
        f"weakseg predict --model {shlex.quote(str(target))} IMAGES",
    )
    return ExportedModel("onnx", target, len(classes), notes)


def _export_int8(run: RunFolder, config: RunConfig, out: Path | None) -> ExportedModel:
    target = out or run.root / EXPORTS / f"model-int8{ONNX_SUFFIX}"
    _require_onnx_name(target, "onnx-int8")
    if (run.root / BUNDLE_FILE).is_file():
        raise ArtifactError(f"{run.root} is a bundle, without the photographs that int8 is made by; name the run")
    network, classes = load_segmenter(find_segmenter(run.root), torch.device("cpu"))
    info = OnnxInfo(classes=classes, stride=network.stride, views=views_of(config))
    context = open_run(run.root)
    chosen = choose_photographs(context.train, context.val)
    with tempfile.TemporaryDirectory() as temporary:
        exact = Path(temporary) / f"model{ONNX_SUFFIX}"
        export_onnx(network, exact, info)
        with show_progress("looking at photographs") as tick:
            inputs = read_inputs(chosen.calibrating, info.views, tick=tick)
            quantize_onnx(exact, target, inputs, replace(info, precision="int8"))
        agreement = measure_agreement(exact, target, read_inputs(chosen.judging, info.views))
        smaller = exact.stat().st_size / target.stat().st_size
    told = "no photograph was left to judge it by"
    if agreement is not None:
        judged = f"on {len(chosen.judging)} photographs of {chosen.judged_split}"
        told = f"{judged} {100 * agreement:.1f} % of the cells have the label that the float form gives"
    notes = (
        f"{smaller:.1f} times smaller than the float form, made by {len(chosen.calibrating)} training photographs",
        f"{told}; measure your own loss before you rely on it (docs/onnx.md)",
        f"weakseg predict --model {shlex.quote(str(target))} IMAGES",
    )
    return ExportedModel("onnx-int8", target, len(classes), notes)


def _require_onnx_name(target: Path, name: str) -> None:
    if target.suffix.lower() != ONNX_SUFFIX:
        raise UsageError(f"--out: '{name}' is one file, whose name ends in {ONNX_SUFFIX}; got {target}")


def _export_bundle(run: RunFolder, config: RunConfig, out: Path | None) -> ExportedModel:
    target = out or run.root / EXPORTS / "bundle"
    if target.suffix.lower() == ZIP_SUFFIX:
        with tempfile.TemporaryDirectory() as temporary:
            folder = ExportFolder(Path(temporary), format="bundle")
            classes = write_bundle(run, config, folder)
            files = [path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*") if path.is_file()]
            zip_bundle(folder.root, [name for name in files if name != JOURNAL], target)
    else:
        folder = ExportFolder(target, format="bundle")
        classes = write_bundle(run, config, folder)
        folder.finish()
    notes = (
        "README.md in it is the model card: say there under which licence you hand it over",
        f"weakseg predict {shlex.quote(str(target))} IMAGES",
    )
    return ExportedModel("bundle", target, len(classes), notes)


MODEL_FORMATS: dict[str, Callable[[RunFolder, RunConfig, Path | None], ExportedModel]] = {
    "onnx": _export_onnx,
    "onnx-int8": _export_int8,
    "bundle": _export_bundle,
}
"""What the network itself can be exported to, by name; `weakseg.data.export.formats` has the formats of masks."""
