import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.localize.cam import CAM_SCALES, flip_pair, merge_flip_pair, score_maps
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.ops.images import normalise, resize_image

HEIGHT, WIDTH, NUM_CLASSES = 37, 52, 3


@pytest.fixture
def classifier() -> Classifier:
    generator = torch.Generator().manual_seed(0)
    return build_classifier(
        "critter", num_classes=NUM_CLASSES, freeze_trunk=False, fixed_norm=False, generator=generator
    )


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_views_of_a_pair_are_rectified_flipped_back_and_added() -> None:
    scores = torch.tensor([[[[1.0, -2.0, 3.0]]], [[[10.0, 20.0, -30.0]]]])
    assert merge_flip_pair(scores).tolist() == [[[1.0, 20.0, 13.0]]]


def test_flip_pair_mirrors_left_and_right() -> None:
    image = torch.arange(6.0).reshape(1, 2, 3)
    assert flip_pair(image)[1].tolist() == [[[2, 1, 0], [5, 4, 3]]]


def test_maps_are_those_of_the_tagged_classes_at_every_scale(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    maps = score_maps(classifier, image, np.array([1, 0, 1]), scales=(1.0, 0.5))
    assert maps.keys == (0, 2)
    assert maps.size_hw == (HEIGHT, WIDTH)
    classifier.eval()
    for scale_maps, size_hw in zip(maps.scales, ((HEIGHT, WIDTH), (18, 26)), strict=True):
        view = normalise(resize_image(image, size_hw))[None]
        with torch.no_grad():
            plain = classifier.head(classifier.trunk(view)).clamp(min=0)
            mirrored = classifier.head(classifier.trunk(view.flip(3))).clamp(min=0).flip(3)
        torch.testing.assert_close(scale_maps, (plain + mirrored)[0, [0, 2]], rtol=1e-4, atol=1e-6)


def test_default_scales_are_the_released_ones(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    maps = score_maps(classifier, image, np.ones(NUM_CLASSES))
    stride = classifier.stride
    assert CAM_SCALES == (1.0, 0.5, 1.5, 2.0)
    # 37 * 1.5 = 55.5 rounds to the even 56, 37 * 0.5 = 18.5 to 18.
    sizes = [(37, 52), (18, 26), (56, 78), (74, 104)]
    assert [tuple(m.shape[1:]) for m in maps.scales] == [
        (math.ceil(h / stride), math.ceil(w / stride)) for h, w in sizes
    ]


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_maps_follow_the_number_of_tags(num_classes: int, image: NDArray[np.uint8]) -> None:
    classifier = build_classifier("critter", num_classes=num_classes, freeze_trunk=True, fixed_norm=True)
    maps = score_maps(classifier, image, np.ones(num_classes), scales=(1.0,))
    assert maps.scales[0].shape[0] == num_classes
    assert maps.scales[0].dtype == torch.float32
    assert bool((maps.scales[0] >= 0).all())


@pytest.mark.parametrize(
    "tags",
    [
        np.array([0, 1, 0], np.float32),
        np.array([0, 1, 0], np.uint8),
        np.array([False, True, False]),
        torch.tensor([0, 1, 0]),
        torch.tensor([0.0, 1.0, 0.0]),
    ],
)
def test_tags_come_in_any_dtype(
    classifier: Classifier, image: NDArray[np.uint8], tags: NDArray[np.generic] | torch.Tensor
) -> None:
    assert score_maps(classifier, image, tags, scales=(0.5,)).keys == (1,)


def test_image_without_tags_has_no_maps_of_the_same_sizes(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    tagged = score_maps(classifier, image, np.array([1, 0, 0]))
    untagged = score_maps(classifier, image, np.zeros(NUM_CLASSES))
    assert untagged.keys == ()
    assert [m.shape[1:] for m in untagged.scales] == [m.shape[1:] for m in tagged.scales]
    assert untagged.full().shape == (0, HEIGHT, WIDTH)


def test_mirrored_image_has_mirrored_maps(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    tags = np.array([1, 1, 0])
    maps = score_maps(classifier, image, tags, scales=(1.0,)).scales[0]
    mirrored = score_maps(classifier, image[:, ::-1], tags, scales=(1.0,)).scales[0]
    torch.testing.assert_close(mirrored, maps.flip(2), rtol=1e-4, atol=1e-6)


def test_modes_weights_statistics_and_image_are_left_alone(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    classifier.train()
    classifier.backbone.layer1.eval()
    modes = [part.training for part in classifier.modules()]
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    before = image.copy()
    maps = score_maps(classifier, image, np.array([1, 0, 0]))
    assert [part.training for part in classifier.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())
    assert np.array_equal(image, before)
    assert not maps.scales[0].requires_grad


def test_classifier_in_training_mode_gives_the_maps_of_evaluation(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    trained = score_maps(classifier.train(), image, np.array([1, 0, 0])).scales[0]
    evaluated = score_maps(classifier.eval(), image, np.array([1, 0, 0])).scales[0]
    assert torch.equal(trained, evaluated)


def test_channels_last_classifier_gives_the_same_maps(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    expected = score_maps(classifier, image, np.array([1, 0, 1])).scales[2]
    classifier.to(memory_format=torch.channels_last)
    torch.testing.assert_close(score_maps(classifier, image, np.array([1, 0, 1])).scales[2], expected)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (np.zeros(4), r"expected tags of shape \(3,\), one per class, got \(4,\)"),
        (np.zeros((1, 3)), r"got \(1, 3\)"),
        (np.array([0, 2, 0]), r"tags are 0 or 1, got values \[0, 2\]"),
        (np.array([0, 0.5, 0]), r"tags are 0 or 1"),
    ],
)
def test_wrong_tags_are_refused(
    classifier: Classifier, image: NDArray[np.uint8], tags: NDArray[np.generic], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        score_maps(classifier, image, tags)


@pytest.mark.parametrize("shape", [(37, 52), (3, 37, 52), (37, 52, 4), (0, 52, 3)])
def test_wrong_images_are_refused(classifier: Classifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        score_maps(classifier, np.zeros(shape, np.uint8), np.array([1, 0, 0]))


def test_wrong_scales_are_refused(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match="at least one scale"):
        score_maps(classifier, image, np.array([1, 0, 0]), scales=())
    with pytest.raises(ShapeError, match="factor above 0, got -1"):
        score_maps(classifier, image, np.array([1, 0, 0]), scales=(1.0, -1.0))
