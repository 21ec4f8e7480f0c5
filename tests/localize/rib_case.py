"""A small classifier, an image and its partners, to try RIB on."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.models.classifier import Classifier, build_classifier
from weakseg.types import ScoreMaps

HEIGHT, WIDTH, NUM_CLASSES = 37, 52, 3
TAGS = np.array([1, 0, 1], np.uint8)
SCALES = (1.0, 0.5, 1.5)
LR = 1e-3
"""High enough for a small network with random weights to change visibly."""

Batch = tuple[Tensor, Tensor]


def build(num_classes: int = NUM_CLASSES, *, freeze_trunk: bool = False) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    network = build_classifier(
        "critter", num_classes=num_classes, freeze_trunk=freeze_trunk, fixed_norm=False, generator=generator
    )
    # With the usual small weights of a fresh classifier all scores would be close to 0.
    torch.nn.init.normal_(network.classifier.weight, std=0.3, generator=generator)
    return network.eval()


@pytest.fixture
def classifier() -> Classifier:
    return build()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def draw_partners(iterations: int, *, batch: int = 2, num_classes: int = NUM_CLASSES) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    tags = torch.zeros(batch, num_classes)
    tags[:, 1 % num_classes] = 1
    return [(torch.randn(batch, 3, 24, 24, generator=generator), tags) for _ in range(iterations)]


def assert_same_maps(maps: ScoreMaps, expected: ScoreMaps, *, factor: float = 1.0) -> None:
    assert maps.keys == expected.keys
    assert maps.size_hw == expected.size_hw
    for part, expected_part in zip(maps.scales, expected.scales, strict=True):
        torch.testing.assert_close(part, factor * expected_part, rtol=1e-4, atol=1e-5)
