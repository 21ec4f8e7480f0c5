"""Score maps of classifiers on backbones of `transformers`, and how an adaptation moves them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.made_hf_backbone import build, open_classifier
from tests.tiny_networks import DINOV2, RESNET
from weakseg.files import JsonValue
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt

pytestmark = pytest.mark.slow  # transformers takes seconds to import


@pytest.mark.parametrize("values", [RESNET, DINOV2], ids=["resnet", "dinov2"])
@pytest.mark.parametrize("num_classes", [1, 80])
def test_maps_of_a_grey_image_and_of_one_a_pixel_wide(
    tmp_path: Path, values: dict[str, JsonValue], num_classes: int
) -> None:
    classifier = open_classifier(build(tmp_path, values), num_classes=num_classes)
    tags = np.zeros(num_classes, np.uint8)
    tags[-1] = 1
    for size_hw in ((29, 42), (40, 1)):
        image = np.full((*size_hw, 3), 128, np.uint8)
        maps = score_maps(classifier, image, tags, scales=(1.0, 0.5))
        expected = tuple(math.ceil(side / classifier.stride) for side in size_hw)
        assert maps.scales[0].shape == (1, *expected)
        assert maps.full().shape == (1, *size_hw)
        assert score_maps(classifier, image, 0 * tags).keys == ()


@pytest.mark.parametrize("freeze_trunk", [True, False])
@pytest.mark.parametrize("values", [RESNET, DINOV2], ids=["resnet", "dinov2"])
def test_an_adaptation_moves_the_maps_and_gives_the_weights_back(
    tmp_path: Path, values: dict[str, JsonValue], freeze_trunk: bool
) -> None:
    classifier = open_classifier(build(tmp_path, values), freeze_trunk=freeze_trunk)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    flags = [parameter.requires_grad for parameter in classifier.parameters()]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (29, 42, 3), dtype=np.uint8)
    partners = [(torch.randn(2, 3, 33, 33), torch.tensor([[0.0, 1.0, 0.0]] * 2)) for _ in range(3)]
    sums: list[Tensor] = []
    result = adapt(
        classifier,
        image,
        np.array([1, 0, 0]),
        partners,
        iterations=3,
        lr=1e-2,
        weight_decay=1e-4,
        threshold=0.4,
        logit_stop=1e9,
        area_threshold=0.3,
        area_ratio=1.0,
        scales=(1.0, 0.5),
        after_iteration=lambda maps: sums.append(maps.scales[0]),
    )
    assert result.iterations == 3
    assert not torch.allclose(sums[1] - sums[0], sums[0]), "the second iteration's maps are not the first's"
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert [parameter.requires_grad for parameter in classifier.parameters()] == flags
