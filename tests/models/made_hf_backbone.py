"""Tiny backbones of `transformers`, and classifiers on them."""

from pathlib import Path

import torch
from torch import nn

from tests.tiny_networks import write_config
from weakseg.files import JsonValue
from weakseg.models.classifier import Classifier
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.hf_backbone_build import build_hf_backbone
from weakseg.models.hf_source import NetworkSource


def find(path: Path) -> NetworkSource:
    return NetworkSource(config=path, folder=None, origin=str(path))


def build(folder: Path, values: dict[str, JsonValue], *, seed: int = 0, fixed_norm: bool = True) -> HFBackbone:
    path = write_config(folder / "config.json", values)
    generator = torch.Generator().manual_seed(seed)
    return build_hf_backbone(find(path), pretrained=False, fixed_norm=fixed_norm, generator=generator)[0]


def open_classifier(backbone: HFBackbone, *, num_classes: int = 3, freeze_trunk: bool = True) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    classifier = Classifier(backbone, num_classes=num_classes, freeze_trunk=freeze_trunk, generator=generator)
    nn.init.normal_(classifier.classifier.weight, std=0.3, generator=generator)
    return classifier
