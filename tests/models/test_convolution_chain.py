from __future__ import annotations

import pytest
import torch

from weakseg.errors import ShapeError
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain


def make_chain(*, norm: bool = True, trunk_layers: int = 0) -> ConvolutionChain:
    generator = torch.Generator().manual_seed(0)
    return ConvolutionChain(
        widths=(4, 6, 8), strides=(2, 1, 2), norm=norm, trunk_layers=trunk_layers, generator=generator
    ).eval()


@pytest.mark.parametrize("trunk_layers", [0, 1, 3])
def test_trunk_and_tail_are_the_whole_chain_wherever_it_is_cut(trunk_layers: int) -> None:
    chain, images = make_chain(trunk_layers=trunk_layers), torch.randn(2, 3, 13, 18)
    whole = chain.outputs(images)[-1]
    assert torch.equal(chain.tail(chain.trunk(images)), whole)
    assert torch.equal(chain(images), whole)
    assert len(chain.trunk_modules()) == trunk_layers


def test_outputs_are_those_of_every_layer_after_its_relu() -> None:
    chain, images = make_chain(), torch.randn(1, 3, 13, 18)
    outputs = chain.outputs(images)
    assert [tuple(output.shape) for output in outputs] == [(1, 4, 7, 9), (1, 6, 7, 9), (1, 8, 4, 5)]
    assert all(bool((output >= 0).all()) for output in outputs)
    assert torch.equal(chain.layers[1](outputs[0]), outputs[1])


def test_the_size_of_the_output_is_the_input_over_the_stride_rounded_up() -> None:
    chain = make_chain()
    assert (chain.stride, chain.out_channels) == (4, 8)
    for height, width in ((4, 4), (5, 8), (9, 7)):
        assert chain(torch.zeros(1, 3, height, width)).shape[2:] == (-(-height // 4), -(-width // 4))


def test_every_pixel_counts_alike_in_the_sum_of_the_first_layer() -> None:
    chain = make_chain(norm=False)
    with torch.no_grad():
        chain.layers[0][0].bias.fill_(100)  # no ReLU cuts in, so that only how often a pixel is seen remains
    images = torch.rand(1, 3, 12, 12, requires_grad=True)
    (gradients,) = torch.autograd.grad(chain.outputs(images)[0].sum(), images)
    inner = gradients[0, :, 1:-1, 1:-1]
    assert torch.allclose(inner, inner[:, :1, :1].expand_as(inner), atol=1e-5)


@pytest.mark.parametrize(("norm", "norms"), [(True, 3), (False, 0)])
def test_layers_have_a_batch_norm_or_a_bias(norm: bool, norms: int) -> None:
    chain = make_chain(norm=norm)
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in chain.modules()) == norms
    assert all((layer[0].bias is None) == norm for layer in chain.layers)


def test_the_same_generator_gives_the_same_weights() -> None:
    first, second = make_chain().state_dict(), make_chain().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_carries_a_classifier() -> None:
    classifier = Classifier(make_chain(), num_classes=2, freeze_trunk=False)
    assert classifier(torch.zeros(2, 3, 9, 14)).shape == (2, 2)


def test_widths_and_strides_must_be_as_many() -> None:
    with pytest.raises(ShapeError, match=r"expected one stride for each of some widths, got \(4, 6\) and \(1,\)"):
        ConvolutionChain(widths=(4, 6), strides=(1,))
    with pytest.raises(ShapeError, match="some widths"):
        ConvolutionChain(widths=(), strides=())


def test_a_trunk_has_no_more_layers_than_there_are() -> None:
    with pytest.raises(ShapeError, match="expected a trunk of 0 to 1 layers, got 2"):
        ConvolutionChain(widths=(4,), strides=(1,), trunk_layers=2)
