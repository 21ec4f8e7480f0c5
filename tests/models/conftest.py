"""Fixtures of the networks that are large to make."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.golden_weights import fill_state_dict, load_layout


@pytest.fixture(scope="session")
def resnet38_parameters() -> dict[str, NDArray[np.generic]]:
    """Every parameter of the official ResNet-38 networks of PSA by its name, 105 million numbers; not to be changed."""
    shapes = {**load_layout("resnet38_cls").shapes, **load_layout("resnet38_aff").shapes}
    return fill_state_dict(shapes)
