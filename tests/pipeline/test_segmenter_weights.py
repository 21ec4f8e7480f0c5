"""Starting a DeepLab-v2 from a checkpoint, and rebuilding one of several scales from its weights file alone."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tiny import make_segmenter
from weakseg.config.schema import SegmenterConfig
from weakseg.errors import ArtifactError
from weakseg.models.deeplab import Segmenter
from weakseg.pipeline.artifacts import NetworkFolder, load_tensors, save_tensors
from weakseg.pipeline.networks import save_network
from weakseg.pipeline.segmenters import describe_segmenter, load_segmenter, start_segmenter
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
OTHER_CLASSES = ClassSet(("ant", "bee", "cow"))
DEEPLAB = SegmenterConfig(name="critter", weights="none", aspp_rates=(1, 2), multi_scale=(0.75, 0.5), fixed_norm=False)


def start(folder: Path, config: SegmenterConfig, *, classes: ClassSet = CLASSES) -> tuple[Segmenter, str]:
    networks = [NetworkFolder(folder / kind) for kind in ("segmenter", "classifier")]
    segmenter, origin = start_segmenter(config, classes, networks[0], classifier=networks[1], seed=0)
    assert isinstance(segmenter, Segmenter)
    return segmenter, origin


def as_list_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    plain = {name.removeprefix("backbone."): value for name, value in state.items()}
    return {f"Scale.{name.replace('aspp.branches', 'layer5.conv2d_list')}": value for name, value in plain.items()}


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("weakseg"), "propagate", True)
    caplog.set_level(logging.INFO, "weakseg")
    return caplog


def test_a_checkpoint_with_the_right_labels_fills_the_network_and_the_log_says_so(
    tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    source = make_segmenter(7)
    path = tmp_path / "deeplab.pth"
    torch.save(as_list_layout(dict(source.state_dict())), path)
    segmenter, origin = start(tmp_path, replace(DEEPLAB, weights=str(path)))
    assert origin == str(path)
    assert all(torch.equal(value, segmenter.state_dict()[name]) for name, value in source.state_dict().items())
    assert [record.message for record in messages.records] == [
        f"segmenter.weights: {path} (layout conv2d_list): the whole network",
        "published weights in the layout 'conv2d_list' come from Caffe; if these do, set segmenter.caffe_form to true",
    ]


@pytest.mark.parametrize(
    ("classes", "reason"), [(CLASSES, None), (OTHER_CLASSES, "its classes are others"), (ClassSet(("cat",)), "labels")]
)
def test_our_own_file_fills_the_head_for_its_own_classes_only(
    classes: ClassSet, reason: str | None, tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    source = make_segmenter(7)
    other = NetworkFolder(tmp_path / "other")
    save_network(other, source, describe_segmenter(source, "critter", CLASSES, weights_from="random"), ())
    segmenter, _ = start(tmp_path, replace(DEEPLAB, weights=str(other.model)), classes=classes)
    assert torch.equal(segmenter.backbone.conv1.weight, source.backbone.conv1.weight)
    head, theirs = segmenter.aspp.branches[0].weight, source.aspp.branches[0].weight
    assert (head.shape == theirs.shape and torch.equal(head, theirs)) == (reason is None)
    (record,) = messages.records
    assert ("the whole network" if reason is None else reason) in record.message


def test_a_file_of_another_network_stops_the_stage(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match=r"holds 1 unexpected parameters: encoder\.weight"):
        start(tmp_path, replace(DEEPLAB, weights=str(tmp_path / "other.pth")))
    with pytest.raises(ArtifactError, match="no checkpoint at"):
        start(tmp_path, replace(DEEPLAB, weights=str(tmp_path / "none.pth")))


def test_a_network_of_several_scales_is_rebuilt_from_its_file(tmp_path: Path) -> None:
    segmenter, _ = start(tmp_path, DEEPLAB)
    folder = NetworkFolder(tmp_path / "segmenter")
    save_network(folder, segmenter, describe_segmenter(segmenter, "critter", CLASSES, weights_from="random"), ())
    loaded, classes = load_segmenter(folder.model, torch.device("cpu"))
    assert isinstance(loaded, Segmenter)
    assert (classes, loaded.multi_scale, loaded.caffe_form) == (CLASSES, (0.75, 0.5), False)
    images = torch.randn(1, 3, 24, 33, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Equal weights; the loaded ones lie channels last, which sums in another order.
        torch.testing.assert_close(loaded(images), segmenter.eval()(images))


def test_a_file_from_before_there_were_scales_has_none(tmp_path: Path) -> None:
    segmenter, _ = start(tmp_path, replace(DEEPLAB, multi_scale=()))
    info = describe_segmenter(segmenter, "critter", CLASSES, weights_from="random")
    old = {name: value for name, value in info.items() if name not in ("multi_scale", "caffe_form")}
    save_tensors(tmp_path / "model.safetensors", dict(segmenter.state_dict()), old)
    loaded, _ = load_segmenter(tmp_path / "model.safetensors", torch.device("cpu"))
    assert isinstance(loaded, Segmenter)
    assert loaded.multi_scale == ()


@pytest.mark.parametrize("scales", ["0.5", [1], None])
def test_scales_that_are_none_are_refused(scales: object, tmp_path: Path) -> None:
    segmenter, _ = start(tmp_path, DEEPLAB)
    folder = NetworkFolder(tmp_path / "segmenter")
    save_network(folder, segmenter, describe_segmenter(segmenter, "critter", CLASSES, weights_from="random"), ())
    tensors, info = load_tensors(folder.model)
    save_tensors(folder.model, tensors, {**info, "multi_scale": scales})
    with pytest.raises(ArtifactError, match="expected the further scales of a segmenter, got"):
        load_segmenter(folder.model, torch.device("cpu"))
