"""A backbone that brings what builds it needs one file and one line: settings, networks and terms follow."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from weakseg.config.load import build_config
from weakseg.errors import ConfigError
from weakseg.models.backbone import Backbone
from weakseg.models.classifier import build_classifier
from weakseg.models.deeplab import build_segmenter
from weakseg.models.irnet import build_irnet
from weakseg.models.licences import describe_terms
from weakseg.models.registered import RegisteredBackbone, locate_registered, registered_names
from weakseg.models.resnet import build_backbone
from weakseg.registry import BUILT_IN, _find_entries


def build_dwarf(dense: bool, fixed_norm: bool, generator: torch.Generator | None) -> Backbone:
    return build_backbone("critter", dense=dense, fixed_norm=fixed_norm, generator=generator)


DWARF = RegisteredBackbone(
    name="dwarf",
    summary="a critter by another name",
    source="the dwarves' release",
    licence="CC0-1.0",
    build=build_dwarf,
    find_imagenet=lambda: Path("dwarf.pth"),
)


@pytest.fixture
def dwarf(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Register it as one of ours; returns its name."""
    ours = BUILT_IN["weakseg.backbones"] | {"dwarf": f"{__name__}:DWARF"}
    monkeypatch.setitem(BUILT_IN, "weakseg.backbones", ours)
    _find_entries.cache_clear()
    yield "dwarf"
    monkeypatch.undo()
    _find_entries.cache_clear()


def test_one_line_makes_it_one_of_ours(dwarf: str) -> None:
    words = (
        f"--{section}.{name}" for section in ("classifier", "segmenter") for name in ("name=dwarf", "weights=none")
    )
    config = build_config({}, (*words, "--refine.irn.name=dwarf", "--refine.irn.weights=none"))
    assert config.classifier.name == config.segmenter.name == config.refine.irn.name == dwarf
    assert registered_names(stages=True) == (dwarf,)
    assert registered_names(levels=True) == ()
    assert build_classifier(dwarf, num_classes=3, freeze_trunk=False, fixed_norm=False).stride == 8
    assert build_segmenter(dwarf, num_labels=4, aspp_rates=(1,), fixed_norm=True).stride == 8
    assert build_irnet(dwarf).backbone.out_channels == 128


def test_its_weights_and_their_terms_are_its_own(dwarf: str) -> None:
    assert locate_registered(dwarf) == Path("dwarf.pth")
    assert "`dwarf`: the dwarves' release. Licence: CC0-1.0. They were trained" in describe_terms(dwarf, "imagenet")


def test_a_backbone_without_published_weights_says_so(dwarf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(DWARF, find_imagenet=None)
    monkeypatch.setattr("weakseg.models.registered.find_registered", lambda name: bare)
    with pytest.raises(
        ConfigError, match=r"^there are no ImageNet weights for 'dwarf'; set weights to 'none' or a path$"
    ):
        locate_registered(dwarf)


def test_terms_of_a_backbone_that_has_gone_are_not_known() -> None:
    assert "whose terms weakseg does not know" in describe_terms("dwarf", "imagenet")
