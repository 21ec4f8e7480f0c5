"""Cases of localisers and refiners that are functions of tensors, or of networks made here."""

from __future__ import annotations

import numpy as np
import torch

from tests.device.cases import CaseTable, normal, uniform, with_gradients
from tests.tiny import make_classifier
from tests.tiny_clip import LENGTH, make_clip
from weakseg.localize.clip_es import attention_refine, grad_cam
from weakseg.localize.feature_sample import collect_features, sample_positions
from weakseg.localize.frame import fit_frame
from weakseg.localize.prototypes import (
    Prototypes,
    collect_image,
    prototype_maps,
    prototype_score_maps,
    select_prototypes,
)
from weakseg.refine.pixel_adaptive import pixel_adaptive, spread_seed

METHODS = CaseTable()

IMAGE = np.random.default_rng(0).integers(0, 256, (29, 42, 3), dtype=np.uint8)


def make_prototypes(length: int) -> Prototypes:
    rng = np.random.default_rng(0)
    return Prototypes(rng.random((3, length), np.float32), rng.random((2, length), np.float32))


@METHODS.about(pixel_adaptive)
def pixel_adaptive_maps(device: torch.device) -> object:
    return with_gradients(
        lambda image, maps: pixel_adaptive(image, maps, dilations=(1, 3), iterations=2),
        uniform(3, 5, 8).to(device),
        uniform(2, 5, 8, seed=1).to(device),
    )


@METHODS.about(sample_positions, collect_features)
def samples_of_features(device: torch.device) -> object:
    maps = uniform(2, 5, 8, seed=1).to(device)
    return collect_features(uniform(3, 5, 8).to(device), maps, (0, 4), image_id="a", seed=0, threshold=0.5)


@METHODS.about(collect_image, prototype_score_maps)
def prototypes_of_an_image(device: torch.device) -> object:
    classifier, tags = make_classifier().to(device), torch.tensor([1, 0, 1])
    features = collect_image(classifier, IMAGE, tags, image_id="a", seed=0)
    prototypes = {0: make_prototypes(classifier.classifier.in_channels)}
    maps = prototype_score_maps(classifier, IMAGE, tags, prototypes, scales=(1.0, 0.5))
    return [maps.scales, [sorted(features), features[2].context.priorities.astype(float).mean()]]


@METHODS.about(select_prototypes, prototype_maps)
def maps_from_prototypes(device: torch.device) -> object:
    own = make_prototypes(4)
    kept = select_prototypes(own.shown, own.context, uniform(3, 4).to(device), 1, context_scores=(0, 1))
    return [prototype_maps(uniform(4, 5, 7).to(device), [own]), kept]


@METHODS.about(grad_cam, attention_refine)
def maps_of_clip(device: torch.device) -> object:
    clip, image, texts = make_clip().to(device), normal(1, 3, 12, 20).to(device), normal(4, LENGTH, seed=1).to(device)
    maps, attention = grad_cam(clip, image, texts, num_tags=2)
    return [maps, attention, attention_refine(uniform(2, 3, 5).to(device), attention)]


@METHODS.about(fit_frame)
def maps_fitted_to_a_frame(device: torch.device) -> object:
    return with_gradients(lambda maps: fit_frame(maps, (29, 42)), uniform(2, 4, 5).to(device))


@METHODS.about(spread_seed)
def seeds_spread_by_par(device: torch.device) -> object:
    maps = uniform(2, *IMAGE.shape[:2])
    # It goes back to the CPU, where masks are cut.
    return spread_seed(IMAGE, maps, dilations=(1, 3), iterations=2, device=device).numpy()
