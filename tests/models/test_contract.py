"""What every backbone must hold to as a classifier, as a segmenter and under IRNet, SEAM and AffinityNet."""

import math
import re
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from _pytest.mark import ParameterSet

from weakseg.errors import ShapeError
from weakseg.models.affinitynet import AFFINITYNET_NAMES, AffinityNet, build_affinitynet
from weakseg.models.classifier import CLASSIFIER_NAMES, Classifier, build_classifier
from weakseg.models.deeplab import SEGMENTER_NAMES, EveryScale, Segmenter, build_segmenter
from weakseg.models.irnet import IRNET_NAMES, IRNet, build_irnet
from weakseg.models.registered import registered_names
from weakseg.models.seam import SEAM, SEAM_NAMES, build_seam

NUM_CLASSES = 3
SIZE_HW = (19, 27)
TOO_LARGE = "resnet38"
"""Has 105 million parameters; `critter38` is of the same family."""
LARGER_SISTERS = ("efficientnet_lite1", "efficientnet_lite2", "resnet101")
"""Differ from `efficientnet_lite0` and `resnet50` in numbers alone, which have tests of their own."""

SMALLEST = ("critter", "critter38")


def light(names: tuple[str, ...]) -> list[ParameterSet]:
    """Return the networks that do not take long to try; the quick tests try the smallest of each family of ours."""
    tried = [name for name in names if name != TOO_LARGE and name not in LARGER_SISTERS]
    return [pytest.param(name, marks=() if name in SMALLEST else pytest.mark.slow) for name in tried]


@pytest.fixture(scope="module", params=light((*CLASSIFIER_NAMES, *registered_names(stages=True, levels=True))))
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """A classifier as IRN trains it; tests leave it as they found it."""
    generator = torch.Generator().manual_seed(0)
    return build_classifier(
        request.param, num_classes=NUM_CLASSES, freeze_trunk=True, fixed_norm=True, generator=generator
    )


@pytest.fixture(scope="module", params=light((*SEGMENTER_NAMES, *registered_names(stages=True))))
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    generator = torch.Generator().manual_seed(0)
    return build_segmenter(request.param, num_labels=4, aspp_rates=(1, 2), fixed_norm=True, generator=generator)


@pytest.fixture(scope="module", params=light((*IRNET_NAMES, *registered_names(stages=True))))
def irnet(request: pytest.FixtureRequest) -> IRNet:
    return build_irnet(request.param, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=light(SEAM_NAMES))
def seam(request: pytest.FixtureRequest) -> SEAM:
    generator = torch.Generator().manual_seed(0)
    return build_seam(request.param, num_classes=NUM_CLASSES, freeze_trunk=True, fixed_norm=True, generator=generator)


@pytest.fixture(scope="module", params=light(AFFINITYNET_NAMES))
def affinitynet(request: pytest.FixtureRequest) -> AffinityNet:
    generator = torch.Generator().manual_seed(0)
    return build_affinitynet(request.param, freeze_trunk=True, fixed_norm=True, generator=generator)


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


def cells_hw(stride: int, scale: float = 1.0) -> tuple[int, int]:
    """Return the size of what a network of a stride answers for the images, shrunk by a factor."""
    height, width = (math.ceil(int(side * scale) / stride) for side in SIZE_HW)
    return height, width


@pytest.mark.slow
def test_segmenter_labels_at_its_stride_and_upsamples_on_request(segmenter: Segmenter, images: torch.Tensor) -> None:
    with torch.no_grad():
        logits = segmenter(images)
        full = segmenter.predict_logits(images, SIZE_HW)
    assert segmenter.stride in (8, 16)
    assert logits.shape == (2, 4, *cells_hw(segmenter.stride))
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
    assert [logits.shape for logits in scaled] == [
        (2, 4, *cells_hw(segmenter.stride, scale)) for scale in (1.0, 0.75, 0.5)
    ]
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


@pytest.mark.slow
def test_seam_refines_the_maps_it_scores(seam: SEAM, images: torch.Tensor) -> None:
    with torch.no_grad():
        scores, refined = seam.strided_maps(images)
        alone = seam.strided_maps(images[1:])[1]
        plain = seam.head(seam.trunk(images))
    assert scores.shape == refined.shape == (2, NUM_CLASSES + 1, *cells_hw(seam.stride))
    torch.testing.assert_close(scores[:, 1:], plain)
    torch.testing.assert_close(refined[1:], alone, rtol=1e-3, atol=1e-4)
    assert 0 <= refined.min() < refined.max() <= 1


@pytest.mark.slow
def test_maps_of_seam_teach_all_above_the_trunk(seam: SEAM, images: torch.Tensor) -> None:
    scores, refined = seam.train().strided_maps(images)
    (scores.square().mean() + refined.square().mean()).backward()
    groups = [*seam.backbone_parameters(), *seam.head_parameters(), *seam.correlation.parameters()]
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in groups)
    assert all(parameter.grad is None for module in seam.backbone.trunk_modules() for parameter in module.parameters())
    seam.zero_grad()


@pytest.mark.slow
def test_affinitynet_sees_each_image_on_its_own_at_stride_8(affinitynet: AffinityNet, images: torch.Tensor) -> None:
    with torch.no_grad():
        features = affinitynet.eval()(images)
        torch.testing.assert_close(affinitynet(images[1:]), features[1:], rtol=1e-3, atol=1e-4)
    assert affinitynet.stride == 8
    assert features.shape == (2, affinitynet.out_channels, 3, 4)
    assert -1 <= features.min() < 0


@pytest.mark.slow
def test_affinities_teach_all_above_the_trunk(affinitynet: AffinityNet, images: torch.Tensor) -> None:
    affinitynet.train()(images).square().mean().backward()
    groups = [*affinitynet.backbone_parameters(), *affinitynet.head_parameters()]
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in groups)
    trunk = affinitynet.backbone.trunk_modules()
    assert all(parameter.grad is None for module in trunk for parameter in module.parameters())
    affinitynet.zero_grad()
