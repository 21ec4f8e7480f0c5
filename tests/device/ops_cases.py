"""Cases of `weakseg.ops`: everything that takes tensors, with gradients where it is differentiable."""

from __future__ import annotations

import torch

from tests.device.cases import CaseTable, labels, normal, uniform, with_gradients
from weakseg.ops.affinity import affinity_displacement_losses, feature_affinity, path_affinity
from weakseg.ops.equivariance import (
    adaptive_min_pooling_loss,
    compete,
    cross_equivariance_loss,
    equivariance_loss,
    normalise_maps,
)
from weakseg.ops.gradient_ratio import high_gradient_ratio, normalise_gradients
from weakseg.ops.losses import multilabel_soft_margin
from weakseg.ops.paths import other_ends, path_minima
from weakseg.ops.pooling import gap, gndrp
from weakseg.ops.similarity import average_over_similar
from weakseg.ops.walk import affinity_walk, random_walk, walk_maps

OPS = CaseTable()

MAPS = (2, 3, 5, 7)
TAGS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])


@OPS.about(gap)
def averages(device: torch.device) -> object:
    return with_gradients(gap, normal(*MAPS).to(device))


@OPS.about(gap, gndrp)
def averages_of_no_position(device: torch.device) -> object:
    return gndrp(normal(2, 3, 0, 7).to(device), TAGS.to(device), threshold=0.4)


@OPS.about(gndrp)
def released_pooling(device: torch.device) -> object:
    tags = TAGS.to(device)
    return with_gradients(lambda scores: gndrp(scores, tags, threshold=0.4, first_classes=2), normal(*MAPS).to(device))


@OPS.about(gndrp)
def pooling_of_the_paper(device: torch.device) -> object:
    tags = TAGS.to(device)
    return with_gradients(
        lambda scores: gndrp(scores, tags, threshold=0.4, average_over="kept"), normal(*MAPS).to(device)
    )


@OPS.about(path_affinity, path_minima)
def affinities_along_paths(device: torch.device) -> object:
    return with_gradients(lambda edge: path_affinity(edge, radius=4), uniform(2, 9, 12).to(device))


@OPS.about(feature_affinity, other_ends)
def affinities_of_features(device: torch.device) -> object:
    return with_gradients(lambda features: feature_affinity(features, radius=3), normal(2, 4, 6, 9).to(device))


@OPS.about(feature_affinity)
def affinities_without_pairs(device: torch.device) -> object:
    return feature_affinity(normal(1, 2, 4, 5).to(device), radius=1)


@OPS.about(affinity_displacement_losses)
def losses_of_irn(device: torch.device) -> object:
    known = labels(3, 2, 8, 11).to(device)
    return with_gradients(
        lambda edge, field: affinity_displacement_losses(edge, field, known, radius=4, num_labels=3),
        uniform(2, 8, 11).to(device),
        normal(2, 2, 8, 11).to(device),
    )


@OPS.about(random_walk)
def walk_between_edges(device: torch.device) -> object:
    return random_walk(uniform(3, 7, 9).to(device), uniform(7, 9, seed=1).to(device), radius=3, doublings=3)


@OPS.about(random_walk, walk_maps)
def walk_of_no_map(device: torch.device) -> object:
    return random_walk(uniform(0, 7, 9).to(device), uniform(7, 9).to(device), radius=3, doublings=3)


@OPS.about(affinity_walk)
def walk_along_features(device: torch.device) -> object:
    return affinity_walk(uniform(3, 7, 9).to(device), normal(4, 7, 9).to(device), radius=3, doublings=3)


@OPS.about(walk_maps)
def walk_along_affinities(device: torch.device) -> object:
    return walk_maps(uniform(2, 5, 6).to(device), uniform(12, 5, 6).to(device), radius=3, doublings=2)


@OPS.about(normalise_maps, compete)
def competition_of_maps(device: torch.device) -> object:
    return with_gradients(lambda scores: compete(normalise_maps(scores)), normal(*MAPS).to(device))


@OPS.about(equivariance_loss, cross_equivariance_loss, adaptive_min_pooling_loss)
def losses_of_seam(device: torch.device) -> object:
    other = normal(*MAPS, seed=1).to(device)
    return with_gradients(
        lambda maps: [
            equivariance_loss(maps, other),
            cross_equivariance_loss(maps, other, hardest_share=0.2),
            adaptive_min_pooling_loss(maps, lowest_share=0.3),
        ],
        normal(*MAPS).to(device),
    )


@OPS.about(multilabel_soft_margin)
def loss_of_tags(device: torch.device) -> object:
    known = torch.tensor([[True, False, True], [False, False, False]])
    return with_gradients(
        lambda logits: multilabel_soft_margin(logits, TAGS.to(device), known.to(device)), normal(2, 3).to(device)
    )


@OPS.about(normalise_gradients, high_gradient_ratio)
def ratio_of_high_gradients(device: torch.device) -> object:
    maps = normalise_gradients(normal(2, 4, 5).to(device))
    return [maps, high_gradient_ratio(maps, (uniform(2, 4, 5, seed=1) > 0.4).to(device))]


@OPS.about(average_over_similar)
def averages_over_similar_places(device: torch.device) -> object:
    return with_gradients(
        lambda maps, features: average_over_similar(maps, features, temperature=0.2),
        uniform(2, 4, 5).to(device),
        normal(3, 8, 11, seed=1).to(device),
    )
