from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from weakseg.config.schema import SaliencyConfig
from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.saliency import Outside, apply_saliency, find_size_fault, fit_saliency
from weakseg.refine.soft_labels import SoftMask

MASK = [[0, 3, 0, 3, 255, 255]]
SALIENCY = [[10, 250, 200, 51, 0, 255]]


def make_mask(labels: list[list[int]], confidence: float = 0.75) -> SoftMask:
    array = np.array(labels, np.uint8)
    return SoftMask(array, np.where(array == 255, 0, confidence).astype(np.float32))


def correct(keys: tuple[int, ...], *, outside: Outside = "ignore", complete_tags: bool = True) -> SoftMask:
    saliency = np.array(SALIENCY, np.uint8)
    return apply_saliency(make_mask(MASK), saliency, keys, outside=outside, complete_tags=complete_tags)


def test_the_only_tag_claims_what_is_salient() -> None:
    # Columns: both background; both class; salient background; class that is not salient; no label, twice.
    mask = correct((2,))
    assert mask.labels.tolist() == [[0, 3, 3, 255, 255, 255]]
    assert np.allclose(mask.confidence, [[0.75, 0.75, 200 / 255, 0, 0, 0]])
    assert (mask.labels.dtype, mask.confidence.dtype) == (np.uint8, np.float32)


def test_what_several_tags_could_claim_is_not_labelled() -> None:
    mask = correct((2, 7))
    assert mask.labels.tolist() == [[0, 3, 255, 255, 255, 255]]
    assert np.allclose(mask.confidence, [[0.75, 0.75, 0, 0, 0, 0]])


def test_a_class_that_is_not_salient_may_become_background() -> None:
    mask = correct((2, 7), outside="background")
    assert mask.labels.tolist() == [[0, 3, 255, 0, 255, 255]]
    assert np.allclose(mask.confidence, [[0.75, 0.75, 0, 0.8, 0, 0]])  # 1 - 51 / 255


def test_a_tag_that_may_not_be_the_only_one_claims_nothing() -> None:
    assert correct((2,), complete_tags=False).labels.tolist() == [[0, 3, 255, 255, 255, 255]]


def test_an_image_without_tags_stays_background() -> None:
    mask, saliency = make_mask([[0, 0]], 1.0), np.array([[255, 0]], np.uint8)
    found = apply_saliency(mask, saliency, ())
    assert (found.labels.tolist(), found.confidence.tolist()) == ([[0, 0]], [[1.0, 1.0]])
    unknown = apply_saliency(mask, saliency, (), complete_tags=False)
    assert (unknown.labels.tolist(), unknown.confidence.tolist()) == ([[255, 0]], [[0.0, 1.0]])


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, [0, 1, 1, 1]), (0.2, [0, 0, 1, 1]), (1.0, [0, 0, 0, 0])])
def test_salient_is_what_lies_above_the_threshold(threshold: float, expected: list[int]) -> None:
    mask, saliency = make_mask([[0, 0, 0, 0]]), np.array([[0, 51, 52, 255]], np.uint8)  # 51 = 0.2 * 255
    assert apply_saliency(mask, saliency, (0,), threshold=threshold).labels.tolist() == [expected]


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_a_map_that_is_salient_everywhere_fills_an_image_of_one_tag_and_keeps_every_class(num_classes: int) -> None:
    labels = np.random.default_rng(num_classes).integers(0, num_classes + 1, (5, 8), dtype=np.uint8)
    mask = SoftMask(labels, np.full(labels.shape, 0.5, np.float32))
    everywhere = np.full(labels.shape, 255, np.uint8)
    found = apply_saliency(mask, everywhere, range(num_classes)).labels
    assert np.array_equal(found[labels != 0], labels[labels != 0])
    assert set(found[labels == 0].tolist()) <= ({1} if num_classes == 1 else {255})


@settings(deadline=None)
@given(
    arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 2, 6, 255])),
    arrays(np.uint8, (3, 4)),
    st.floats(0, 1),
    st.sampled_from(["ignore", "background"]),
    st.booleans(),
)
def test_no_class_is_invented_and_agreement_is_kept(
    labels: NDArray[np.uint8], saliency: NDArray[np.uint8], threshold: float, outside: Outside, complete: bool
) -> None:
    keys = sorted(int(label) - 1 for label in np.unique(labels) if label not in (0, 255))
    before = labels.copy(), saliency.copy()
    mask = SoftMask(labels, np.full(labels.shape, 0.5, np.float32))
    found = apply_saliency(mask, saliency, keys, threshold=threshold, outside=outside, complete_tags=complete)
    assert set(np.unique(found.labels)) <= {0, 255, *(key + 1 for key in keys)}
    salient = saliency > threshold * 255
    agreed = np.where(labels == 0, ~salient, salient) & (labels != 255)
    assert np.array_equal(found.labels[agreed], labels[agreed])
    assert (found.labels[labels == 255] == 255).all()
    if keys or not complete:
        assert not ((found.labels == 0) & salient).any()
        assert (found.confidence[found.labels == 255] == 0).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert np.array_equal(labels, before[0])
    assert np.array_equal(saliency, before[1])
    assert (mask.confidence == 0.5).all()
    twice = apply_saliency(found, saliency, keys, threshold=threshold, outside=outside, complete_tags=complete)
    assert np.array_equal(twice.labels, found.labels)


def test_a_map_of_any_size_is_stretched_to_the_image() -> None:
    small = np.array([[0, 255]], np.uint8)
    assert fit_saliency(small, (2, 4)).tolist() == [[0, 64, 191, 255]] * 2  # a quarter and three quarters of the way
    stripes = np.tile(np.array([0, 255], np.uint8), (40, 30))
    assert (abs(fit_saliency(stripes, (4, 6)).astype(int) - 128) < 8).all(), "shrinking averages"
    assert fit_saliency(small, (1, 2)).tolist() == [[0, 255]]


def test_a_map_of_the_image_as_stored_on_its_side_is_refused() -> None:
    message = (
        r"it is 30 x 20 px \(height, width\), but the upright image 20 x 30; make it from the image as EXIF turns it"
    )
    with pytest.raises(ShapeError, match=f"saliency map: {message}"):
        fit_saliency(np.zeros((30, 20), np.uint8), (20, 30))
    assert find_size_fault((20, 20), (20, 20)) is None
    assert find_size_fault((60, 40), (20, 30)) is None  # only the very size tells


def test_what_does_not_fit_is_refused() -> None:
    mask = make_mask([[0, 1]])
    with pytest.raises(ShapeError, match=r"expected saliency \(1, 2\) uint8, the mask's size, got \(2, 1\) uint8"):
        apply_saliency(mask, np.zeros((2, 1), np.uint8), (0,))
    with pytest.raises(ShapeError, match=r"got \(1, 2\) float64"):
        apply_saliency(mask, np.zeros((1, 2)), (0,))
    with pytest.raises(ConfigError, match=r"threshold: expected a value within 0\.\.1, got -0\.1"):
        apply_saliency(mask, np.zeros((1, 2), np.uint8), (0,), threshold=-0.1)
    with pytest.raises(ShapeError, match=r"expected a non-empty saliency map \(h, w\) uint8, got \(1, 2, 3\) uint8"):
        fit_saliency(np.zeros((1, 2, 3), np.uint8), (1, 2))


def test_the_recipe_knows_the_same_choices_and_defaults() -> None:
    assert get_type_hints(SaliencyConfig)["outside"] == Outside
    defaults = apply_saliency.__kwdefaults__
    assert (SaliencyConfig().threshold, SaliencyConfig().outside) == (defaults["threshold"], defaults["outside"])


def test_an_unknown_rule_for_what_is_outside_is_refused() -> None:
    with pytest.raises(ConfigError, match="outside: expected one of background, ignore, got 'ignored'"):
        correct((2,), outside="ignored")
