import json
import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from weakseg.errors import ArtifactError, ConfigError, ShapeError
from weakseg.models.hf_segmenter import Geometry, HFSegmenter, find_backbone, probe_geometry
from weakseg.models.hf_source import InputFormat
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

SIZE_HW = (45, 70)
IMAGENET = InputFormat()


class Standin(nn.Module):
    """A network of `transformers` in miniature: a backbone of stride 4, a head with batch norm, and an unused norm."""

    base_model_prefix = "body"

    def __init__(self, *, labels: int = 4, stride: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body = nn.ModuleDict(
            {"convolution": nn.Conv2d(3, 5, stride, stride), "norm": nn.BatchNorm2d(5), "unused": nn.LayerNorm(5)}
        )
        self.head = nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, labels, 1))
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.seen: list[Tensor] = []

    def forward(self, *, pixel_values: Tensor) -> SimpleNamespace:
        self.seen.append(pixel_values.detach())
        features = self.body["norm"](self.body["convolution"](pixel_values))
        return SimpleNamespace(logits=self.head(features))


class Resized(Standin):
    """Answers at the size that `answer` makes of the input's, or raises."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *, pixel_values: Tensor) -> SimpleNamespace:
        size_hw = self.answer(*pixel_values.shape[2:])  # type: ignore[operator]
        return SimpleNamespace(
            logits=nn.functional.interpolate(super().forward(pixel_values=pixel_values).logits, size_hw)
        )


def wrap(
    network: nn.Module | None = None,
    *,
    input_format: InputFormat = IMAGENET,
    fixed_norm: bool = True,
    labels: int = 4,
) -> HFSegmenter:
    network = Standin(labels=labels) if network is None else network
    config = {"model_type": "standin"}
    return HFSegmenter(network, config=config, num_labels=labels, input_format=input_format, fixed_norm=fixed_norm)


@pytest.fixture
def images() -> Iterator[Tensor]:
    images = torch.randn(2, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    yield images
    assert torch.equal(images, before), "the network modified its input"


@pytest.mark.parametrize(("size_hw", "padded_hw"), [((45, 70), (64, 96)), ((64, 96), (64, 96)), ((1, 33), (32, 64))])
def test_images_are_continued_to_a_multiple_of_32_and_logits_are_cut_back(
    size_hw: tuple[int, int], padded_hw: tuple[int, int]
) -> None:
    segmenter = wrap().eval()
    images = torch.randn(2, 3, *size_hw)
    logits = segmenter(images)
    (*_, seen) = segmenter.network.seen
    assert seen.shape[2:] == padded_hw
    height, width = size_hw
    assert torch.equal(seen[:, :, :height, :width], images)
    assert torch.equal(seen[:, :, height:, :width], images[:, :, -1:].expand(-1, -1, padded_hw[0] - height, -1))
    assert torch.equal(seen[:, :, :, width:], seen[:, :, :, width - 1 : width].expand(-1, -1, -1, padded_hw[1] - width))
    assert logits.shape == (2, 4, math.ceil(height / 4), math.ceil(width / 4))
    assert torch.equal(logits, segmenter.network(pixel_values=seen).logits[:, :, : logits.shape[2], : logits.shape[3]])


def test_a_network_for_squares_sees_squares() -> None:
    def squares_only(height: int, width: int) -> tuple[int, int]:
        if height != width:
            raise RuntimeError(f"{height} is not {width}")
        return height // 2, width // 2

    segmenter = wrap(Resized(squares_only)).eval()
    assert segmenter.stride == 2
    assert segmenter(torch.randn(1, 3, *SIZE_HW)).shape == (1, 4, 23, 35)
    assert segmenter.network.seen[-1].shape == (1, 3, 96, 96)


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 13), (31, 33), (32, 200), (200, 20)])
@pytest.mark.parametrize("square", [False, True])
def test_images_too_small_for_a_network_are_continued_to_its_least_size(size_hw: tuple[int, int], square: bool) -> None:
    def least_64(height: int, width: int) -> tuple[int, int]:
        if min(height, width) < 64:
            raise RuntimeError("kernel size can't be greater than input size")
        if square and height != width:
            raise RuntimeError("not square")
        return height // 2, width // 2

    segmenter = wrap(Resized(least_64)).eval()
    height, width = size_hw
    assert segmenter(torch.randn(1, 3, height, width)).shape == (1, 4, math.ceil(height / 2), math.ceil(width / 2))
    (*_, seen) = segmenter.network.seen
    needed_hw = (224 if height == 200 else 64, 224 if width == 200 else 64)
    assert seen.shape[2:] == ((max(needed_hw),) * 2 if square else needed_hw)


def test_a_size_at_which_the_stride_is_another_is_too_small() -> None:
    def other_below_64(height: int, width: int) -> tuple[int, int]:
        return (height // 4, width // 4) if min(height, width) >= 64 else (height // 2, width // 2)

    assert probe_geometry(Resized(other_below_64), num_labels=4) == Geometry(square=False, stride=4, least_px=64)


def test_a_single_image_too_few_to_learn_from_is_told_by_the_setting(images: Tensor) -> None:
    network = Standin()
    network.head.insert(0, nn.AdaptiveAvgPool2d(1))
    network.head.append(nn.Upsample(size=(24, 16), mode="nearest"))
    segmenter = wrap()
    segmenter.network = network
    segmenter.train()
    segmenter(images)
    with pytest.raises(
        ConfigError, match=r"^segmenter\.batch_size: Standin .* two images at once or more, got 1; raise"
    ):
        segmenter(images[:1])
    segmenter.eval()(images[:1])


def test_other_complaints_of_a_network_are_passed_on(images: Tensor) -> None:
    def fail(height: int, width: int) -> tuple[int, int]:
        raise ValueError("something else")

    segmenter = wrap()
    segmenter.network = Resized(fail)
    with pytest.raises(ValueError, match="something else"):
        segmenter(images)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda h, w: (16, 16), r"expected logits of 4 labels at a whole stride, got \(1, 4, 16, 16\)"),
        (lambda h, w: (h // 3, w // 3), "at a whole stride"),
        (lambda h, w: (h * 2, w * 2), "at a whole stride"),
        (lambda h, w: (8 * (h // 14), 8 * (w // 14)), "at a whole stride"),
        (lambda h, w: 1 / 0, "division by zero"),
    ],
)
def test_a_network_that_cannot_label_every_size_is_refused(answer: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"segmenter\.name: Resized with this configuration cannot label.*{problem}"):
        wrap(Resized(answer))


def test_a_network_of_another_number_of_labels_or_without_logits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected logits of 5 labels at a whole stride, got \(1, 4, 16, 40\)"):
        probe_geometry(Standin(labels=4), num_labels=5)
    plain = nn.Conv2d(3, 4, 1)
    plain.forward = lambda pixel_values: pixel_values  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="'Tensor' object has no attribute 'logits'"):
        probe_geometry(plain, num_labels=4)


def test_probing_leaves_no_trace() -> None:
    network = Standin().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert probe_geometry(network, num_labels=4) == Geometry(square=False, stride=4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in wrap(network).parameters())


def test_one_label_is_too_few() -> None:
    with pytest.raises(ShapeError, match="a segmenter has 2 to 255 labels with the background, got 1"):
        wrap(labels=1)


def test_images_reach_the_network_in_the_values_it_expects() -> None:
    """A pixel of 0.2, 0.4, 0.6 in red, green, blue; by hand (0.6 - 0.5) / 0.25 and so on, blue first."""
    wanted = InputFormat(mean=(0.5, 0.0, 0.1), std=(0.25, 1.0, 0.5), bgr=True)
    segmenter = wrap(input_format=wanted).eval()
    pixel = torch.tensor([0.2, 0.4, 0.6])
    images = (
        ((pixel - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).reshape(1, 3, 1, 1).expand(-1, -1, 32, 32)
    )
    segmenter(images)
    torch.testing.assert_close(segmenter.network.seen[-1][0, :, 7, 9], torch.tensor([0.4, 0.4, 0.2]))


def test_images_are_passed_on_bit_for_bit_where_nothing_else_is_asked_for() -> None:
    segmenter = wrap().eval()
    images = torch.randn(1, 3, 32, 32)
    segmenter(images)
    assert torch.equal(segmenter.network.seen[-1], images)


def test_parameters_without_influence_on_the_logits_do_not_learn(images: Tensor) -> None:
    segmenter = wrap()
    frozen = [name for name, parameter in segmenter.named_parameters() if not parameter.requires_grad]
    assert frozen == ["network.body.unused.weight", "network.body.unused.bias"]
    segmenter(images).square().mean().backward()
    learning = [*segmenter.backbone_parameters(), *segmenter.head_parameters()]
    assert {id(p) for p in learning} == {id(p) for p in segmenter.parameters() if p.requires_grad}
    assert len(learning) == len({id(p) for p in learning}) == 8
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in segmenter.head_parameters())
    assert all(parameter.grad is not None for parameter in learning)


def test_fixed_norms_are_those_of_the_backbone_alone(images: Tensor) -> None:
    segmenter = wrap(fixed_norm=True).train()
    assert not segmenter.network.body["norm"].training
    assert segmenter.network.head[0].training
    before = segmenter.network.body["norm"].running_mean.clone()
    segmenter(images)
    assert torch.equal(segmenter.network.body["norm"].running_mean, before)
    assert bool(segmenter.network.head[0].running_mean.any())
    assert wrap(fixed_norm=False).train().network.body["norm"].training
    assert not segmenter.eval().network.head[0].training


def test_the_backbone_is_what_the_library_calls_so() -> None:
    assert find_backbone(Standin()) == "body"
    network = nn.Module()
    with pytest.raises(ConfigError, match="Module does not say which of its parts is the backbone"):
        find_backbone(network)
    network.backbone = nn.Identity()
    assert find_backbone(network) == "backbone"


def test_a_state_holds_the_network_alone_and_the_description_is_plain_json() -> None:
    wanted = InputFormat(bgr=True)
    segmenter = wrap(input_format=wanted)
    assert {name.split(".")[0] for name in segmenter.state_dict()} == {"network"}
    described = segmenter.architecture()
    assert described == {
        "transformers": {"config": {"model_type": "standin"}, "input_format": wanted.to_json()},
    }
    assert json.loads(json.dumps(described)) == described


def test_a_backbone_is_taken_from_a_network_of_other_labels() -> None:
    source, segmenter = wrap(labels=3), wrap()
    nn.init.ones_(source.network.body["convolution"].weight)
    head = segmenter.network.head[1].weight.clone()
    segmenter.load_backbone(source.state_dict(), where="old.safetensors")
    assert bool((segmenter.network.body["convolution"].weight == 1).all())
    assert torch.equal(segmenter.network.head[1].weight, head)


def test_a_backbone_of_another_network_is_refused() -> None:
    with pytest.raises(
        ArtifactError, match=r"old\.safetensors as the backbone of Standin: lacks 7 of 9 parameters: con"
    ):
        wrap().load_backbone({"network.body.norm.bias": torch.zeros(5)}, where="old.safetensors")
