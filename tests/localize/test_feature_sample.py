from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.feature_sample import (
    ClassFeatures,
    FeatureSample,
    collect_features,
    merge_features,
    merge_samples,
    sample_positions,
)

SIZE_HW = (5, 7)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def collect(
    image: int, *, keys: tuple[int, ...] = (0, 2), capacity: int = 9, seed: int = 3
) -> Mapping[int, ClassFeatures]:
    features, maps = draw(4, *SIZE_HW, seed=image), draw(len(keys), *SIZE_HW, seed=100 + image)
    return collect_features(
        features, maps, keys, image_id=f"folder/{image}", seed=seed, capacity=capacity, threshold=0.5
    )


def assert_same(one: Mapping[int, ClassFeatures], other: Mapping[int, ClassFeatures]) -> None:
    assert list(one) == list(other)
    for key, features in one.items():
        for kind in ("shown", "context"):
            first, second = getattr(features, kind), getattr(other[key], kind)
            assert np.array_equal(first.features, second.features)
            assert np.array_equal(first.priorities, second.priorities)


def test_positions_above_and_below_the_threshold_are_taken_with_their_features() -> None:
    features = torch.arange(12.0).reshape(2, 2, 3)
    maps = torch.tensor([[[0.9, 0.1, 0.5], [0.6, 0.0, 0.2]]])
    found = collect_features(features, maps, (7,), image_id="a", seed=0, capacity=10, threshold=0.5)[7]
    assert sorted(found.shown.features.tolist()) == [[0, 6], [3, 9]]
    assert sorted(found.context.features.tolist()) == [[1, 7], [4, 10], [5, 11]]
    assert found.shown.features.dtype == np.float16


def test_the_sample_is_the_same_however_the_images_come() -> None:
    images = [collect(image) for image in range(6)]
    at_once = merge_features(images)
    one_by_one: Mapping[int, ClassFeatures] = {}
    for image in reversed(images):
        one_by_one = merge_features([one_by_one, image])
    twice = merge_features([merge_features(images[:4]), merge_features(images[2:])])
    for found in (one_by_one, twice):
        assert_same(merge_features([found], capacity=9), merge_features([at_once], capacity=9))


def test_memory_is_bounded_and_a_larger_sample_holds_the_smaller_one() -> None:
    images = [collect(image, capacity=9) for image in range(6)]
    small, large = merge_features(images, capacity=5)[2].shown, merge_features(images, capacity=9)[2].shown
    assert (len(small), len(large)) == (5, 9)
    assert np.array_equal(small.priorities, large.priorities[:5])
    assert np.array_equal(small.features, large.features[:5])


def test_every_position_has_the_same_chance() -> None:
    chosen = torch.ones(1, 8, dtype=torch.bool)
    features = torch.arange(8.0).reshape(1, 1, 8)
    counts = np.zeros(8)
    for image in range(400):
        kept = sample_positions(features, chosen, stream=str(image), seed=0, capacity=2).features[:, 0]
        counts[kept.astype(int)] += 1
    # Binomial with 400 draws of 1/4: 100 with a standard deviation of 8.7.
    assert counts.sum() == 800
    assert np.abs(counts - 100).max() < 35


def test_other_seeds_classes_and_images_draw_other_positions() -> None:
    chosen, features = torch.ones(6, 7, dtype=torch.bool), draw(2, 6, 7)
    samples = [
        sample_positions(features, chosen, stream=stream, seed=seed, capacity=4).priorities.tolist()
        for stream, seed in (("shown/0/a", 0), ("shown/0/a", 1), ("shown/1/a", 0), ("context/0/a", 0), ("shown/0/b", 0))
    ]
    assert len({tuple(sample) for sample in samples}) == 5


def test_nothing_is_sampled_where_nothing_is_shown() -> None:
    sample = sample_positions(draw(3, 4, 5), torch.zeros(4, 5, dtype=torch.bool), stream="a", seed=0, capacity=4)
    assert sample.features.shape == (0, 3)
    other = sample_positions(draw(3, 4, 5), torch.ones(4, 5, dtype=torch.bool), stream="a", seed=0, capacity=4)
    assert np.array_equal(merge_samples([sample, other], capacity=4).features, other.features)
    assert merge_samples([other, sample], capacity=4) is other
    assert collect_features(draw(3, 4, 5), draw(0, 4, 5), (), image_id="a", seed=0) == {}
    assert merge_features([]) == {}


def test_features_beyond_half_precision_are_clipped() -> None:
    features = torch.full((1, 1, 1), 1e6)
    sample = sample_positions(features, torch.ones(1, 1, dtype=torch.bool), stream="a", seed=0, capacity=1)
    assert sample.features.tolist() == [[65504]]
    assert features.item() == 1e6


@pytest.mark.parametrize(
    ("features", "chosen", "message"),
    [
        (draw(4, 5), torch.ones(4, 5, dtype=torch.bool), r"expected float features \(D, h, w\)"),
        (draw(2, 4, 5), torch.ones(5, 4, dtype=torch.bool), r"expected chosen positions \(4, 5\) bool"),
        (draw(2, 4, 5), torch.ones(4, 5), r"expected chosen positions \(4, 5\) bool, got torch.float32"),
    ],
)
def test_tensors_of_another_kind_are_refused(features: Tensor, chosen: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        sample_positions(features, chosen, stream="a", seed=0, capacity=2)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="capacity: expected 1 position or more, got 0"):
        collect(0, capacity=0)
    with pytest.raises(ShapeError, match="of 2 distinct keys"):
        collect_features(draw(2, 4, 5), draw(1, 4, 5), (0, 1), image_id="a", seed=0)
    with pytest.raises(ShapeError, match="expected one sample or more to merge, got none"):
        merge_samples([], capacity=2)
    one, other = (FeatureSample(np.zeros((1, d), np.float16), np.ones(1, np.uint64)) for d in (2, 3))
    with pytest.raises(ShapeError, match="features of different lengths: 2, 3"):
        merge_samples([one, other], capacity=2)
    with pytest.raises(ShapeError, match="ascend without repeats"):
        FeatureSample(np.zeros((2, 1), np.float16), np.ones(2, np.uint64))
