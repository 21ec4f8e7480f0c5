"""Official checkpoints of zeros, and images with the classes of VOC."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.golden_weights import load_layout
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.data.voc import VOC_CLASSES

CPU = torch.device("cpu")
RESNET = ("classifier.name", "resnet50")


def write_checkpoint(path: Path, kind: str, **changes: Tensor) -> Path:
    """Write an official checkpoint of zeros, which take no room, under all its names."""
    layout = load_layout(kind)
    tensors = {name: torch.zeros(()).expand(tuple(shape)) for name, shape in layout.shapes.items()}
    tensors |= {name.replace("__", "."): value for name, value in changes.items()}
    torch.save(tensors | {alias: tensors[name] for alias, name in layout.aliases.items()}, path)
    return path


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (7,), (7, 11), ()), names=VOC_CLASSES)
    return train, make_dataset(root, ((0,), (19, 7)), split="val", names=VOC_CLASSES)
