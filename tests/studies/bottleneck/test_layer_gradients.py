"""Gradients of a logit and of every layer, by hand, and their averages over squares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weakseg.models.backbone import Backbone
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain
from weakseg.models.efficientnet_lite import build_efficientnet_lite
from weakseg.models.resnet import build_backbone
from weakseg.ops.images import normalise
from weakseg.studies.bottleneck.layer_gradients import average_over_squares, find_layers, layer_maps, logit_maps

HEIGHT, WIDTH = 13, 22


def make_classifier(*, trunk_layers: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    chain = ConvolutionChain(
        widths=(4, 4, 6), strides=(2, 1, 2), norm=False, trunk_layers=trunk_layers, generator=generator
    )
    return Classifier(chain, num_classes=3, freeze_trunk=trunk_layers > 0, generator=generator)


def make_image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: make_classifier().backbone, ("layer 1", "layer 2", "layer 3")),
        (
            lambda: build_efficientnet_lite("efficientnet_lite0"),
            ("stem", *(f"group {number}" for number in range(1, 8)), "head"),
        ),
        (lambda: build_backbone("resnet18"), ("maxpool", "layer1", "layer2", "layer3", "layer4")),
    ],
)
def test_layers_are_the_parts_of_any_backbone(build: Callable[[], Backbone], expected: tuple[str, ...]) -> None:
    assert tuple(find_layers(build())) == expected


def test_squares_of_pixels_and_of_coarser_positions_have_the_same_averages() -> None:
    pixels = torch.tensor([[[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [4.0, 6.0, 9.0]]])
    expected = [[[2.0, 6.0], [5.0, 9.0]]]
    assert average_over_squares(pixels, (3, 3), side_px=2).tolist() == expected
    coarse = torch.tensor(expected)
    assert average_over_squares(coarse, (3, 3), side_px=2).tolist() == expected, "of stride 2 already"
    odd = torch.arange(12.0).reshape(1, 3, 4)
    assert average_over_squares(odd, (40, 40), side_px=16).shape == (1, 3, 3), "a layer of no such stride"


@pytest.mark.parametrize("trunk_layers", [0, 2])
def test_gradients_are_those_of_the_logit_and_of_every_layer(trunk_layers: int) -> None:
    classifier, image = make_classifier(trunk_layers=trunk_layers), make_image()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    maps = logit_maps(classifier, image, 2)
    pixels = normalise(image)[None].requires_grad_(True)
    features = classifier.backbone(pixels)
    scores = classifier.classifier(features)
    logit = scores.mean(dim=(2, 3))[0, 2]
    (expected,) = torch.autograd.grad(logit, pixels, retain_graph=True)
    assert maps.logit == pytest.approx(float(logit.detach()))
    assert torch.allclose(
        maps.image, average_over_squares(expected.norm(dim=1), (HEIGHT, WIDTH), side_px=4)[0], atol=1e-7
    )
    grid_hw = (4, 6)
    assert {name: tuple(one.shape) for name, one in maps.layers.items()} == dict.fromkeys(
        ("layer 1", "layer 2", "layer 3"), grid_hw
    )
    everywhere = float(classifier.classifier.weight[2].norm().detach()) / 24
    assert torch.allclose(maps.layers["layer 3"], torch.full(grid_hw, everywhere)), "an average's gradient"
    (expected,) = torch.autograd.grad(features.abs().sum(), pixels)
    layers = layer_maps(classifier, image)
    assert torch.allclose(
        layers["layer 3"], average_over_squares(expected.norm(dim=1), (HEIGHT, WIDTH), side_px=4)[0], rtol=1e-4
    )
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert classifier.training
    assert not any(layer._forward_hooks for layer in find_layers(classifier.backbone).values())
