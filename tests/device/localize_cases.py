"""Cases of localisation: score maps, and the adaptation of a classifier to an image."""

from __future__ import annotations

from typing import Literal

import torch

from tests.device.cases import CaseTable, normal, uniform
from tests.device.made_networks import IMAGE, KEYS, TAGS, open_classifier, open_seam
from weakseg.localize.adaptation import borrowed
from weakseg.localize.cam import flip_pair, merge_flip_pair, score_maps, smooth_maps, smooth_score_maps, tagged_classes
from weakseg.localize.rib import RIBResult, adapt
from weakseg.localize.score_maps import score_views
from weakseg.localize.seam import refined_score_maps
from weakseg.types import ScoreMaps

LOCALIZING = CaseTable()


@LOCALIZING.about(ScoreMaps)
def seeds(device: torch.device) -> object:
    maps = ScoreMaps(KEYS, (uniform(2, 4, 6).to(device), uniform(2, 8, 11).to(device)), (29, 42))
    empty = ScoreMaps((), (uniform(0, 4, 6).to(device),), (29, 42))
    return [maps.strided(4), maps.full(), empty.strided(4), empty.full()]


@LOCALIZING.about(score_maps, flip_pair, merge_flip_pair, score_views, tagged_classes, smooth_maps)
def class_activation_maps(device: torch.device) -> object:
    classifier = open_classifier(device)
    found = [score_maps(classifier, IMAGE, tags.to(device), scales=(1.0, 0.5)) for tags in (TAGS, 0 * TAGS)]
    smoothed = score_maps(classifier, IMAGE, TAGS, similarity_temperature=0.1)
    return [found, smoothed, score_maps(classifier, IMAGE, TAGS.numpy())]


@LOCALIZING.about(smooth_score_maps)
def maps_smoothed_afterwards(device: torch.device) -> object:
    classifier, scales = open_classifier(device), (1.0, 0.5)
    maps = score_maps(classifier, IMAGE, TAGS, scales=scales)
    return smooth_score_maps(classifier, IMAGE, [maps, maps], scales=scales, similarity_temperature=0.1)


@LOCALIZING.about(refined_score_maps)
def maps_of_seam(device: torch.device) -> object:
    return [refined_score_maps(open_seam(device), IMAGE, tags.to(device)) for tags in (TAGS, 0 * TAGS)]


def adapt_to_image(
    device: torch.device,
    *,
    partners_device: torch.device | None = None,
    variant: Literal["released", "paper"] = "released",
    logit_stop: float = 600.0,
    area_ratio: float = 1.0,
    max_partners_at_once: int | None = None,
    first_classes: int | None = None,
    channels_last: bool = False,
) -> object:
    """Adapt a classifier, and return with the result the sums on the way and the weights afterwards."""
    classifier, sums = open_classifier(device), list[ScoreMaps]()
    drawn = ((normal(3, 3, 24, 24, seed=seed), torch.tensor([[0.0, 1.0, 0.0]] * 3)) for seed in range(3))
    partners = [tuple(tensor.to(partners_device or device) for tensor in batch) for batch in drawn]
    result: RIBResult = adapt(
        classifier,
        IMAGE,
        TAGS.to(device),
        partners,
        iterations=3,
        lr=1e-3,
        scales=(1.0, 0.5, 1.5),
        variant=variant,
        logit_stop=logit_stop,
        area_ratio=area_ratio,
        max_partners_at_once=max_partners_at_once,
        first_classes=first_classes,
        channels_last=channels_last,
        after_iteration=sums.append,
    )
    return [result, sums, dict(classifier.state_dict())]


@LOCALIZING.about(adapt, borrowed)
def adaptation(device: torch.device) -> object:
    return adapt_to_image(device)


@LOCALIZING.about(adapt)
def adaptation_with_partners_on_the_cpu(device: torch.device) -> object:
    return adapt_to_image(device, partners_device=torch.device("cpu"), max_partners_at_once=2)


@LOCALIZING.about(adapt)
def adaptation_of_the_paper(device: torch.device) -> object:
    return adapt_to_image(device, variant="paper", logit_stop=0.5, channels_last=True)


@LOCALIZING.about(adapt)
def adaptation_stopped_by_its_logits(device: torch.device) -> object:
    return adapt_to_image(device, logit_stop=0.0, first_classes=2)


@LOCALIZING.about(adapt)
def adaptation_stopped_by_its_area(device: torch.device) -> object:
    return adapt_to_image(device, area_ratio=0.0)


@LOCALIZING.about(adapt)
def adaptation_without_tags(device: torch.device) -> object:
    return adapt(open_classifier(device), IMAGE, 0 * TAGS.to(device), [])
