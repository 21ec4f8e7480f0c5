import pytest
import torch

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.deeplab import ASPP, build_segmenter


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
