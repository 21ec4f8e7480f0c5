"""Cases of networks and prediction: what comes out of a network, and what is made of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.device.cases import CaseTable, normal
from tests.device.made_networks import CRF, IMAGE, TAGS, open_classifier, open_hf_classifier, open_seam, open_segmenter
from tests.tiny import make_classifier
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.checkpoints import as_tensors, fit_state
from weakseg.models.deeplab import build_segmenter, fuse_scales
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
from weakseg.models.tiling import Tiling
from weakseg.ops.images import normalise

NETWORKS = CaseTable()


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
