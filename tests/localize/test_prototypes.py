import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.tiny import make_classifier
from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.feature_sample import FeatureSample, merge_features
from weakseg.localize.prototypes import (
    Prototypes,
    cluster_features,
    collect_image,
    prototype_maps,
    prototype_score_maps,
    select_prototypes,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (29, 42, 3), dtype=np.uint8)


def as_sample(features: NDArray[np.floating]) -> FeatureSample:
    return FeatureSample(features.astype(np.float16), np.arange(len(features), dtype=np.uint64))


def vectors(*rows: tuple[float, ...], length: int = 2) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, length)


def test_features_are_clustered_by_direction_and_averaged_as_they_are() -> None:
    sample = as_sample(np.array([[1, 0], [3, 0], [0, 2], [0, 4], [8, 0]]))
    centres = cluster_features(sample, num_clusters=2, seed=0)
    assert centres.dtype == np.float32
    assert sorted(centres.tolist()) == [[0, 3], [4, 0]]


def test_there_are_no_more_centres_than_directions() -> None:
    assert cluster_features(as_sample(np.array([[1, 0], [2, 0], [0, 0]])), num_clusters=12, seed=0).shape == (2, 2)
    assert cluster_features(as_sample(np.zeros((0, 5))), num_clusters=12, seed=0).shape == (0, 5)


def test_equal_seeds_give_equal_centres() -> None:
    sample = as_sample(np.random.default_rng(0).random((60, 7)))
    first, second = (cluster_features(sample, num_clusters=5, seed=4) for _ in range(2))
    assert first.shape == (5, 7)
    assert np.array_equal(first, second)


def test_centres_are_kept_by_their_softmax_score() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Scores of class 0: sigmoid of the difference of the two.
    shown = vectors((5, 0), (2, 0), (0, 5))
    context = vectors((0, 5), (0, 1), (1, 0), (5, 0))
    kept = select_prototypes(shown, context, weight[:, :, None, None], 0)
    assert kept.shown.tolist() == [[5, 0]]
    assert kept.context.tolist() == [[0, 1], [1, 0]]
    every = select_prototypes(shown, context, weight, 0, class_score=0, context_scores=(0, 1))
    assert (len(every.shown), len(every.context)) == (3, 4)


def test_the_best_centre_is_kept_where_none_is_good_enough() -> None:
    kept = select_prototypes(vectors((0, 1), (1, 0), (0, 2)), vectors(), torch.eye(2), 0)
    assert kept.shown.tolist() == [[1, 0]]
    assert kept.context.shape == (0, 2)


def test_with_one_class_no_context_is_in_doubt_and_all_is_kept() -> None:
    kept = select_prototypes(vectors((1, 2), (0, 1)), vectors((1, 1)), torch.ones(1, 2), 0)
    assert (len(kept.shown), len(kept.context)) == (2, 1)


def compare_slowly(features: Tensor, own: Prototypes) -> Tensor:
    """Average the cosines to every prototype by itself."""
    means = []
    for prototypes in (own.shown, own.context):
        cosines = [
            torch.nn.functional.cosine_similarity(features, torch.from_numpy(prototype)[:, None, None], dim=0)
            for prototype in prototypes
        ]
        means.append(torch.stack(cosines).mean(dim=0) if cosines else torch.zeros(features.shape[1:]))
    return (means[0] - means[1]).relu()


@pytest.mark.parametrize(("num_shown", "num_context"), [(1, 0), (3, 2), (12, 12)])
def test_a_map_is_the_difference_of_the_mean_cosines(num_shown: int, num_context: int) -> None:
    rng = np.random.default_rng(1)
    prototypes = [
        Prototypes(rng.random((count, 6), np.float32), rng.random((num_context, 6), np.float32))
        for count in (num_shown, 2)
    ]
    features = torch.from_numpy(rng.random((6, 5, 7), np.float32))
    found = prototype_maps(features, prototypes)
    assert found.dtype == torch.float32
    assert found.shape == (2, 5, 7)
    for own, expected in zip(found, prototypes, strict=True):
        torch.testing.assert_close(own, compare_slowly(features, expected), atol=1e-6, rtol=1e-5)


def test_classes_without_prototypes_and_features_of_nothing_give_zero() -> None:
    nothing, something = Prototypes(vectors(), vectors((1, 1))), Prototypes(vectors((1, 0)), vectors())
    features = torch.ones(2, 3, 4)
    features[:, 0, 0] = 0
    maps = prototype_maps(features, [nothing, something])
    assert not maps[0].any()
    assert maps[1, 0, 0] == 0
    torch.testing.assert_close(maps[1, 1, 1], torch.tensor(0.5**0.5))
    assert prototype_maps(features, []).shape == (0, 3, 4)


def test_an_image_is_sampled_by_the_classifiers_own_maps() -> None:
    classifier, before = make_classifier(), IMAGE.copy()
    found = collect_image(classifier, IMAGE, np.array([1, 0, 1]), image_id="a", seed=0, capacity=5)
    assert list(found) == [0, 2]
    assert all(sample.shown.features.shape[1] == classifier.classifier.in_channels for sample in found.values())
    assert 0 < len(found[2].context) <= 5
    assert np.array_equal(IMAGE, before)
    assert classifier.training
    assert collect_image(classifier, IMAGE, np.zeros(3, int), image_id="a", seed=0) == {}


def test_from_images_to_maps() -> None:
    classifier, tags = make_classifier(), torch.tensor([0, 1, 1])
    with torch.no_grad():
        classifier.classifier.weight.normal_(generator=torch.Generator().manual_seed(1))
    images = [IMAGE, IMAGE[::-1, :31].copy()]
    features = merge_features(
        [collect_image(classifier, image, tags, image_id=str(at), seed=0) for at, image in enumerate(images)]
    )
    prototypes = {
        key: select_prototypes(
            cluster_features(own.shown, num_clusters=3, seed=0),
            cluster_features(own.context, num_clusters=3, seed=0),
            classifier.classifier.weight,
            key,
        )
        for key, own in features.items()
    }
    maps = prototype_score_maps(classifier, IMAGE, tags, prototypes, scales=(1.0, 0.5))
    assert maps.keys == (1, 2)
    assert maps.size_hw == (29, 42)
    assert maps.full().shape == (2, 29, 42)
    assert all(0 <= own.min() <= own.max() <= 2 for own in maps.scales)
    assert maps.scales[0].any()
    mirrored = prototype_score_maps(classifier, IMAGE[:, ::-1].copy(), tags, prototypes, scales=(1.0,))
    assert mirrored.scales[0].shape == maps.scales[0].shape


def test_images_without_tags_and_classes_without_prototypes_give_maps_of_zero() -> None:
    classifier = make_classifier()
    untagged = prototype_score_maps(classifier, IMAGE, np.zeros(3, int), {})
    assert [tuple(maps.shape[:1]) for maps in untagged.scales] == [(0,)] * 4
    unknown = prototype_score_maps(classifier, IMAGE, np.array([0, 1, 0]), {}, scales=(1.0,))
    assert unknown.keys == (1,)
    assert not unknown.scales[0].any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_clusters: expected 1 or more, got 0"):
        cluster_features(as_sample(np.eye(2)), num_clusters=0, seed=0)
    with pytest.raises(ConfigError, match="expected scores in 0"):
        select_prototypes(vectors(), vectors(), torch.eye(2), 0, context_scores=(0.9, 0.1))
    with pytest.raises(ShapeError, match=r"of a classifier of class 2, got \(2, 2\)"):
        select_prototypes(vectors(), vectors(), torch.eye(2), 2)
    with pytest.raises(ShapeError, match="expected centres of 3 channels, got 2"):
        select_prototypes(vectors(), vectors(), torch.eye(3), 0)
    with pytest.raises(ShapeError, match="expected features of 2 channels, got 3"):
        prototype_maps(torch.ones(3, 4, 5), [Prototypes(vectors((1, 0)), vectors())])
    with pytest.raises(ShapeError, match="prototypes of the class have 2 channels, those of the context 3"):
        Prototypes(vectors(), vectors(length=3))
    with pytest.raises(ShapeError, match=r"shown: expected prototypes \(P, D\) float32, got float64"):
        Prototypes(np.zeros((1, 2)), vectors())  # type: ignore[arg-type]
