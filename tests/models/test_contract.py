"""What every backbone must hold to as a classifier, as a segmenter and under IRNet, whatever its name."""

import math
import re
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from weakseg.errors import ShapeError
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.classifier import CLASSIFIER_NAMES, Classifier, build_classifier
from weakseg.models.deeplab import SEGMENTER_NAMES, EveryScale, Segmenter, build_segmenter
from weakseg.models.irnet import IRNET_NAMES, IRNet, build_irnet
from weakseg.models.seam import build_seam

NUM_CLASSES = 3
SIZE_HW = (19, 27)
LIGHT_CLASSIFIERS = [name for name in CLASSIFIER_NAMES if name != "resnet38"]
"""Without the one of 105 million parameters; `critter38` is of the same family."""


@pytest.fixture(scope="module", params=LIGHT_CLASSIFIERS)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """A classifier as IRN trains it; tests leave it as they found it."""
    generator = torch.Generator().manual_seed(0)
    return build_classifier(
        request.param, num_classes=NUM_CLASSES, freeze_trunk=True, fixed_norm=True, generator=generator
    )


@pytest.fixture(scope="module", params=SEGMENTER_NAMES)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    generator = torch.Generator().manual_seed(0)
    return build_segmenter(request.param, num_labels=4, aspp_rates=(1, 2), fixed_norm=True, generator=generator)


@pytest.fixture(scope="module", params=IRNET_NAMES)
def irnet(request: pytest.FixtureRequest) -> IRNet:
    return build_irnet(request.param, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images() -> Iterator[torch.Tensor]:
    images = torch.randn(2, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    yield images
    assert torch.equal(images, before), "the network modified its input"


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 19, 27),
        torch.zeros(1, 4, 19, 27),
        torch.zeros(1, 3, 0, 27),
        torch.zeros(1, 3, 19, 27, dtype=torch.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{tuple(wrong.shape)}",
)
def test_what_is_no_batch_of_normalised_images_is_refused(wrong: torch.Tensor) -> None:
    networks = (
        build_classifier("critter", num_classes=1, freeze_trunk=True, fixed_norm=True),
        build_seam("critter38", num_classes=1, freeze_trunk=True, fixed_norm=True).maps,
        build_affinitynet("critter38", freeze_trunk=True, fixed_norm=True),
        build_segmenter("critter", num_labels=2, aspp_rates=(1,), fixed_norm=True),
        build_irnet("critter"),
        partial(build_irnet("critter").look, crop_size=None),
    )
    message = f"expected normalised images (N, 3, H, W) float of at least 1 x 1 px, got {wrong.dtype} "
    for network in networks:
        with pytest.raises(ShapeError, match=re.escape(message)):
            network(wrong)


def test_a_batch_of_no_images_has_no_logits() -> None:
    classifier = build_classifier("critter", num_classes=2, freeze_trunk=True, fixed_norm=True)
    assert classifier(torch.zeros(0, 3, 8, 8)).shape == (0, 2)


@pytest.mark.slow
def test_score_maps_cover_the_image_at_the_stride_and_logits_are_their_mean(
    classifier: Classifier, images: torch.Tensor
) -> None:
    with torch.no_grad():
        scores = classifier.head(classifier.trunk(images))
        logits = classifier(images)
    stride = classifier.stride
    assert scores.shape == (2, NUM_CLASSES, math.ceil(SIZE_HW[0] / stride), math.ceil(SIZE_HW[1] / stride))
    assert scores.dtype == logits.dtype == torch.float32
    assert bool((scores < 0).any()), "score maps are not rectified"
    torch.testing.assert_close(logits, scores.mean(dim=(2, 3)))
    assert classifier.num_classes == NUM_CLASSES


def test_each_image_is_scored_on_its_own(classifier: Classifier, images: torch.Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(classifier(images)[1:], classifier(images[1:]), rtol=1e-3, atol=1e-5)


def test_state_dict_holds_backbone_and_classifier_only(classifier: Classifier) -> None:
    names = list(classifier.state_dict())
    assert {name.split(".")[0] for name in names} == {"backbone", "classifier"}
    assert [name for name in names if name.startswith("classifier.")] == ["classifier.weight"]


@pytest.mark.slow
def test_frozen_trunk_gives_features_without_history_and_keeps_everything(
    classifier: Classifier, images: torch.Tensor
) -> None:
    classifier.train()
    trunk = torch.nn.ModuleList(classifier.backbone.trunk_modules())
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    features = classifier.trunk(images)
    assert not features.requires_grad
    classifier.head(features).square().mean().backward()
    assert all(parameter.grad is None for parameter in trunk.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    classifier.zero_grad()


@pytest.mark.slow
def test_parameter_groups_are_disjoint_and_are_all_that_learns(classifier: Classifier, images: torch.Tensor) -> None:
    backbone, head = classifier.backbone_parameters(), classifier.head_parameters()
    assert {id(parameter) for parameter in backbone}.isdisjoint(id(parameter) for parameter in head)
    learning = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in learning} == {id(parameter) for parameter in [*backbone, *head]}
    classifier(images).square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in [*backbone, *head])
    classifier.zero_grad()


def test_fixed_norm_makes_training_mode_score_like_evaluation(classifier: Classifier, images: torch.Tensor) -> None:
    with torch.no_grad():
        trained = classifier.train()(images)
        evaluated = classifier.eval()(images)
    assert torch.equal(trained, evaluated)


@pytest.mark.slow
def test_segmenter_labels_at_stride_8_and_upsamples_on_request(segmenter: Segmenter, images: torch.Tensor) -> None:
    with torch.no_grad():
        logits = segmenter(images)
        full = segmenter.predict_logits(images, SIZE_HW)
    assert segmenter.stride == 8
    assert logits.shape == (2, 4, 3, 4)
    assert full.shape == (2, 4, *SIZE_HW)
    assert logits.dtype == full.dtype == torch.float32


@pytest.mark.slow
def test_scales_inside_a_segmenter_change_neither_sizes_nor_what_learns(
    segmenter: Segmenter, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        plain = segmenter(images)
    monkeypatch.setattr(segmenter, "multi_scale", (0.75, 0.5))
    *scaled, fused = EveryScale(segmenter)(images)
    assert [logits.shape for logits in scaled] == [(2, 4, 3, 4), (2, 4, 2, 3), (2, 4, 2, 2)]
    assert fused.shape == plain.shape
    assert bool((fused >= plain - 1e-6).all())
    sum(logits.square().mean() for logits in (*scaled, fused)).backward()
    assert all(parameter.grad is not None for parameter in segmenter.parameters())
    segmenter.zero_grad()


def test_every_parameter_of_a_segmenter_learns(segmenter: Segmenter, images: torch.Tensor) -> None:
    groups = [*segmenter.backbone_parameters(), *segmenter.head_parameters()]
    assert {id(parameter) for parameter in groups} == {id(parameter) for parameter in segmenter.parameters()}
    segmenter(images).square().mean().backward()
    assert all(parameter.grad is not None for parameter in groups)
    segmenter.zero_grad()


@pytest.mark.slow
def test_irnet_answers_at_stride_4_with_logits_and_raw_displacements(irnet: IRNet, images: torch.Tensor) -> None:
    with torch.no_grad():
        logits, displacement = irnet.eval()(images)
        trained = irnet.train()(images)
    assert irnet.stride == 4
    assert logits.shape == (2, 5, 7)
    assert displacement.shape == (2, 2, 5, 7)
    assert logits.dtype == displacement.dtype == torch.float32
    assert bool((logits < 0).any()) or bool((logits > 1).any()), "logits are no probabilities"
    assert torch.equal(trained[0], logits), "training mode changes nothing"
    assert torch.equal(trained[1], displacement)


def test_irnet_sees_each_image_on_its_own(irnet: IRNet, images: torch.Tensor) -> None:
    with torch.no_grad():
        for both, alone in zip(irnet(images), irnet(images[1:]), strict=True):
            torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-4)


def test_state_dict_of_irnet_holds_its_parts_only(irnet: IRNet) -> None:
    names = [name.split(".")[0] for name in irnet.state_dict()]
    assert set(names) == {"backbone", "edge", "displacement", "mean_displacement"}


def test_only_the_branches_of_irnet_learn(irnet: IRNet, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in irnet.backbone.state_dict().items()}
    groups = [*irnet.backbone_parameters(), *irnet.head_parameters()]
    learning = [parameter for parameter in irnet.parameters() if parameter.requires_grad]
    assert [id(parameter) for parameter in learning] == [id(parameter) for parameter in groups]
    logits, displacement = irnet.train()(images)
    (logits.square().mean() + displacement.square().mean()).backward()
    assert all(parameter.grad is not None for parameter in groups)
    assert all(parameter.grad is None for parameter in irnet.backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in irnet.backbone.state_dict().items())
    irnet.zero_grad()
