"""EfficientNet-Lite without gradients: the quick forms give what the plain ones give."""

import pytest
import torch
from torch import nn

from weakseg.models.classifier import Classifier
from weakseg.models.efficientnet_lite import EfficientNetLite, Group
from weakseg.models.lite_layers import StridedConv2d

NARROW = (
    Group(3, 1, 1, 8, 1),
    Group(3, 2, 2, 8, 2),
    Group(5, 2, 2, 8, 1),
    Group(3, 2, 2, 8, 1),
    Group(5, 1, 2, 8, 1),
    Group(5, 2, 2, 8, 2),
    Group(3, 1, 2, 8, 1),
)


@pytest.mark.parametrize(("place", "expected"), [("first", [0, 2, 4]), ("second", [1, 3, 0])])
def test_strided_convolution_reads_at_its_place(place: str, expected: list[int]) -> None:
    convolution = StridedConv2d(1, 1, 3, stride=2, place=place)
    with torch.no_grad():
        convolution.weight.zero_()[0, 0, 1, 1] = 1
        row = convolution(torch.arange(5.0).repeat(5, 1)[None, None])
    assert row[0, 0, 0].tolist() == expected  # the last of the second ones lies outside


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("fixed_norm", [False, True])
def test_maps_are_the_same_with_and_without_gradients_and_in_both_layouts(stride: int, fixed_norm: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    backbone = EfficientNetLite(NARROW, stride=stride, fixed_norm=fixed_norm, generator=generator)
    classifier = Classifier(backbone, num_classes=3, freeze_trunk=False, generator=generator).eval()
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
    images = torch.randn(2, 3, 65, 94, generator=generator)
    before = images.clone()
    learning = classifier.head(classifier.trunk(images)).detach()
    for layout in (torch.contiguous_format, torch.channels_last):
        classifier.to(memory_format=layout)
        with torch.no_grad():
            features = classifier.trunk(images)
            kept = features.clone()
            maps = classifier.head(features)
        torch.testing.assert_close(maps, learning, rtol=1e-4, atol=1e-5)
        assert torch.equal(features, kept)  # what is rectified in place is a layer's own
    assert torch.equal(images, before)
