"""An image, its tags, and small networks on a given device, for the cases that call a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.tiny import make_classifier, make_segmenter
from tests.tiny_networks import BACKBONES
from weakseg.models.classifier import Classifier
from weakseg.models.deeplab import Segmenter
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_source import InputFormat
from weakseg.models.randomness import seeded_draws
from weakseg.models.seam import SEAM, build_seam
from weakseg.ops.crf_settings import DEEPLAB_CRF

IMAGE = np.random.default_rng(0).integers(0, 256, (29, 42, 3), dtype=np.uint8)
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
