from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.crf import dense_crf
from weakseg.ops.crf_settings import PSA_CRF
from weakseg.refine.psa_scores import AffinityWalk, psa_labels, psa_mask, score_background, walked_scores

STANDING = 200.0
"""With this power, affinities of exp(-1) are 1e-87: the walk leaves every value where it is."""


def checkers(cells_hw: tuple[int, int]) -> Tensor:
    """Return features (2, h, w) of which no two cells closer than 5 are alike."""
    rows, columns = torch.meshgrid(torch.arange(cells_hw[0]), torch.arange(cells_hw[1]), indexing="ij")
    return torch.stack((rows, columns)).float() * 4


def draw(num_maps: int, size_hw: tuple[int, int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8), rng.random((num_maps, *size_hw), dtype=np.float32)


def test_background_scores_by_the_power_of_what_the_strongest_map_leaves() -> None:
    maps = np.array([[[0.5, 0.1, 0.0]], [[0.25, 0.2, 0.0]]], np.float32)
    scores = score_background(maps, (3, 7), alpha=2.0)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[0], [[0.25, 0.64, 1.0]], rtol=1e-6)
    assert np.array_equal(scores[1:], maps)


def test_background_is_all_there_is_without_maps() -> None:
    assert score_background(np.zeros((0, 2, 3), np.float32), (), alpha=16.0).tolist() == [[[1.0] * 3] * 2]


@given(st.floats(0.1, 30), st.floats(0.1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_lower_power_never_lowers_the_background(one: float, other: float, seed: int) -> None:
    maps = np.random.default_rng(seed).random((3, 5, 4))
    low, high = (score_background(maps, (0, 1, 2), alpha=alpha)[0] for alpha in sorted((one, other)))
    assert (low >= high).all()
    assert (high >= 0).all()
    assert (low <= 1).all()


@pytest.mark.parametrize(
    ("maps", "keys", "alpha", "error", "message"),
    [
        (np.full((1, 2, 3), 1.5), (0,), 4.0, ShapeError, r"expected seed maps in 0\.\.1, got 1\.5\.\.1\.5"),
        (np.full((1, 2, 3), -0.1), (0,), 4.0, ShapeError, r"expected seed maps in 0\.\.1, got -0\.1\.\.-0\.1"),
        (np.full((1, 2, 3), np.nan), (0,), 4.0, ShapeError, "maps hold NaN"),
        (np.zeros((2, 2, 3)), (0,), 4.0, ShapeError, "expected 2 distinct keys, one per map"),
        (np.zeros((1, 2, 3)), (0,), 0.0, ConfigError, "alpha: expected a power above 0, got 0.0"),
        (np.zeros((1, 2, 3)), (0,), np.nan, ConfigError, "alpha: expected a power above 0, got nan"),
    ],
)
def test_maps_and_powers_that_do_not_fit_are_refused(
    maps: np.ndarray, keys: tuple[int, ...], alpha: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        score_background(maps, keys, alpha=alpha)


def test_three_bands_without_a_crf() -> None:
    """A map wins against the power 2 above 0.382, against the power 8 above 0.188."""
    maps = np.array([[[0.9, 0.39, 0.37, 0.1, 0.2, 0.18]], [[0.1, 0.2, 0.3, 0.4, 0.05, 0.04]]], np.float32)
    settings = replace(PSA_CRF, iterations=0)
    found = psa_labels(np.zeros((1, 6, 3), np.uint8), maps, (4, 79), low_alpha=2.0, high_alpha=8.0, settings=settings)
    assert found.dtype == np.uint8
    assert found.tolist() == [[5, 5, 255, 80, 255, 0]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_rule_combines_the_labels_of_two_crfs(seed: int, num_maps: int) -> None:
    image, maps = draw(num_maps, (11, 8), seed)
    before = image.copy(), maps.copy()
    labels = np.arange(num_maps + 1) * 3
    found = psa_labels(image, maps, [label - 1 for label in labels[1:]], low_alpha=0.4, high_alpha=3.0)
    low, high = (
        labels[dense_crf(image, -np.log(scores), gaussian=PSA_CRF.gaussian, bilateral=PSA_CRF.bilateral).argmax(axis=0)]
        for scores in (score_background(maps, range(num_maps), alpha=alpha) for alpha in (0.4, 3.0))
    )
    assert np.array_equal(found, np.where(low > 0, low, np.where(high > 0, 255, 0)))
    assert np.array_equal(image, before[0])
    assert np.array_equal(maps, before[1])


def test_scores_of_zero_can_still_be_outvoted() -> None:
    """One pixel of no evidence within an object of one colour becomes part of the object."""
    image = np.full((9, 11, 3), 90, np.uint8)
    maps = np.full((1, 9, 11), 0.99, np.float32)
    maps[0, 4, 5] = 0.0
    assert (psa_labels(image, maps, (0,)) == 1).all()


def test_equal_powers_leave_nothing_unsure() -> None:
    image, maps = draw(80, (11, 8))
    found = psa_labels(image, maps, range(80), low_alpha=2.0, high_alpha=2.0)
    assert not (found == 255).any()
    assert (found > 0).any()


def test_labels_of_an_image_without_tags_are_background() -> None:
    found = psa_labels(np.zeros((5, 4, 3), np.uint8), np.zeros((0, 5, 4), np.float32), ())
    assert found.dtype == np.uint8
    assert found.tolist() == [[0] * 4] * 5


@pytest.mark.parametrize(("low", "high"), [(24.0, 4.0), (0.0, 4.0), (-1.0, 4.0), (np.nan, 4.0), (4.0, np.nan)])
def test_powers_out_of_order_are_refused(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 < low_alpha <= high_alpha, got"):
        psa_labels(np.zeros((5, 4, 3), np.uint8), np.zeros((1, 5, 4)), (0,), low_alpha=low, high_alpha=high)


def test_labels_of_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected maps \(K, 5, 4\) of the image's size, got \(1, 4, 5\)"):
        psa_labels(np.zeros((5, 4, 3), np.uint8), np.zeros((1, 4, 5)), (0,))


def test_evidence_fills_what_has_the_same_features_and_nothing_else() -> None:
    """Two halves of 6 columns of cells differ in features; a spot in one of them spreads over that half."""
    features = torch.zeros(3, 9, 12)
    features[:, :, 6:] = 10.0
    maps = torch.zeros(1, 71, 94)
    maps[0, 24:40, 16:32] = 1.0
    before = maps.clone(), features.clone()
    scores = walked_scores(maps, (4,), features)
    assert scores.shape == (2, 71, 94)
    assert scores.dtype == torch.float32
    # Away from the border cells, some of which are pairs of few, the half holds one value.
    inner = scores[1, 16:40, 16:40]
    assert inner.min() > 0.03
    assert inner.max() < 0.2
    assert scores[1, :, 52:].max() < 1e-4
    assert scores[0, :, 52:].min() > 0.999
    assert torch.equal(maps, before[0])
    assert torch.equal(features, before[1])


def test_cells_at_the_border_average_what_lies_within_the_image() -> None:
    """9 x 11 px are 2 x 2 cells, too few for a pair: the walk leaves means of 8 x 8, 8 x 3, 1 x 8 and 1 x 3 px."""
    maps = torch.zeros(1, 9, 11)
    maps[0, :8, :8], maps[0, :8, 8:], maps[0, 8:, :8] = 0.25, 0.5, 0.75
    maps[0, 8, 8] = 0.3
    scores = walked_scores(maps, (0,), torch.zeros(1, 2, 2), walk=AffinityWalk(alpha=1.0))
    assert scores.shape == (2, 9, 11)
    assert scores[1, 0, 0].item() == pytest.approx(0.25)
    cells = torch.tensor([[0.25, 0.5], [0.75, 0.1]])
    expected = torch.nn.functional.interpolate(cells[None, None], (16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(scores[1], expected[0, 0, :9, :11])
    torch.testing.assert_close(scores.sum(dim=0), torch.ones(9, 11))


def test_a_mask_takes_the_strongest_of_background_and_classes() -> None:
    maps = torch.zeros(2, 40, 80)
    maps[0, :, 16:40], maps[1, :, 56:] = 0.9, 0.8
    mask = psa_mask(maps, (2, 79), checkers((5, 10)), walk=AffinityWalk(beta=STANDING))
    assert mask.dtype == np.uint8
    assert mask.shape == (40, 80)
    assert (mask[:, :11] == 0).all()
    assert (mask[:, 20:36] == 3).all()
    assert (mask[:, 44:52] == 0).all()
    assert (mask[:, 60:] == 80).all()


def test_a_lower_power_gives_the_background_more() -> None:
    maps = torch.full((1, 40, 72), 0.3)
    shares = [(psa_mask(maps, (0,), checkers((5, 9)), walk=AffinityWalk(alpha)) == 0).mean() for alpha in (1.0, 16.0)]
    assert shares == [1.0, 0.0]


def test_a_tie_goes_to_the_background_then_to_the_first_map() -> None:
    half = torch.full((2, 8, 8), 0.5)
    assert (psa_mask(half, (3, 4), torch.zeros(1, 1, 1), walk=AffinityWalk(alpha=1.0)) == 0).all()
    assert (psa_mask(half, (3, 4), torch.zeros(1, 1, 1), walk=AffinityWalk(alpha=2.0)) == 4).all()


def test_the_crf_moves_borders_to_those_of_the_image() -> None:
    """The object ends at column 45, its scores within a cell of 8 px."""
    image = np.full((40, 80, 3), 200, np.uint8)
    image[:, :45] = 30
    maps = torch.zeros(1, 40, 80)
    maps[0, :, :40] = 0.9
    rough = psa_mask(maps, (0,), checkers((5, 10)), walk=AffinityWalk(beta=STANDING))
    fine = psa_mask(maps, (0,), checkers((5, 10)), walk=AffinityWalk(beta=STANDING), image=image)
    truth = np.repeat(np.arange(80)[None] < 45, 40, axis=0)
    assert (rough != truth).sum(axis=1).min() >= 5
    assert (fine != truth).sum(axis=1).max() <= 1


@pytest.mark.parametrize("with_image", [False, True])
def test_a_mask_without_tags_is_background(with_image: bool) -> None:
    image = np.zeros((9, 11, 3), np.uint8) if with_image else None
    mask = psa_mask(torch.zeros(0, 9, 11), (), torch.zeros(4, 2, 2), image=image)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0] * 11] * 9


def test_eighty_classes_keep_their_labels() -> None:
    maps = torch.zeros(80, 8, 8)
    maps[63] = 0.9
    assert (psa_mask(maps, range(80), torch.zeros(1, 1, 1)) == 64).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(4, 2, 3), r"maps of 9 x 11 px go with features \(D, 2, 2\), got \(4, 2, 3\)"),
        (torch.zeros(2, 2), r"go with features \(D, 2, 2\), got \(2, 2\)"),
    ],
)
def test_features_of_another_size_are_refused(features: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        psa_mask(torch.zeros(1, 9, 11), (0,), features)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected maps \(K, 11, 9\) of the image's size, got \(1, 9, 11\)"):
        psa_mask(torch.zeros(1, 9, 11), (0,), torch.zeros(1, 2, 2), image=np.zeros((11, 9, 3), np.uint8))


def test_seeds_may_carry_a_gradient() -> None:
    maps = torch.full((1, 9, 11), 0.9, requires_grad=True)
    assert (psa_mask(maps, (4,), torch.zeros(1, 2, 2), image=np.zeros((9, 11, 3), np.uint8)) == 5).all()
