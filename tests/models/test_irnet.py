import math

import pytest
import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.models.irnet_branches import Reduction, StageForm
from weakseg.models.resnet import BasicBlock, ResNet, Stem, build_backbone

SIZE_HW = (19, 27)


@pytest.fixture(scope="module")
def irnet() -> IRNet:
    """A network whose mean displacement is not 0; tests leave it as they found it."""
    network = build_irnet("critter", generator=torch.Generator().manual_seed(0)).eval()
    network.mean_displacement.copy_(torch.tensor([0.5, -2.0]))
    return network


def draw_image(size_hw: tuple[int, int] = SIZE_HW, *, seed: int = 1) -> Tensor:
    return torch.randn(3, *size_hw, generator=torch.Generator().manual_seed(seed))


def plain_reduction(*, from_stride: int, to_stride: int) -> Reduction:
    """One channel in, the same channel out: only the change of stride and the ReLU are left."""
    reduction = Reduction(1, 1, from_stride=from_stride, to_stride=to_stride)
    nn.init.ones_(reduction.convolution.weight)
    reduction.norm = nn.Identity()
    return reduction


def test_features_are_upsampled_before_they_are_rectified() -> None:
    """Rectified first, the second value would be 0.25 and the third 0.75."""
    reduced = plain_reduction(from_stride=8, to_stride=4)(torch.tensor([[[[-1.0, 1.0]]]]))
    assert reduced.shape == (1, 1, 2, 4)
    assert reduced[0, 0, 0].tolist() == [0.0, 0.0, 0.5, 1.0]


def test_finer_features_are_averaged_and_the_last_cell_over_what_it_has() -> None:
    reduced = plain_reduction(from_stride=2, to_stride=4)(torch.tensor([[[[1.0, 3.0, 7.0], [1.0, -1.0, 9.0]]]]))
    assert reduced.tolist() == [[[[1.0, 8.0]]]]


def test_released_widths_have_the_released_norm_groups() -> None:
    groups = [Reduction(8, width, from_stride=4, to_stride=4).norm.num_groups for width in (1, 32, 64, 128, 256)]
    assert groups == [1, 4, 8, 16, 16]


@pytest.mark.slow
def test_stages_are_the_stem_and_the_four_layers() -> None:
    resnet = tuple(StageForm(*form) for form in ((64, 4), (256, 4), (512, 8), (1024, 16), (2048, 16)))
    critter = tuple(StageForm(*form) for form in ((16, 2), (32, 4), (64, 8), (64, 8), (128, 8)))
    assert build_backbone("resnet50").stage_forms() == resnet
    assert build_backbone("critter").stage_forms() == critter


@pytest.mark.parametrize("crop_size", [None, 40])
def test_edge_and_displacement_of_an_image_at_stride_4(irnet: IRNet, crop_size: int | None) -> None:
    image = draw_image()
    before = image.clone()
    edge, displacement = irnet.infer(image, crop_size=crop_size)
    assert edge.shape == (5, 7)
    assert displacement.shape == (2, 5, 7)
    assert edge.dtype == displacement.dtype == torch.float32
    assert 0 < edge.min() < edge.max() < 1
    assert not edge.requires_grad
    assert torch.equal(image, before)


@pytest.mark.parametrize("size_hw", [(1, 1), (4, 5), (16, 3)])
def test_tiny_images_have_edges_too(irnet: IRNet, size_hw: tuple[int, int]) -> None:
    edge, displacement = irnet.infer(draw_image(size_hw))
    assert edge.shape == (math.ceil(size_hw[0] / 4), math.ceil(size_hw[1] / 4))
    assert edge.isfinite().all()
    assert displacement.isfinite().all()


@pytest.mark.parametrize("crop_size", [None, 40])
def test_the_mirror_image_has_the_mirrored_edge(irnet: IRNet, crop_size: int | None) -> None:
    image = draw_image()
    edge, _ = irnet.infer(image, crop_size=crop_size)
    mirrored, _ = irnet.infer(image.flip(-1), crop_size=crop_size)
    torch.testing.assert_close(mirrored.flip(-1), edge)


def test_edge_is_the_sigmoid_of_the_mean_logit_of_both_views(irnet: IRNet) -> None:
    image = draw_image()
    with torch.no_grad():
        logits, _ = irnet(torch.stack((image, image.flip(-1))))
    edge, _ = irnet.infer(image)
    torch.testing.assert_close(edge, torch.sigmoid(torch.stack((logits[0], logits[1].flip(-1))).mean(dim=0)))


def test_displacement_is_that_of_the_image_less_the_mean(irnet: IRNet) -> None:
    image = draw_image()
    with torch.no_grad():
        _, raw = irnet(image[None])
    _, displacement = irnet.infer(image)
    torch.testing.assert_close(displacement[0], raw[0, 0] - 0.5)
    torch.testing.assert_close(displacement[1], raw[0, 1] + 2.0)


def test_images_are_padded_with_zeros_at_the_right_and_bottom(irnet: IRNet) -> None:
    image = draw_image()
    padded = torch.zeros(3, 40, 40)
    padded[:, :19, :27] = image
    _, expected = irnet.infer(padded)
    _, displacement = irnet.infer(image, crop_size=40)
    torch.testing.assert_close(displacement, expected[:, :5, :7])


def test_a_side_longer_than_the_crop_is_left_as_it_is(irnet: IRNet) -> None:
    image = draw_image((19, 50))
    _, expected = irnet.infer(nn.functional.pad(image, (0, 0, 0, 13)))
    edge, displacement = irnet.infer(image, crop_size=32)
    assert edge.shape == (5, 13)
    torch.testing.assert_close(displacement, expected[:, :5])
    torch.testing.assert_close(irnet.infer(image, crop_size=4), irnet.infer(image))


def test_an_image_in_double_precision_is_converted(irnet: IRNet) -> None:
    image = draw_image()
    torch.testing.assert_close(irnet.infer(image.double()), irnet.infer(image))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 3, 8, 8), r"\(3, H, W\) float, got torch\.float32 \(1, 3, 8, 8\)"),
        (torch.zeros(8, 8, 3), r"got torch\.float32 \(8, 8, 3\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"got torch\.uint8"),
        (torch.zeros(3, 0, 8), r"got torch\.float32 \(3, 0, 8\)"),
    ],
)
def test_what_is_no_normalised_image_is_refused(irnet: IRNet, image: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        irnet.infer(image)


def test_a_crop_without_pixels_is_refused(irnet: IRNet) -> None:
    with pytest.raises(ShapeError, match="crop_size is a number of pixels above 0, or None for no padding, got 0"):
        irnet.infer(draw_image(), crop_size=0)


def test_a_backbone_that_was_free_is_frozen_with_its_statistics() -> None:
    backbone = build_backbone("critter", fixed_norm=False)
    network = IRNet(backbone).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    logits, displacement = network(torch.randn(2, 3, *SIZE_HW))
    (logits.square().sum() + displacement.square().sum()).backward()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_each_branch_learns_from_its_own_output_only() -> None:
    network = build_irnet("critter", generator=torch.Generator().manual_seed(2))
    logits, displacement = network(torch.randn(2, 3, *SIZE_HW))
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.edge.parameters())
    assert all(parameter.grad is None for parameter in network.displacement.parameters())
    network.zero_grad()
    displacement.square().sum().backward()
    assert all(parameter.grad is None for parameter in network.edge.parameters())
    assert all(parameter.grad is not None for parameter in network.displacement.parameters())


def test_same_generator_seed_gives_the_same_network() -> None:
    first, second = (build_irnet("critter", generator=torch.Generator().manual_seed(5)).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_unknown_name_lists_the_options() -> None:
    with pytest.raises(
        ConfigError, match=r"critter, efficientnet_lite0, .*, resnet101, resnet18, resnet50, got 'vgg16'"
    ):
        build_irnet("vgg16")


def test_a_backbone_without_fine_stages_is_refused() -> None:
    coarse = ResNet(BasicBlock, depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), stem=Stem(channels=8, stride=4))
    with pytest.raises(ShapeError, match=r"stride 4; the backbone's finest is 8 \[8, 8, 16, 32, 64\]"):
        IRNet(coarse)


def test_strides_that_do_not_divide_are_refused() -> None:
    odd = ResNet(BasicBlock, depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), stem=Stem(channels=8, stride=3, max_pool=False))
    with pytest.raises(ShapeError, match="a stage at stride 3 cannot be brought to stride 4"):
        IRNet(odd)
