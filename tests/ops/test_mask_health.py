import numpy as np
import pytest
import torch

from weakseg.errors import ShapeError
from weakseg.ops.mask_health import NOBODY, NUM_FACTS, TagFacts, examine_tags
from weakseg.types import ScoreMaps

SIZE_HW = (8, 16)


def make_seed(*maps: list[list[float]], keys: tuple[int, ...] | None = None) -> ScoreMaps:
    """Score maps (K, 2, 4) of an 8 x 16 image: a pixel of the map is one of the 2 x 4 that the seed is compared at."""
    stack = torch.tensor(maps, dtype=torch.float32).reshape(len(maps), 2, 4)
    return ScoreMaps(tuple(range(len(maps))) if keys is None else keys, (stack,), SIZE_HW)


LEFT = [[2.0, 0, 0, 0], [2.0, 0, 0, 0]]
RIGHT = [[0, 0, 0, 4.0], [0, 0, 0, 4.0]]


def test_a_mask_like_its_seed() -> None:
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[:, :4] = 1
    labels[:, 12:] = 255
    (facts,) = examine_tags(labels, make_seed(LEFT), threshold=0.3)
    assert facts == TagFacts(
        share=32 / 96,  # the 32 unlabelled pixels count neither as background nor as class
        foreground=32 / 96,
        peak=2.0,
        core=0.25,
        core_cells=2.0,
        marked=0.25,
        rival=NOBODY,
        rival_share=0.0,
    )


def test_a_class_whose_place_another_has_taken() -> None:
    labels = np.full(SIZE_HW, 6, np.uint8)
    first, second = examine_tags(labels, make_seed(LEFT, RIGHT, keys=(2, 5)), threshold=0.3)
    assert (first.share, first.rival, first.rival_share) == (0.0, 5, 1.0)
    assert (second.share, second.rival, second.rival_share) == (1.0, NOBODY, 0.0)
    assert first.foreground == second.foreground == 1.0


def test_a_class_that_is_not_tagged_is_no_rival() -> None:
    (facts,) = examine_tags(np.full(SIZE_HW, 3, np.uint8), make_seed(LEFT), threshold=0.3)
    assert (facts.rival, facts.rival_share) == (NOBODY, 0.0)


def test_a_class_that_the_classifier_does_not_see() -> None:
    zeros = [[0.0] * 4] * 2
    facts = examine_tags(np.zeros(SIZE_HW, np.uint8), make_seed(zeros, RIGHT), threshold=0.0)[0]
    assert (facts.peak, facts.core, facts.core_cells, facts.marked) == (0.0, 0.0, 0.0, 0.0)


def test_scores_that_only_rounding_left_are_no_peak() -> None:
    (facts,) = examine_tags(np.zeros(SIZE_HW, np.uint8), make_seed([[1e-6] * 4] * 2), threshold=0.5)
    assert (facts.peak, facts.core) == (0.0, 0.0)


def test_marked_is_what_the_seed_alone_says_by_the_threshold() -> None:
    slope = [[1.0, 0.7, 0.3, 0.0]] * 2
    found = [
        examine_tags(np.zeros(SIZE_HW, np.uint8), make_seed(slope), threshold=threshold)[0].marked
        for threshold in (0.0, 0.5, 0.9, None)
    ]
    assert found == [0.75, 0.5, 0.25, 0.5]  # without a threshold the core stands in


def test_sizes_that_no_stride_divides_and_maps_of_another_size() -> None:
    seed = ScoreMaps((0,), (torch.rand(1, 3, 5), torch.rand(1, 2, 3)), (37, 50))
    for size_hw in ((37, 50), (13, 29), (1, 1), (1, 90)):
        (facts,) = examine_tags(np.ones(size_hw, np.uint8), seed, threshold=0.2)
        assert facts.share == 1.0
        assert 0 < facts.core <= 1


def test_an_image_without_tags_has_nothing_to_tell() -> None:
    assert examine_tags(np.zeros(SIZE_HW, np.uint8), make_seed(), threshold=0.3) == ()


def test_80_classes_and_the_last_label() -> None:
    labels = np.full(SIZE_HW, 254, np.uint8)
    facts = examine_tags(labels, make_seed(*[LEFT] * 80, keys=(*range(79), 253)), threshold=0.3)
    assert [item.share for item in facts] == [0.0] * 79 + [1.0]
    assert facts[0].rival == 253


def test_a_mask_without_any_label_has_no_share() -> None:
    (facts,) = examine_tags(np.full(SIZE_HW, 255, np.uint8), make_seed(LEFT), threshold=0.3)
    assert (facts.share, facts.foreground) == (0.0, 0.0)


def test_nothing_is_modified() -> None:
    labels, seed = np.ones(SIZE_HW, np.uint8), make_seed(LEFT)
    before = labels.copy(), seed.scales[0].clone()
    examine_tags(labels, seed, threshold=0.3)
    assert np.array_equal(labels, before[0])
    assert torch.equal(seed.scales[0], before[1])


def test_facts_survive_as_numbers() -> None:
    facts = TagFacts(0.1, 0.2, 3.0, 0.4, 5.0, 0.6, 7, 0.8)
    assert len(facts.to_numbers()) == NUM_FACTS
    assert TagFacts.from_numbers(facts.to_numbers()) == facts


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3), np.int64), np.zeros((1, 2, 3), np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_other_arrays_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected labels \(H, W\) uint8 with a pixel, got"):
        examine_tags(labels, make_seed(LEFT), threshold=0.3)
