from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.localize.rib_case import (
    LR,
    NUM_CLASSES,
    SCALES,
    TAGS,
    Batch,
    assert_same_maps,
    build,
    classifier,
    draw_partners,
    image,
)
from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt
from weakseg.models.classifier import Classifier

assert all((classifier, image)), "fixtures"


def test_portions_of_partners_change_nothing(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    results = [
        adapt(
            classifier,
            image,
            TAGS,
            draw_partners(3, batch=5),
            iterations=3,
            lr=LR,
            scales=SCALES,
            area_ratio=1.0,
            max_partners_at_once=limit,
        )
        for limit in (None, 2)
    ]
    assert results[1].losses == pytest.approx(results[0].losses, rel=1e-4)
    assert_same_maps(results[1].maps, results[0].maps)


def test_image_may_be_adapted_without_partners(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    result = adapt(classifier, image, TAGS, draw_partners(2, batch=0), iterations=2, lr=LR, area_ratio=1.0)
    assert result.stopped_by == "completed"
    assert result.losses == pytest.approx([-value for value in result.target_losses])


def test_image_without_tags_costs_nothing_and_asks_for_no_partners(image: NDArray[np.uint8]) -> None:
    def refuse() -> Iterator[Batch]:
        raise AssertionError("partners were asked for")
        yield

    classifier = build()
    result = adapt(classifier, image, np.zeros(NUM_CLASSES), refuse(), scales=SCALES)
    expected = score_maps(classifier, image, np.zeros(NUM_CLASSES), scales=SCALES)
    assert result.maps.keys == ()
    assert [part.shape for part in result.maps.scales] == [part.shape for part in expected.scales]
    assert (result.iterations, result.losses, result.stopped_by) == (0, (), "completed")


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_any_number_of_classes_is_adapted(num_classes: int, image: NDArray[np.uint8]) -> None:
    partners = draw_partners(2, num_classes=num_classes)
    result = adapt(build(num_classes), image, np.ones(num_classes), partners, iterations=2, scales=(1.0,))
    assert result.maps.scales[0].shape[0] == num_classes
    assert result.maps.scales[0].dtype == torch.float32


def test_partners_come_in_any_kind(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    partners = [(images.half(), tags) for images, tags in draw_partners(2)]
    kinds = [
        partners,
        [(images.numpy(), tags.numpy().astype(np.uint8)) for images, tags in partners],
        ((images.double(), tags.bool()) for images, tags in partners),
    ]
    results = [adapt(classifier, image, TAGS, kind, iterations=2, lr=LR) for kind in kinds]
    assert results[0].losses == results[1].losses == results[2].losses


def test_frozen_trunk_makes_no_difference(image: NDArray[np.uint8]) -> None:
    results = [
        adapt(build(freeze_trunk=frozen), image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
        for frozen in (True, False)
    ]
    assert results[0].losses == results[1].losses


def test_classifier_may_be_in_training_mode_without_gradients(image: NDArray[np.uint8]) -> None:
    expected = adapt(build(), image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
    classifier = build().train().requires_grad_(False)
    with torch.no_grad():
        result = adapt(classifier, image, TAGS, draw_partners(3), iterations=3, lr=LR, area_ratio=1.0)
    assert result.losses == expected.losses
    assert not result.maps.scales[0].requires_grad


def test_error_of_the_partners_leaves_classifier_and_image_alone(
    classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    changed: list[bool] = []
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pixels = image.copy()

    def fail_late() -> Iterator[Batch]:
        yield from draw_partners(2)
        changed.append(not torch.equal(classifier.classifier.weight, before["classifier.weight"]))
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        adapt(classifier, image, TAGS, fail_late(), iterations=4, lr=LR, area_ratio=1.0)
    assert changed == [True]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert np.array_equal(image, pixels)


@pytest.mark.slow
def test_memory_layout_and_autocast_hardly_change_the_maps(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    plain, laid_out, cast = (
        adapt(
            classifier,
            image,
            TAGS,
            draw_partners(3),
            iterations=3,
            area_ratio=1.0,
            channels_last=channels_last,
            autocast=autocast,
        ).maps.full()
        for channels_last, autocast in ((False, False), (True, False), (False, True))
    )
    torch.testing.assert_close(laid_out, plain, rtol=0, atol=1e-5)
    assert not torch.equal(cast, plain)
    assert cast.dtype == torch.float32
    torch.testing.assert_close(cast, plain, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"iterations": 0}, "iterations: an adaptation has at least 1, got 0"),
        ({"scales": (0.5, 2.0)}, r"scales: RIB needs 1 among them, got \(0.5, 2.0\)"),
        ({"max_partners_at_once": 0}, "max_partners_at_once: expected 1 or more, or None for all, got 0"),
        ({"variant": "official"}, "variant: expected one of paper, released, got 'official'"),
        ({"pooling": "gmp"}, "pooling: expected one of gap, gndrp, got 'gmp'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    option: dict[str, object], message: str, classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(ConfigError, match=message):
        adapt(classifier, image, TAGS, draw_partners(1), **option)


def test_too_few_batches_are_refused(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match="a batch of partners for every iteration, but they ended after 1"):
        adapt(classifier, image, TAGS, draw_partners(1), iterations=2, area_ratio=1.0)


@pytest.mark.parametrize(
    ("images_shape", "tags_shape"), [((2, 3, 24), (2, 3)), ((2, 1, 24, 24), (2, 3)), ((2, 3, 24, 24), (2, 4))]
)
def test_partners_of_another_shape_are_refused(
    images_shape: tuple[int, ...], tags_shape: tuple[int, ...], classifier: Classifier, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(ShapeError, match=r"expected partners \(B, 3, S, S\) and their tags \(B, 3\), got \(2, "):
        adapt(classifier, image, TAGS, [(torch.zeros(images_shape), torch.zeros(tags_shape))])


def test_partners_must_be_normalised_and_tagged_with_0_and_1(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    images, tags = draw_partners(1)[0]
    with pytest.raises(ShapeError, match=r"normalised float images of partners, got torch.uint8 in iteration 1"):
        adapt(classifier, image, TAGS, [(images.to(torch.uint8), tags)])
    with pytest.raises(ShapeError, match=r"tags of partners are 0 or 1, got values \[0.0, 255.0\] in iteration 1"):
        adapt(classifier, image, TAGS, [(images, 255 * tags)])


def test_tags_and_images_of_another_shape_are_refused(classifier: Classifier, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"expected tags of shape \(3,\)"):
        adapt(classifier, image, np.ones(4), [])
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        adapt(classifier, image[..., 0], TAGS, [])
