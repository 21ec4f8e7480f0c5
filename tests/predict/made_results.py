"""Prediction of files with a network that knows nothing, and what has to come of it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.predict.made_model import make_model
from tests.tiny import make_segmenter
from weakseg.models.inference import predict_labels
from weakseg.predict.command import Predicted
from weakseg.predict.files import predict_files
from weakseg.predict.options import PredictOptions

SCALES, FLIP, MAX_SIDE_PX = (1.0, 0.5), True, 30
ALL_OF = ("{}.png", "{}_confidence.png", "{}_overlay.jpg")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("runs") / "run").root


def predict(model: Path, inputs: list[str | Path], out: Path, **options: object) -> Predicted:
    return predict_files(model, inputs, out, device="cpu", options=PredictOptions(**options))  # type: ignore[arg-type]


def results_of(*names: str) -> list[str]:
    return sorted([*(name.format(image) for image in names for name in ALL_OF), "summary.json"])


def expected_labels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return predict_labels(make_segmenter(), image, scales=SCALES, flip=FLIP, max_side_px=MAX_SIDE_PX)
