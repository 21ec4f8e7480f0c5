import pytest
import torch

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.classifier import Classifier, build_classifier


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_one_logit_and_one_map_per_class(num_classes: int) -> None:
    classifier = build_classifier("critter", num_classes=num_classes, freeze_trunk=False, fixed_norm=False).eval()
    images = torch.zeros(2, 3, 17, 30)
    assert classifier(images).shape == (2, num_classes)
    assert classifier.head(classifier.trunk(images)).shape == (2, num_classes, 3, 4)


def test_free_trunk_learns_and_moves_its_statistics() -> None:
    classifier = build_classifier("critter", num_classes=3, freeze_trunk=False, fixed_norm=False).train()
    before = classifier.backbone.bn1.running_mean.clone()
    classifier(torch.randn(2, 3, 24, 32)).square().sum().backward()
    assert classifier.backbone.conv1.weight.grad is not None
    assert not torch.equal(classifier.backbone.bn1.running_mean, before)
    assert len(classifier.backbone_parameters()) == len(list(classifier.backbone.parameters()))


def test_frozen_trunk_stays_in_evaluation_mode_without_fixed_norm() -> None:
    classifier = build_classifier("critter", num_classes=3, freeze_trunk=True, fixed_norm=False)
    for _ in range(2):
        assert not classifier.backbone.bn1.training
        assert not classifier.backbone.layer2[0].bn2.training
        assert classifier.backbone.layer3[0].bn1.training
        classifier.train()


def test_frozen_trunk_leaves_layers_3_and_4_to_learn() -> None:
    classifier = build_classifier("critter", num_classes=3, freeze_trunk=True, fixed_norm=False)
    learning = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[1] for name in learning if name.startswith("backbone.")} == {"layer3", "layer4"}
    assert "classifier.weight" in learning


def test_fresh_head_scores_every_class_near_one_half() -> None:
    generator = torch.Generator().manual_seed(0)
    classifier = build_classifier("critter", num_classes=80, freeze_trunk=False, fixed_norm=False, generator=generator)
    assert classifier.classifier.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert classifier.classifier.bias is None


def test_same_generator_seed_gives_the_same_classifier() -> None:
    first, second = (
        build_classifier(
            "critter",
            num_classes=3,
            freeze_trunk=False,
            fixed_norm=False,
            generator=torch.Generator().manual_seed(5),
        ).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_unknown_name_lists_the_options() -> None:
    lites = "efficientnet_lite0, efficientnet_lite1, efficientnet_lite2"
    names = f"critter, critter38, {lites}, resnet101, resnet18, resnet38, resnet50"
    with pytest.raises(ConfigError, match=f"{names}, got 'vgg16'"):
        build_classifier("vgg16", num_classes=3, freeze_trunk=False, fixed_norm=False)


@pytest.mark.parametrize("num_classes", [0, 255])
def test_number_of_classes_that_masks_cannot_hold_is_refused(num_classes: int) -> None:
    with pytest.raises(ShapeError, match=f"1 to 254 classes, got {num_classes}"):
        build_classifier("critter", num_classes=num_classes, freeze_trunk=False, fixed_norm=False)


def test_the_weights_of_an_efficientnet_lite_fit_all_of_its_strides() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, 65, 96, generator=rng)

    def build(stride_px: int | None) -> Classifier:
        built = build_classifier(
            "efficientnet_lite0", num_classes=3, freeze_trunk=True, fixed_norm=True, stride_px=stride_px, generator=rng
        )
        return built.eval()

    usual, coarse = build(None), build(32)
    coarse.load_state_dict(usual.state_dict())
    with torch.no_grad():
        scores = [network.head(network.trunk(images)) for network in (usual, coarse)]
    assert [tuple(maps.shape) for maps in scores] == [(1, 3, 5, 6), (1, 3, 3, 3)]
    assert (usual.stride, coarse.stride) == (16, 32)
    before = torch.get_rng_state()
    shared = usual.at_stride(32)
    assert torch.equal(torch.get_rng_state(), before), "another stride draws no weights"
    with torch.no_grad():
        torch.testing.assert_close(shared.head(usual.trunk(images)), scores[1], rtol=0, atol=0)
        usual.classifier.weight.zero_()
        assert not shared.head(usual.trunk(images)).any(), "what one learns both know"
    assert [*map(id, shared.parameters())] == [*map(id, usual.parameters())]
    with pytest.raises(ConfigError, match="EfficientNetLite has beside 16, 32, got 8"):
        usual.at_stride(8)
    with pytest.raises(ConfigError, match=r"choice of strides.*efficientnet_lite0.*got.*critter"):
        build_classifier("critter", num_classes=3, freeze_trunk=True, fixed_norm=True, stride_px=32)
