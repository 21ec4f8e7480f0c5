"""Fixtures of the networks that are large to make."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.golden_weights import fill_state_dict, load_layout
from tests.models.onnx_info import ONNX_INFO
from tests.tiny import make_segmenter
from weakseg.models.onnx_export import export_onnx


@pytest.fixture(scope="session")
def resnet38_parameters() -> dict[str, NDArray[np.generic]]:
    """Every parameter of the official ResNet-38 networks of PSA by its name, 105 million numbers."""
    shapes = {**load_layout("resnet38_cls").shapes, **load_layout("resnet38_aff").shapes}
    return fill_state_dict(shapes)


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network; tracing takes seconds, so once for all tests."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert export_onnx(make_segmenter(), path, ONNX_INFO) < 1e-5
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    return path
