"""LPCAM: prototypes of a class in place of its classifier weights (Chen and Sun, CVPR 2023).

A classifier's weights answer to what tells its class from others. Here the features of a class are clustered, so that
its less telling parts get centres of their own, and so do its surroundings. A map says how much more the features at a
position resemble the former than the latter. Nothing is trained; the prototypes come from the run's own classifier.

Four steps, each a function: `collect_image` for every image, merged by `merge_features` (`feature_sample.py`);
`cluster_features` and `select_prototypes` for every class; `prototype_score_maps` for every image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.feature_sample import (
    CAPACITY,
    SHOWN_THRESHOLD,
    ClassFeatures,
    FeatureSample,
    collect_features,
)
from weakseg.localize.score_maps import CAM_SCALES, flip_pair, merge_flip_pair, score_views, smooth_maps, tagged_classes
from weakseg.models.classifier import Classifier
from weakseg.models.modes import evaluating
from weakseg.ops.images import normalise, require_image
from weakseg.ops.kinds import require_array, require_tensor
from weakseg.types import NORMALISATION_EPS, ScoreMaps

NUM_CLUSTERS = 12
"""Centres of a class and of its context on VOC; 20 on COCO."""

CLASS_SCORE = 0.9
"""A centre whose score for its class exceeds this is a prototype of the class."""

CONTEXT_SCORES = (0.05, 0.9)
"""A centre of the context whose score for the class lies between these is a prototype of the context; COCO: 0, 0.5."""

_RESTARTS = 4
_COSINE_EPS = 1e-8


@dataclass(frozen=True, eq=False)
class Prototypes:
    """What a class looks like, and what its surroundings look like.

    Args:
        shown: (P, D) float32; P is 0 for a class that no image shows.
        context: (Q, D) float32; Q may be 0.

    Raises:
        ShapeError: If the arrays are not that.
    """

    shown: NDArray[np.float32]
    context: NDArray[np.float32]

    def __post_init__(self) -> None:
        for vectors, what in ((self.shown, "shown"), (self.context, "context")):
            require_array(vectors, what)
            if vectors.ndim != 2 or vectors.dtype != np.float32:
                raise ShapeError(f"{what}: expected prototypes (P, D) float32, got {vectors.dtype} {vectors.shape}")
        if self.shown.shape[1] != self.context.shape[1]:
            raise ShapeError(
                f"prototypes of the class have {self.shown.shape[1]} channels, those of the context "
                f"{self.context.shape[1]}"
            )


def collect_image(
    classifier: Classifier,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    *,
    image_id: str,
    seed: int,
    capacity: int = CAPACITY,
    threshold: float = SHOWN_THRESHOLD,
) -> Mapping[int, ClassFeatures]:
    """Sample the features of one image where the classifier's own maps say.

    The released code takes the maps of four scales, found before; here those of the image and its mirror image at
    scale 1 do, which costs an eighth of it. The features are those of the unmirrored image, as released.

    Args:
        classifier: The network; it runs in evaluation mode without gradients and gets its modes back.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype.
        image_id: As for `collect_features`, like all that follow.
        seed: Seed of the sampling.
        capacity: The most positions to keep per class and kind.
        threshold: What tells the class from its context.

    Returns:
        The samples by class index, on the CPU; none for an image without tags, which costs no network pass.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8 or the tags are not (C,) of 0 and 1.
        ConfigError: If the capacity is below 1.
    """
    require_image(image)
    keys = tagged_classes(tags, num_classes=classifier.num_classes)
    if not keys:
        return {}
    with torch.no_grad(), evaluating(classifier):
        views = flip_pair(normalise(image).to(classifier.classifier.weight.device))
        features = classifier.backbone.tail(classifier.trunk(views))
        maps = merge_flip_pair(classifier.classifier(features)[:, list(keys)]).float()
    maps = maps / (maps.amax(dim=(1, 2), keepdim=True) + NORMALISATION_EPS)
    return collect_features(
        features[0], maps, keys, image_id=image_id, seed=seed, capacity=capacity, threshold=threshold
    )


def cluster_features(sample: FeatureSample, *, num_clusters: int = NUM_CLUSTERS, seed: int) -> NDArray[np.float32]:
    """Cluster features by direction.

    scikit-learn's k-means on unit vectors, the best of four starts; the released code stops its own after a few rounds.
    A centre is the mean of its features as they are, not of their unit vectors: the classifier has to score it.

    Args:
        sample: The features; equal samples give equal centres on one installation. Not modified.
        num_clusters: Number of centres, 1 or more.
        seed: Seed of the starts, 0 or more.

    Returns:
        (P, D) float32; P is the number of clusters, or of different directions if there are fewer.

    Raises:
        ConfigError: If the number of clusters is below 1.
    """
    from sklearn.cluster import KMeans  # takes a second that `--help` need not wait

    if num_clusters < 1:
        raise ConfigError(f"num_clusters: expected 1 or more, got {num_clusters}")
    values = sample.features.astype(np.float32)
    units = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _COSINE_EPS)
    distinct = len(np.unique(units, axis=0))
    if distinct == 0:
        return values
    k_means = KMeans(n_clusters=min(num_clusters, distinct), n_init=_RESTARTS, random_state=seed)
    clusters = k_means.fit_predict(units)
    return np.stack([values[clusters == cluster].mean(axis=0) for cluster in np.unique(clusters)])


def select_prototypes(
    shown: NDArray[np.float32],
    context: NDArray[np.float32],
    weight: Tensor,
    key: int,
    *,
    class_score: float = CLASS_SCORE,
    context_scores: tuple[float, float] = CONTEXT_SCORES,
) -> Prototypes:
    """Keep the centres that the classifier takes for the class, and those of the context that it is in doubt about.

    A centre's score is the softmax over all classes of what the classifier's 1x1 convolution makes of it. Where no
    centre of the class scores high enough, the one that scores highest is kept; the released code fails then. Where no
    centre of the context is in doubt, all are kept, since a map without context shows half the image: so it is with one
    class alone, whose scores are all 1.

    Args:
        shown: (P, D) float32 centres of the class, from `cluster_features`. Not modified.
        context: (Q, D) float32 centres of its context. Not modified.
        weight: (C, D) or (C, D, 1, 1) float, the weight of the 1x1 convolution. Not modified.
        key: The class index.
        class_score: Centres of the class score above this, 0..1.
        context_scores: Centres of the context score above the first and below the second, 0..1.

    Returns:
        The prototypes of the class.

    Raises:
        ShapeError: If the weight is not that of a 1x1 convolution, the centres have other lengths, or there is no such
            class.
        ConfigError: If the scores are not within 0..1 and in order.
    """
    low, high = context_scores
    if not (0 <= class_score <= 1 and 0 <= low <= high <= 1):
        raise ConfigError(f"expected scores in 0..1 and in order, got {class_score} and {context_scores}")
    require_tensor(weight, "weight")
    if weight.shape[2:] not in ((), (1, 1)) or weight.ndim < 2 or not 0 <= key < weight.shape[0]:
        raise ShapeError(f"expected the weight (C, D) of a classifier of class {key}, got {tuple(weight.shape)}")
    centres = Prototypes(shown=shown, context=context)
    if weight.shape[1] != shown.shape[1]:
        raise ShapeError(f"expected centres of {weight.shape[1]} channels, got {shown.shape[1]}")
    matrix = weight.detach().flatten(1).float().cpu()

    def score(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = (torch.from_numpy(vectors) @ matrix.T).softmax(dim=1)[:, key].numpy()
        return scores

    class_scores, doubts = score(centres.shown), score(centres.context)
    kept = class_scores > class_score
    if len(kept) and not kept.any():
        kept[class_scores.argmax()] = True
    doubted = (doubts > low) & (doubts < high)
    return Prototypes(shown=shown[kept], context=context[doubted] if doubted.any() else context)


def prototype_maps(features: Tensor, prototypes: Sequence[Prototypes]) -> Tensor:
    """Compare features with prototypes: mean cosine to those of the class, less that to those of its context.

    Args:
        features: (D, h, w) float. Not modified.
        prototypes: Those of K classes; K may be 0.

    Returns:
        (K, h, w) in 0..2, in the dtype and on the device of `features`, rectified (as released wherever there is
        context); 0 for a class without prototypes. Differentiable by the features.

    Raises:
        ShapeError: If the features are not (D, h, w) float, or of another length than the prototypes.
    """
    require_tensor(features, "features")
    if features.ndim != 3 or not features.is_floating_point():
        raise ShapeError(f"expected float features (D, h, w), got {features.dtype} {tuple(features.shape)}")
    for own in prototypes:
        if own.shown.shape[1] != features.shape[0]:
            raise ShapeError(f"expected features of {own.shown.shape[1]} channels, got {features.shape[0]}")
    if not prototypes:
        return features.new_zeros(0, *features.shape[1:])
    # A mean of cosines is one scalar product, with the mean of the unit vectors.
    directions = torch.from_numpy(np.stack([_direction(own) for own in prototypes])).to(features)
    units = torch.nn.functional.normalize(features, dim=0, eps=_COSINE_EPS)
    return torch.einsum("kd,dhw->khw", directions, units).relu()


def prototype_score_maps(
    classifier: Classifier,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    prototypes: Mapping[int, Prototypes],
    *,
    scales: Sequence[float] = CAM_SCALES,
    similarity_temperature: float | None = None,
) -> ScoreMaps:
    """Compute the LPCAM of an image's own tags, in the time of a CAM.

    As released, the features of both mirror images are added before they are compared, and the maps summed over the
    scales.

    Args:
        classifier: The network; it runs in evaluation mode without gradients and gets its modes back. The maps are
            computed on, and stay on, the device of its parameters.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        prototypes: Those of the classes, by class index; a class without gets maps of 0.
        scales: Factors the image is resized by (bicubic, size rounded half to even).
        similarity_temperature: Each map is averaged over the places that look alike in the trunk's features
            (`weakseg.ops.similarity.average_over_similar`), less its minimum. None, as released, leaves it as it is.

    Returns:
        One (K, h_s, w_s) float32 map stack per scale, in 0..2, for the K tagged classes in ascending order.
        An image without tags costs no network pass and gives maps with K = 0.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, a scale is not above 0, or
            the prototypes are of another network.
    """
    nothing = np.zeros((0, classifier.classifier.in_channels), np.float32)

    def score(views: Tensor, keys: tuple[int, ...]) -> Tensor:
        seen = classifier.trunk(views)
        features = classifier.backbone.tail(seen)
        own = [prototypes.get(key, Prototypes(nothing, nothing)) for key in keys]
        compared = prototype_maps(features[0] + features[1].flip(-1), own)
        return smooth_maps(compared, seen, similarity_temperature)

    return score_views(classifier, image, tags, scales=scales, score=score)


def _direction(prototypes: Prototypes) -> NDArray[np.float32]:
    """Return the vector (D,) whose product with a unit vector is the difference of the mean cosines."""
    if not len(prototypes.shown):
        return np.zeros(prototypes.shown.shape[1], np.float32)
    means = [
        (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _COSINE_EPS)).mean(axis=0)
        for vectors in (prototypes.shown, prototypes.context)
        if len(vectors)
    ]
    direction: NDArray[np.float32] = means[0] - means[1] if len(means) > 1 else means[0]
    return direction
