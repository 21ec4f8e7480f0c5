"""Cases of localisation, refinement and prediction: what calls a network, or works on what networks gave."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from tests.device.cases import CaseTable, normal, uniform
from tests.refine.threshold.cutting import make_cuts, square
from tests.tiny import make_classifier, make_segmenter
from tests.tiny_networks import BACKBONES
from weakseg.localize.adaptation import borrowed
from weakseg.localize.cam import flip_pair, merge_flip_pair, score_maps, smooth_maps, smooth_score_maps, tagged_classes
from weakseg.localize.rib import RIBResult, adapt
from weakseg.localize.score_maps import score_views
from weakseg.localize.seam import refined_score_maps
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.checkpoints import as_tensors, fit_state
from weakseg.models.classifier import Classifier
from weakseg.models.deeplab import Segmenter, build_segmenter, fuse_scales
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_source import InputFormat
from weakseg.models.inference import (
    label_views,
    mean_view,
    most_probable,
    predict_labels,
    predict_probabilities,
    probabilities_of_views,
)
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.models.predictor import TorchNetwork, Views, choose_labels, predict_views
from weakseg.models.randomness import seeded_draws
from weakseg.models.seam import SEAM, build_seam
from weakseg.models.tiling import Tiling
from weakseg.ops.crf_settings import DEEPLAB_CRF, PSA_CRF
from weakseg.ops.images import normalise
from weakseg.refine.crf import require_maps_of_image
from weakseg.refine.instances import cut_maps, find_instances
from weakseg.refine.irn import irn_mask, walked_maps
from weakseg.refine.psa import AffinityWalk, psa_mask, psa_scores, walked_scores
from weakseg.refine.threshold.masking import score_confidence
from weakseg.types import ScoreMaps

NETWORKS = CaseTable()

IMAGE = np.random.default_rng(0).integers(0, 256, (29, 42, 3), dtype=np.uint8)
GRID_HW = (8, 11)
"""Of the image at stride 4."""

TAGS = torch.tensor([1, 0, 1])
KEYS = (0, 2)
CRF = replace(DEEPLAB_CRF, iterations=2)


def open_classifier(device: torch.device) -> Classifier:
    network = make_classifier()
    # With the small weights of a fresh classifier all scores would be close to 0.
    torch.nn.init.normal_(network.classifier.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    return network.to(device)


def open_hf_classifier(name: str, device: torch.device) -> Classifier:
    info = {"transformers": {"config": BACKBONES[name], "input_format": InputFormat().to_json()}}
    with seeded_draws(torch.device("cpu"), 0):
        backbone = rebuild_hf_backbone(info, fixed_norm=True, where="a test")
    generator = torch.Generator().manual_seed(1)
    classifier = Classifier(backbone, num_classes=3, freeze_trunk=True, generator=generator)
    torch.nn.init.normal_(classifier.classifier.weight, std=0.3, generator=generator)
    return classifier.to(device)


def open_seam(device: torch.device) -> SEAM:
    generator = torch.Generator().manual_seed(0)
    network = build_seam("critter38", num_classes=3, freeze_trunk=False, fixed_norm=False, generator=generator)
    return network.to(device).eval()


def open_segmenter(device: torch.device) -> Segmenter:
    network = make_segmenter()
    for branch in network.aspp.branches:  # with small weights all labels are equally likely, and rounding decides
        torch.nn.init.normal_(branch.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    return network.to(device)


# Localisation.


@NETWORKS.about(ScoreMaps)
def seeds(device: torch.device) -> object:
    maps = ScoreMaps(KEYS, (uniform(2, 4, 6).to(device), uniform(2, 8, 11).to(device)), (29, 42))
    empty = ScoreMaps((), (uniform(0, 4, 6).to(device),), (29, 42))
    return [maps.strided(4), maps.full(), empty.strided(4), empty.full()]


@NETWORKS.about(score_maps, flip_pair, merge_flip_pair, score_views, tagged_classes, smooth_maps)
def class_activation_maps(device: torch.device) -> object:
    classifier = open_classifier(device)
    found = [score_maps(classifier, IMAGE, tags.to(device), scales=(1.0, 0.5)) for tags in (TAGS, 0 * TAGS)]
    smoothed = score_maps(classifier, IMAGE, TAGS, similarity_temperature=0.1)
    return [found, smoothed, score_maps(classifier, IMAGE, TAGS.numpy())]


@NETWORKS.about(smooth_score_maps)
def maps_smoothed_afterwards(device: torch.device) -> object:
    classifier, scales = open_classifier(device), (1.0, 0.5)
    maps = score_maps(classifier, IMAGE, TAGS, scales=scales)
    return smooth_score_maps(classifier, IMAGE, [maps, maps], scales=scales, similarity_temperature=0.1)


@NETWORKS.about(refined_score_maps)
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


@NETWORKS.about(adapt, borrowed)
def adaptation(device: torch.device) -> object:
    return adapt_to_image(device)


@NETWORKS.about(adapt)
def adaptation_with_partners_on_the_cpu(device: torch.device) -> object:
    return adapt_to_image(device, partners_device=torch.device("cpu"), max_partners_at_once=2)


@NETWORKS.about(adapt)
def adaptation_of_the_paper(device: torch.device) -> object:
    return adapt_to_image(device, variant="paper", logit_stop=0.5, channels_last=True)


@NETWORKS.about(adapt)
def adaptation_stopped_by_its_logits(device: torch.device) -> object:
    return adapt_to_image(device, logit_stop=0.0, first_classes=2)


@NETWORKS.about(adapt)
def adaptation_stopped_by_its_area(device: torch.device) -> object:
    return adapt_to_image(device, area_ratio=0.0)


@NETWORKS.about(adapt)
def adaptation_without_tags(device: torch.device) -> object:
    return adapt(open_classifier(device), IMAGE, 0 * TAGS.to(device), [])


# Refinement.


@NETWORKS.about(walked_maps, irn_mask)
def walk_of_irn(device: torch.device) -> object:
    maps, edge = uniform(2, *GRID_HW).to(device), uniform(*GRID_HW).to(device)
    walked = walked_maps(maps, edge, image_size_hw=(29, 42), doublings=3, seed_power=1.3)
    none = walked_maps(maps[:0], edge, image_size_hw=(29, 42))
    return [walked, none, irn_mask(maps, KEYS, edge, image_size_hw=(29, 42), background=0.4, doublings=3)]


@NETWORKS.about(walked_maps)
def walk_of_irn_from_a_seed_on_the_cpu(device: torch.device) -> object:
    return walked_maps(uniform(2, *GRID_HW), uniform(*GRID_HW).to(device), image_size_hw=(29, 42), doublings=3)


@NETWORKS.about(find_instances, cut_maps)
def instances_of_irn(device: torch.device) -> object:
    maps, edge, field = uniform(2, *GRID_HW), 0.2 * uniform(*GRID_HW), 0.5 * normal(2, *GRID_HW)
    parts = torch.stack((edge > 0.1, edge <= 0.1))
    found = find_instances(
        maps.to(device), KEYS, edge.to(device), field.to(device), size_hw=(29, 42), doublings=3, keep_fragments=True
    )
    assert len(found.keys) > 1
    return [cut_maps(maps.to(device), parts.to(device)), found]


@NETWORKS.about(walked_scores, psa_scores, psa_mask, require_maps_of_image)
def walk_of_psa(device: torch.device) -> object:
    maps, features = uniform(2, 41, 74).to(device), normal(5, 6, 10).to(device)
    image = np.random.default_rng(1).integers(0, 256, (41, 74, 3), dtype=np.uint8)
    walk, weak = AffinityWalk(doublings=3), AffinityWalk(doublings=3, alpha=2.0)
    return [
        walked_scores(maps, KEYS, features, walk=walk),
        psa_scores(maps, KEYS, features, walk=walk),
        psa_mask(maps, KEYS, features, image=image, walk=weak, settings=replace(PSA_CRF, iterations=2)),
    ]


@NETWORKS.about(score_confidence)
def confidence_in_cuts(device: torch.device) -> object:
    cuts = make_cuts(IMAGE, [square((29, 42), margin) for margin in (2, 5, 9)])
    return score_confidence(open_classifier(device).eval(), cuts)


# Networks and prediction.


@NETWORKS.about(as_tensors, fit_state)
def tensors_of_a_checkpoint(device: torch.device) -> object:
    """They come to the CPU, whatever device they were on, and fill a network that is elsewhere."""
    tensors = as_tensors(open_classifier(device).state_dict(), where="a network")
    filled = make_classifier(seed=3).to(device)
    fit_state(filled, tensors, where="a network")
    return [{name: value.numpy() for name, value in tensors.items()}, dict(filled.state_dict())]


@NETWORKS.about()
def edges_and_displacements(device: torch.device) -> object:
    irnet = build_irnet("critter", generator=torch.Generator().manual_seed(0)).to(device)
    irnet.mean_displacement.fill_(0.5)
    return [irnet.infer(normalise(IMAGE)), irnet.infer(normalise(IMAGE).to(device), crop_size=48)]


@NETWORKS.about()
def maps_and_stages_of_backbones_of_transformers(device: torch.device) -> object:
    found = []
    for name in ("convnext", "dinov2"):
        classifier = open_hf_classifier(name, device)
        partners = [(normal(2, 3, 24, 24, seed=seed).to(device), torch.tensor([[0, 1, 0]] * 2)) for seed in range(2)]
        found += [
            score_maps(classifier, IMAGE, TAGS.to(device), scales=(1.0, 0.5)),
            adapt(classifier, IMAGE, TAGS.to(device), partners, iterations=2, lr=1e-3, scales=(1.0,)),
            IRNet(classifier.backbone, generator=torch.Generator().manual_seed(0)).to(device).infer(normalise(IMAGE)),
        ]
    return found


@NETWORKS.about()
def maps_of_seam_as_documented(device: torch.device) -> object:
    images = normal(2, 3, 24, 33).to(device)
    with torch.no_grad():
        return open_seam(device).maps(images)


@NETWORKS.about()
def features_of_affinitynet(device: torch.device) -> object:
    generator = torch.Generator().manual_seed(0)
    network = build_affinitynet("critter38", freeze_trunk=True, fixed_norm=True, generator=generator).to(device)
    return network(normal(2, 3, 24, 33).to(device)).detach()


@NETWORKS.about(fuse_scales)
def logits_of_three_scales(device: torch.device) -> object:
    generator = torch.Generator().manual_seed(0)
    network = build_segmenter(
        "critter", num_labels=4, aspp_rates=(1, 2), fixed_norm=False, multi_scale=(0.75, 0.5), generator=generator
    )
    return network.to(device)(normal(2, 3, 24, 33).to(device)).detach()


@NETWORKS.about(predict_labels, predict_probabilities, probabilities_of_views)
def labels_of_an_image(device: torch.device) -> object:
    segmenter = open_segmenter(device)
    views = probabilities_of_views(segmenter, IMAGE, scales=(1.0, 0.5), flip=True)
    return [
        views,
        predict_probabilities(segmenter, IMAGE, scales=(1.0, 0.5), flip=True),
        predict_labels(segmenter, IMAGE, max_side_px=33),
        predict_labels(segmenter, IMAGE, scales=(1.0, 0.5), flip=True, crf=CRF),
    ]


@NETWORKS.about(label_views, mean_view, most_probable)
def labels_of_views(device: torch.device) -> object:
    views = [(3 * normal(4, *size_hw)).softmax(dim=0).to(device) for size_hw in ((4, 6), (2, 3))]
    return [
        mean_view(views, (29, 42)),
        most_probable(views, [0, 1, 2, 3], (29, 42)),
        label_views(views, IMAGE, (29, 42), crf=None, allowed=(0, 3)),
        label_views(views, IMAGE, (29, 42), crf=CRF, allowed=(1, 2, 3)),
    ]


@NETWORKS.about(predict_views, choose_labels)
def labels_from_tiles(device: torch.device) -> object:
    image = np.random.default_rng(2).integers(0, 256, (45, 90, 3), dtype=np.uint8)
    views = Views(scales=(1.0, 0.5), flip=True, crf=CRF)
    network = TorchNetwork(open_segmenter(device))
    maps = predict_views(network, [image, image[::-1]], views=views, tiling=Tiling(64, 32), batch=2)
    plain = dataclasses.replace(views, crf=None)
    return [maps, choose_labels(maps[0], image, views=views), choose_labels(maps[1], image, views=plain)]
