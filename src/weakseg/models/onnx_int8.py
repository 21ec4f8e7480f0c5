"""An ONNX file whose weights and activations are whole numbers of 8 bits: smaller, and faster where the CPU has them.

Which numbers the 256 steps stand for is found by letting the network look at photographs (static quantization). The
arithmetic is onnxruntime's; `docs/onnx.md` tells what it costs.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.errors import ArtifactError, MissingExtra
from weakseg.files import write_bytes
from weakseg.models.onnx_export import CHECKED_SHAPES
from weakseg.models.onnx_network import INPUT, METADATA_KEY, OnnxInfo, OnnxNetwork

QUANTIZED = ("Conv", "Gemm", "MatMul", "Add", "Clip", "Relu")
"""Operators that work on whole numbers; moving them about (slices, transpositions) stays as it is."""


def quantize_onnx(source: Path, target: Path, batches: Iterable[NDArray[np.float32]], info: OnnxInfo) -> None:
    """Write the int8 form of an ONNX file.

    Weights get 7 of the 8 bits, each channel a scale of its own: sums of products of 8 bits overflow on CPUs without
    instructions for them.

    Args:
        source: A file that `weakseg.models.onnx_export.export_onnx` wrote.
        target: The file to write; replaced once the new one has been run at several sizes.
        batches: Inputs (N, 3, H, W) float32 as the network meets them; each is looked at once.
        info: What the file says of itself.

    Raises:
        ArtifactError: If onnxruntime cannot make it, or not run it at every size.
        MissingExtra: If onnx or onnxruntime is not installed.
    """
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"int8 needs {', '.join(missing)}: pip install 'weakseg[onnx]'")
    with tempfile.TemporaryDirectory() as temporary, _quiet():
        quantized = Path(temporary) / "int8.onnx"
        try:
            _quantize(source, quantized, Path(temporary) / "prepared.onnx", batches)
        except ArtifactError:
            raise
        except Exception as error:  # of onnx, onnxruntime or sympy, which have no common base
            text = " ".join(str(error).split())[:300]
            raise ArtifactError(f"onnxruntime cannot make an int8 form of this network: {text}") from error
        _name(quantized, info)
        network = OnnxNetwork(quantized, torch.device("cpu"))
        for shape in CHECKED_SHAPES:
            if not torch.isfinite(network(torch.zeros(shape))).all():
                raise ArtifactError(f"the int8 form gives no numbers on an input {shape}; nothing was written")
        write_bytes(target, quantized.read_bytes())


def _quantize(source: Path, target: Path, prepared: Path, batches: Iterable[NDArray[np.float32]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        """Hands the inputs over one by one."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            """Return the next input by its name, or None after the last."""
            batch = next(self._left, None)
            return None if batch is None else {INPUT: batch}

    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTIZED),
        nodes_to_exclude=_find_first_layers(prepared),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _find_first_layers(path: Path) -> list[str]:
    """Return the names of the nodes from the input to the first convolutions on every way, these included.

    The first layer in whole numbers costs more than all others together, and saves next to nothing (docs/onnx.md).
    """
    import onnx

    graph = onnx.load(str(path)).graph
    reached, names = {graph.input[0].name}, []
    for node in graph.node:  # ordered, so that a node comes after what it takes
        if reached.intersection(node.input):
            names.append(node.name)
            if node.op_type != "Conv":
                reached.update(node.output)
    return names


def _name(path: Path, info: OnnxInfo) -> None:
    """Write what the file says of itself into it."""
    import onnx

    model = onnx.load(str(path))
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    onnx.save(model, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime's advice, which it gives through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
