"""Writing a trained segmentation network as an ONNX file of free batch, height and width, and checking the file.

The graph is the network alone: normalised images in, logits at the network's stride out. Scaling, mirroring and
bringing labels to full size stay outside, where they are the same code for a trained network and for the file.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from weakseg.errors import ArtifactError, MissingExtra
from weakseg.files import advise_on, partial_path
from weakseg.models.modes import evaluating
from weakseg.models.onnx_network import INPUT, METADATA_KEY, OUTPUT, OnnxInfo, OnnxNetwork
from weakseg.models.segmenter import SegmentationNetwork

TRACED_SHAPE = (2, 3, 72, 104)
"""Shape the graph is traced with. Sizes of 1 would be taken for constants."""

CHECKED_SHAPES = ((1, 3, 65, 97), (2, 3, 129, 71), (3, 3, 33, 40))
"""Shapes at which the file is compared with the network: odd, wide, high, below and above the traced one."""

TOLERANCE = 1e-4
"""Largest difference of logits that the check lets pass, relative to the largest logit; sums run in another order."""

_CHECK_SEED = 0


def export_onnx(network: SegmentationNetwork, path: Path, info: OnnxInfo) -> float:
    """Write a network as one ONNX file, which replaces `path` only once it has been checked by onnxruntime.

    Args:
        network: The network on the CPU; traced in evaluation mode, and given its modes back.
        path: The file.
        info: What the file says of itself.

    Returns:
        The largest difference between the logits of the file and of the network over `CHECKED_SHAPES`, relative to
        the network's largest logit of the same input.

    Raises:
        ArtifactError: If the network cannot be traced, onnxruntime cannot run the file at every size, its logits
            differ by more than `TOLERANCE`, or it cannot be written.
        MissingExtra: If onnx, onnxscript or onnxruntime is not installed.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"exporting to ONNX needs {', '.join(missing)}: pip install 'weakseg[onnx]'")
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path} is no place for an ONNX file: a folder or device is there; choose another")
    free = torch.export.Dim.DYNAMIC
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with evaluating(network), torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network,
                (torch.zeros(TRACED_SHAPE),),
                dynamo=True,
                dynamic_shapes=({0: free, 2: free, 3: free},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
            assert program is not None, "the exporter returns a program unless it is given a file"
            program.model.metadata_props[METADATA_KEY] = info.to_json()
            program.save(partial)
        difference = _check(network, partial)
        if not difference <= TOLERANCE:
            raise ArtifactError(
                f"the ONNX file differs from the network by {difference:.2g} of the largest logit, more than "
                f"{TOLERANCE:g}; nothing was written"
            )
        partial.replace(path)
    except torch.onnx.OnnxExporterError as error:
        raise ArtifactError(f"this network cannot be written as ONNX: {' '.join(str(error).split())[:300]}") from error
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {advise_on(error)}") from error
    finally:
        partial.unlink(missing_ok=True)
    return difference


def _check(network: SegmentationNetwork, path: Path) -> float:
    """Return what `measure_difference` finds; an error of onnxruntime becomes one of the export."""
    try:
        return measure_difference(network, OnnxNetwork(path, torch.device("cpu")))
    except ArtifactError as error:
        raise ArtifactError(
            f"this network cannot be written as ONNX for images of any size ({error}); nothing was written"
        ) from None


def measure_difference(network: SegmentationNetwork, file: OnnxNetwork) -> float:
    """Return the largest difference of logits on noise of `CHECKED_SHAPES`, relative to the network's largest one."""
    generator = torch.Generator().manual_seed(_CHECK_SEED)
    differences = []
    with evaluating(network), torch.no_grad():
        for shape in CHECKED_SHAPES:
            batch = torch.randn(shape, generator=generator)
            expected = network(batch)
            largest = expected.abs().amax().clamp(min=torch.finfo(expected.dtype).tiny)
            differences.append((file(batch) - expected).abs().amax() / largest)
    return float(torch.stack(differences).amax())  # NaN if any is


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter: it warns of torchvision, which is not needed, and of its own deprecated calls."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
