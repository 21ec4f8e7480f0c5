import pytest
import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.deeplab import ASPP, EveryScale, Segmenter, build_segmenter, fuse_scales


def test_aspp_sums_branches_that_differ_in_dilation() -> None:
    aspp = ASPP(1, 1, rates=(1, 2))
    for branch, value in zip(aspp.branches, (1.0, 10.0), strict=True):
        torch.nn.init.constant_(branch.weight, value)
        torch.nn.init.constant_(branch.bias, 0.5)
    features = torch.zeros(1, 1, 5, 5)
    features[0, 0, 2, 2] = 1
    with torch.no_grad():
        result = aspp(features)[0, 0]
    assert result.tolist() == [
        [11, 1, 11, 1, 11],
        [1, 2, 2, 2, 1],
        [11, 2, 12, 2, 11],
        [1, 2, 2, 2, 1],
        [11, 1, 11, 1, 11],
    ]


def test_fresh_aspp_predicts_about_zero_with_biases_of_zero() -> None:
    aspp = ASPP(64, 21, rates=(6, 12), generator=torch.Generator().manual_seed(0))
    assert [branch.dilation for branch in aspp.branches] == [(6, 6), (12, 12)]
    assert all(not branch.bias.any() for branch in aspp.branches)
    assert aspp.branches[0].weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("std", [0.001, 0.0])
def test_fresh_convolutions_have_the_spread_they_are_given(std: float) -> None:
    aspp = ASPP(64, 21, rates=(6,), std=std, generator=torch.Generator().manual_seed(0))
    assert aspp.branches[0].weight.std().item() == pytest.approx(std, rel=0.05)
    built = build_segmenter("critter", num_labels=4, aspp_rates=(3,), fixed_norm=False, aspp_std=std)
    assert built.aspp.branches[0].weight.abs().max().item() < max(6 * std, 1e-9)


@pytest.mark.parametrize("rates", [(), (6, 0)])
def test_aspp_without_a_usable_dilation_is_refused(rates: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="aspp_rates: expected one or more dilations of at least 1"):
        build_segmenter("critter", num_labels=4, aspp_rates=rates, fixed_norm=False)


@pytest.mark.parametrize("num_labels", [2, 4, 81])
def test_one_logit_map_per_label(num_labels: int) -> None:
    segmenter = build_segmenter("critter", num_labels=num_labels, aspp_rates=(1, 3), fixed_norm=False).eval()
    assert segmenter(torch.zeros(1, 3, 33, 20)).shape == (1, num_labels, 5, 3)
    assert segmenter.num_labels == num_labels


def test_prediction_is_the_bilinear_upsampling_of_the_logits() -> None:
    segmenter = build_segmenter("critter", num_labels=3, aspp_rates=(1, 2), fixed_norm=True).eval()
    images = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = segmenter.predict_logits(images, (2, 3))
        larger = segmenter.predict_logits(images, (4, 6))
        logits = segmenter(images)
    assert torch.equal(same, logits)
    # Without aligned corners, the second of two pixels between cells 0 and 1 is 3/4 of cell 0 and 1/4 of cell 1.
    torch.testing.assert_close(larger[..., 0, 1], 0.75 * logits[..., 0, 0] + 0.25 * logits[..., 0, 1])


def test_norm_is_fixed_only_on_request() -> None:
    for fixed_norm in (True, False):
        segmenter = build_segmenter("critter", num_labels=3, aspp_rates=(1,), fixed_norm=fixed_norm).train()
        before = segmenter.backbone.bn1.running_mean.clone()
        segmenter(torch.randn(2, 3, 16, 16))
        assert torch.equal(segmenter.backbone.bn1.running_mean, before) == fixed_norm


def test_unknown_backbone_lists_the_options() -> None:
    with pytest.raises(ConfigError, match=r"resnet101, resnet18, resnet50, got 'resnet102'"):
        build_segmenter("resnet102", num_labels=3, aspp_rates=(1,), fixed_norm=False)


@pytest.mark.parametrize("num_labels", [1, 256])
def test_number_of_labels_that_masks_cannot_hold_is_refused(num_labels: int) -> None:
    with pytest.raises(ShapeError, match=f"2 to 255 labels with the background, got {num_labels}"):
        build_segmenter("critter", num_labels=num_labels, aspp_rates=(1,), fixed_norm=False)


def make(*, num_labels: int = 3, multi_scale: tuple[float, ...] = (0.75, 0.5), fixed_norm: bool = True) -> Segmenter:
    return build_segmenter(
        "critter",
        num_labels=num_labels,
        aspp_rates=(1, 2),
        fixed_norm=fixed_norm,
        multi_scale=multi_scale,
        generator=torch.Generator().manual_seed(0),
    )


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_the_largest_logit_of_all_scales_counts() -> None:
    """Two cells grow to four: 0, 0.25 * 8, 0.75 * 8, 8."""
    large = torch.tensor([[[[1.0, 1.0, 7.0, 7.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    small = torch.tensor([[[[0.0, 8.0]], [[-1.0, -1.0]]]])
    assert fuse_scales([large, small]).tolist() == [[[[1.0, 2.0, 7.0, 8.0]], [[0.0, 0.0, 0.0, 0.0]]]]


def test_one_scale_is_its_own_fusion() -> None:
    logits = noise(1, 2, 3, 4)
    assert fuse_scales([logits]) is logits


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 5), (5, 3)])
def test_scales_are_upsampled_as_interpolate_does(size_hw: tuple[int, int]) -> None:
    small = noise(2, 3, *size_hw)
    expected = nn.functional.interpolate(small, (5, 7), mode="bilinear", align_corners=False)
    torch.testing.assert_close(fuse_scales([torch.full((2, 3, 5, 7), -99.0), small]), expected)


@pytest.mark.parametrize("num_labels", [2, 81])
def test_a_network_of_several_scales_keeps_stride_size_and_names(num_labels: int) -> None:
    images = noise(2, 3, 33, 51)
    one, several = make(num_labels=num_labels, multi_scale=()), make(num_labels=num_labels)
    assert list(one.state_dict()) == list(several.state_dict())
    with torch.no_grad():
        scaled = several.scaled_logits(images)
        fused = several(images)
        expected = one(images)
        halved = one(nn.functional.interpolate(images, (16, 25), mode="bilinear", align_corners=False))
    # 33 x 51 pixels at scales 1, 0.75 (24 x 38) and 0.5 (16 x 25)
    assert [tuple(logits.shape) for logits in scaled] == [(2, num_labels, h, w) for h, w in ((5, 7), (3, 5), (2, 4))]
    assert torch.equal(scaled[0], expected)
    torch.testing.assert_close(scaled[2], halved)
    assert torch.equal(fused, fuse_scales(scaled))
    assert bool((fused >= expected).all())
    assert bool((fused > expected).any())


def test_an_image_of_one_pixel_has_scales_of_one_pixel() -> None:
    with torch.no_grad():
        assert make()(noise(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_every_scale_answers_with_all_and_last_the_fused() -> None:
    segmenter = make()
    model = EveryScale(segmenter)
    images = noise(2, 3, 24, 16)
    answer = model(images)
    assert [tuple(logits.shape[2:]) for logits in answer] == [(3, 2), (3, 2), (2, 1), (3, 2)]
    assert torch.equal(answer[-1], segmenter(images))
    assert [id(p) for p in model.head_parameters()] == [id(p) for p in segmenter.head_parameters()]
    assert [id(p) for p in model.backbone_parameters()] == [id(p) for p in segmenter.backbone_parameters()]
    answer[-1].square().mean().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in segmenter.parameters())


def test_the_gradient_of_the_fusion_goes_to_the_largest() -> None:
    large = torch.tensor([[[[1.0, 5.0]]]], requires_grad=True)
    small = torch.tensor([[[[3.0]]]], requires_grad=True)
    fuse_scales([large, small]).sum().backward()
    assert large.grad.tolist() == [[[[0.0, 1.0]]]]
    assert small.grad.tolist() == [[[[1.0]]]]


@pytest.mark.parametrize("scale", [0.0, 1.0, -0.5])
def test_scales_that_do_not_shrink_are_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match=r"multi_scale: expected factors above 0 and below 1, got \(0\.5, "):
        make(multi_scale=(0.5, scale))


def test_a_segmenter_says_how_to_build_it_again() -> None:
    assert make().architecture() == {"aspp_rates": [1, 2], "multi_scale": [0.75, 0.5], "caffe_form": False}


@pytest.mark.slow
def test_caffes_form_moves_strides_into_the_first_convolution_and_changes_no_shape() -> None:
    plain, caffe = (
        build_segmenter("resnet50", num_labels=2, aspp_rates=(1,), fixed_norm=True, caffe_form=form)
        for form in (False, True)
    )
    assert [segmenter.caffe_form for segmenter in (plain, caffe)] == [False, True]
    for segmenter, strides in ((plain, [(1, 1), (2, 2)]), (caffe, [(2, 2), (1, 1)])):
        block = segmenter.backbone.layer2[0]
        assert [block.conv1.stride, block.conv2.stride] == strides
        assert block.downsample[0].stride == (2, 2)
    shapes = [{name: value.shape for name, value in s.state_dict().items()} for s in (plain, caffe)]
    assert shapes[0] == shapes[1]
    with torch.no_grad():
        assert caffe(noise(1, 3, 17, 25)).shape == (1, 2, 3, 4)


def test_caffes_form_needs_bottlenecks() -> None:
    with pytest.raises(ConfigError, match="'critter' has no bottlenecks, so Caffe's form is for resnet50, resnet101"):
        build_segmenter("critter", num_labels=2, aspp_rates=(1,), fixed_norm=True, caffe_form=True)
    with pytest.raises(ConfigError, match="caffe_form: 'efficientnet_lite0' is no ResNet, so it has no such form"):
        build_segmenter("efficientnet_lite0", num_labels=2, aspp_rates=(1,), fixed_norm=True, caffe_form=True)
