from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from tests.golden_weights import GOLDEN, fill_state_dict, load_layout
from weakseg.errors import ArtifactError, ConfigError, ShapeError
from weakseg.models.classifier import Classifier
from weakseg.models.seam import SEAM, build_seam
from weakseg.models.weights import load_backbone, load_official
from weakseg.ops.pooling import gap

FORWARD_RTOL = 1e-4
SIZE_HW = (19, 37)
GRID_HW = (3, 5)


def make_seam(num_classes: int = 3, *, freeze_trunk: bool = False, seed: int = 0) -> SEAM:
    generator = torch.Generator().manual_seed(seed)
    return build_seam(
        "critter38", num_classes=num_classes, freeze_trunk=freeze_trunk, fixed_norm=True, generator=generator
    )


@pytest.fixture(scope="module")
def seam() -> SEAM:
    """Tests leave it as they found it."""
    return make_seam().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_maps_have_the_size_of_the_images_and_the_background_first(num_classes: int, images: Tensor) -> None:
    before = images.clone()
    with torch.no_grad():
        scores, refined = make_seam(num_classes).maps(images)
    assert scores.shape == refined.shape == (2, num_classes + 1, *SIZE_HW)
    assert scores.dtype == refined.dtype == torch.float32
    assert scores.min() < 0, "score maps are not rectified"
    assert 0 <= refined.min() < refined.max() <= 1
    torch.testing.assert_close(refined.sum(dim=1), torch.ones(2, *SIZE_HW), rtol=0, atol=1e-3)
    assert torch.equal(images, before)


def test_score_maps_are_those_of_the_classifier_behind_the_background(seam: SEAM, images: Tensor) -> None:
    with torch.no_grad():
        scores, refined = seam.strided_maps(images)
        plain = seam.head(seam.trunk(images))
        logits = seam(images)
    assert scores.shape == refined.shape == (2, 4, *GRID_HW)
    torch.testing.assert_close(scores[:, 1:], plain)
    torch.testing.assert_close(logits, gap(plain))


def test_maps_are_enlarged_with_aligned_corners(seam: SEAM, images: Tensor) -> None:
    with torch.no_grad():
        for whole, strided in zip(seam.maps(images), seam.strided_maps(images), strict=True):
            torch.testing.assert_close(whole[:, :, 0, 0], strided[:, :, 0, 0])
            torch.testing.assert_close(whole[:, :, -1, -1], strided[:, :, -1, -1])
            torch.testing.assert_close(whole[:, :, 9, 18], strided[:, :, 1, 2])  # the centre


def test_refined_maps_are_those_of_the_correlation(seam: SEAM, images: Tensor) -> None:
    with torch.no_grad():
        levels = seam.backbone.levels(seam.trunk(images))
        scores, refined = seam.strided_maps(images)
        torch.testing.assert_close(refined, seam.correlation(scores[:, 1:], images, levels.conv4, levels.conv5))


def test_the_background_has_a_map_of_its_own_only_if_one_was_loaded(images: Tensor) -> None:
    seam = make_seam().eval()
    with torch.no_grad():
        plain, refined = seam.strided_maps(images)
        seam.background_weight += 1
        scores, refined_again = seam.strided_maps(images)
        features = seam.backbone.tail(seam.trunk(images))
    assert not plain[:, 0].any()
    torch.testing.assert_close(scores[:, 0], features.sum(dim=1))
    assert torch.equal(refined_again, refined), "the refinement has a background of its own"


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 8), (8, 41)])
def test_small_images_have_maps_too(seam: SEAM, size_hw: tuple[int, int]) -> None:
    with torch.no_grad():
        for maps in seam.maps(torch.randn(1, 3, *size_hw, generator=torch.Generator().manual_seed(0))):
            assert maps.shape == (1, 4, *size_hw)
            assert maps.isfinite().all()


def test_refined_maps_teach_the_refinement_alone(images: Tensor) -> None:
    seam = make_seam()
    seam.maps(images)[1].square().sum().backward()
    learning = {name for name, parameter in seam.named_parameters() if parameter.grad is not None}
    assert learning == {f"correlation.{part}.weight" for part in ("reduce_conv4", "reduce_conv5", "embed")}


def test_score_maps_teach_everything_but_the_refinement(images: Tensor) -> None:
    seam = make_seam()
    seam.maps(images)[0].square().sum().backward()
    taught = {name for name, parameter in seam.named_parameters() if parameter.grad is not None}
    assert taught == {name for name, _ in seam.named_parameters() if not name.startswith("correlation.")}


def test_a_seam_is_a_classifier_whose_groups_leave_the_refinement_out(seam: SEAM) -> None:
    assert isinstance(seam, Classifier)
    assert (seam.num_classes, seam.stride) == (3, 8)
    groups = [*seam.backbone_parameters(), *seam.head_parameters(), *seam.correlation.parameters()]
    assert {id(parameter) for parameter in groups} == {id(parameter) for parameter in seam.parameters()}
    assert seam.head_parameters() == [seam.classifier.weight]


def test_a_frozen_trunk_gets_no_gradient(images: Tensor) -> None:
    seam = make_seam(freeze_trunk=True).train()
    scores, refined = seam.maps(images)
    (scores.square().mean() + refined.square().mean()).backward()
    for module in seam.backbone.trunk_modules():
        assert all(parameter.grad is None for parameter in module.parameters())
        assert not any(part.training for part in module.modules())


def test_state_dict_holds_four_parts(seam: SEAM) -> None:
    assert {name.split(".")[0] for name in seam.state_dict()} == {
        "backbone",
        "classifier",
        "correlation",
        "background_weight",
    }


def test_released_network_has_the_released_refinement() -> None:
    with torch.device("meta"):
        seam = build_seam("resnet38", num_classes=20, freeze_trunk=True, fixed_norm=True)
    shapes = {name: tuple(value.shape) for name, value in seam.correlation.state_dict().items()}
    assert shapes == {
        "reduce_conv4.weight": (64, 512, 1, 1),
        "reduce_conv5.weight": (128, 1024, 1, 1),
        "embed.weight": (192, 195, 1, 1),
    }
    assert seam.background_weight.shape == (1, 4096, 1, 1)


def test_random_weights_depend_on_the_generator_alone() -> None:
    one, again, other = make_seam(), make_seam(), make_seam(seed=1)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.correlation.embed.weight, other.correlation.embed.weight)


def test_what_is_no_batch_of_images_is_refused(seam: SEAM) -> None:
    for shape in ((3, 8, 8), (1, 4, 8, 8)):
        with pytest.raises(ShapeError, match=r"expected normalised images \(N, 3, H, W\)"):
            seam.maps(torch.zeros(shape))


def test_an_unknown_backbone_and_a_wrong_number_of_classes_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"expected one of critter38, efficientnet_lite0, .*, resnet38, got 'resnet50'"
    ):
        build_seam("resnet50", num_classes=3, freeze_trunk=True, fixed_norm=True)
    with pytest.raises(ShapeError, match="1 to 254 classes, got 0"):
        make_seam(0)


@pytest.mark.slow
def test_forward_pass_is_the_recorded_one(resnet38_parameters: dict[str, NDArray[np.generic]]) -> None:
    """The released network has 105 million parameters, which take seconds to fill; nearly all are those of PSA."""
    golden = np.load(GOLDEN / "seam_forward.npz")
    shapes = load_layout("resnet38_seam").shapes
    own = {name: shape for name, shape in shapes.items() if resnet38_parameters[name].shape != tuple(shape)}
    shared = {name: resnet38_parameters[name] for name in shapes.keys() - own.keys()}
    network = load_official({**shared, **fill_state_dict(own)}, "resnet38_seam")
    assert isinstance(network, SEAM)
    step = int(golden["subsample"])
    with torch.no_grad():
        scores, refined = network.maps(torch.from_numpy(golden["image"])[None])
    for maps, expected in ((scores, golden["cam"]), (refined, golden["cam_refined"])):
        atol = FORWARD_RTOL * np.abs(expected).max()
        np.testing.assert_allclose(maps[0, :, ::step, ::step].numpy(), expected, rtol=FORWARD_RTOL, atol=atol)


@pytest.fixture(scope="module")
def numbered() -> dict[str, Tensor]:
    """A checkpoint whose tensors hold their own number everywhere and take no memory."""
    shapes = load_layout("resnet38_seam").shapes
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [1, 20, 80])
def test_every_official_tensor_finds_its_place(numbered: dict[str, Tensor], num_classes: int) -> None:
    labels = torch.arange(num_classes + 1.0)[:, None, None, None].expand(-1, 4096, 1, 1)
    seam = load_official(
        {f"module.{name}": value for name, value in (numbered | {"fc8.weight": labels}).items()}, "resnet38_seam"
    )
    assert isinstance(seam, SEAM)
    assert (seam.num_classes, seam.stride, seam.freeze_trunk, seam.training) == (num_classes, 8, True, False)
    assert seam.background_weight.eq(0).all()
    assert seam.classifier.weight[:, 0, 0, 0].tolist() == list(range(1, num_classes + 1))
    own = seam.state_dict()
    for official, name in (
        ("f8_3.weight", "correlation.reduce_conv4.weight"),
        ("f8_4.weight", "correlation.reduce_conv5.weight"),
        ("f9.weight", "correlation.embed.weight"),
        ("b5_1.bn_branch2a.running_var", "backbone.b5_1.bn_branch2a.running_var"),
        ("bn7.bias", "backbone.bn7.bias"),
    ):
        assert own[name].eq(numbered[official].float().max()).all(), name
    assert not seam.train().backbone.b7.bn_branch2a.training


def test_a_checkpoint_of_another_kind_is_refused(numbered: dict[str, Tensor]) -> None:
    without = {name: value for name, value in numbered.items() if name != "fc8.weight"}
    with pytest.raises(ArtifactError, match=r"expected 'fc8.weight' of shape \(C, 4096, 1, 1\), got none"):
        load_official(without, "resnet38_seam")
    with pytest.raises(ArtifactError, match=r"1 unexpected parameters: f8_5.weight"):
        load_official(numbered | {"f8_5.weight": torch.zeros(1)}, "resnet38_seam")


def test_the_backbone_of_a_saved_seam_starts_another_network(tmp_path: Path) -> None:
    trained, fresh = make_seam(), make_seam(seed=1)
    save_file(trained.state_dict(), tmp_path / "seam.safetensors")
    loaded = load_backbone(fresh.backbone, str(tmp_path / "seam.safetensors"), "critter38")
    assert torch.equal(fresh.backbone.conv1a.weight, trained.backbone.conv1a.weight)
    assert {name.split(".")[0] for name in loaded.ignored} == {"classifier", "correlation", "background_weight"}
