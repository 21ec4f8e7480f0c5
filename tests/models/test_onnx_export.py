"""Writing networks as ONNX files: every kind at any size, and none that differs from its network."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from tests.models.onnx_info import ONNX_INFO
from tests.tiny import NARROW_GROUPS, make_segmenter
from tests.tiny_networks import SEGFORMER, write_config
from weakseg.errors import ArtifactError, MissingExtra
from weakseg.models import onnx_export
from weakseg.models.deeplab import Segmenter, build_segmenter
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.hf_build import build_hf_segmenter
from weakseg.models.hf_source import find_source
from weakseg.models.onnx_export import CHECKED_SHAPES, export_onnx, measure_difference
from weakseg.models.onnx_network import OnnxNetwork

pytestmark = pytest.mark.slow  # torch takes seconds to trace a network

CPU = torch.device("cpu")
CLASSES = ONNX_INFO.classes
INFO = ONNX_INFO
TWO_STAGES = {
    **SEGFORMER,
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "hidden_sizes": [8, 16],
    "num_attention_heads": [1, 2],
    "sr_ratios": [8, 4],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "mlp_ratios": [4, 4],
}
"""The others would be written as these are."""

FEWER_GROUPS = (*NARROW_GROUPS[:4], replace(NARROW_GROUPS[5], repeats=1))
"""Those that are left out would be written as these are: of every stride, kernel and dilation there is one."""

ODD_SHAPES = ((1, 3, 25, 42), (1, 3, 1, 1), (3, 3, 64, 64), (2, 3, 129, 77), (1, 3, 7, 200), (5, 3, 31, 9))


def forward(batch: Tensor) -> Tensor:
    with torch.no_grad():
        return make_segmenter().eval()(batch)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_onnxruntime_gives_the_logits_of_torch_at_any_batch_and_size(onnx_file: Path, shape: tuple[int, ...]) -> None:
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    (found,) = session.run(["logits"], {"image": batch.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), forward(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_a_network_of_several_scales_is_written_for_any_size(tmp_path: Path) -> None:
    segmenter = build_segmenter(
        "critter",
        num_labels=4,
        aspp_rates=(1,),
        fixed_norm=True,
        multi_scale=(0.75,),
        generator=torch.Generator().manual_seed(0),
    ).eval()
    assert export_onnx(segmenter, tmp_path / "scales.onnx", INFO) < 1e-4
    network = OnnxNetwork(tmp_path / "scales.onnx", CPU)
    for shape in ODD_SHAPES:
        batch = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
        with torch.no_grad():
            torch.testing.assert_close(network(batch), segmenter(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_an_efficientnet_lite_is_written_as_it_learns(tmp_path: Path) -> None:
    """What learns takes the same sums in another order, with channels last too."""
    backbone = EfficientNetLite(
        FEWER_GROUPS, stride=8, has_head=False, fixed_norm=True, generator=torch.Generator().manual_seed(0)
    )
    segmenter = Segmenter(backbone, num_labels=4, aspp_rates=(1, 3), generator=torch.Generator().manual_seed(0))
    assert export_onnx(segmenter, tmp_path / "lite.onnx", INFO) < 1e-4
    network = OnnxNetwork(tmp_path / "lite.onnx", CPU)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        segmenter.to(memory_format=memory_format)
        for shape in ODD_SHAPES:
            batch = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
            learning = segmenter(batch.contiguous(memory_format=memory_format))
            assert learning.requires_grad
            torch.testing.assert_close(network(batch), learning.detach(), rtol=1e-4, atol=1e-5)
    operators = {node.op_type for node in onnx.load(str(tmp_path / "lite.onnx")).graph.node}
    assert not operators & {"MatMul", "Gemm"}, "the graph holds plain convolutions"


@pytest.mark.long
def test_a_segformer_is_written_for_any_size(tmp_path: Path) -> None:
    source = find_source(str(write_config(tmp_path / "config.json", TWO_STAGES)), with_weights=False)
    segmenter, _ = build_hf_segmenter(
        source,
        label_names=CLASSES.label_names,
        pretrained=False,
        fixed_norm=True,
        generator=torch.Generator().manual_seed(0),
    )
    assert export_onnx(segmenter, tmp_path / "segformer.onnx", replace(INFO, stride=4)) < 1e-4


def test_a_file_that_onnxruntime_runs_at_some_sizes_alone_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    export = torch.onnx.export

    def export_static(*arguments: object, **options: object) -> object:
        return export(*arguments, **{**options, "dynamic_shapes": None})  # type: ignore[arg-type]

    monkeypatch.setattr(torch.onnx, "export", export_static)
    message = r"cannot be written as ONNX for images of any size \(onnxruntime cannot run the network on an input"
    with pytest.raises(ArtifactError, match=message):
        export_onnx(make_segmenter(), tmp_path / "model.onnx", INFO)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_without_the_extra_its_name_is_told(onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"needs onnxruntime: pip install 'weakseg\[onnx\]'"):
        OnnxNetwork(onnx_file, CPU)
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs onnx, onnxscript, onnxruntime: pip install 'weakseg\[onnx\]'"):
        export_onnx(make_segmenter(), tmp_path / "model.onnx", INFO)


def test_a_file_that_differs_from_the_network_is_not_written(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_segmenter(seed=1)
    assert measure_difference(other, OnnxNetwork(onnx_file, CPU)) > 0.1
    assert measure_difference(make_segmenter(), OnnxNetwork(onnx_file, CPU)) < 1e-5
    monkeypatch.setattr(onnx_export, "measure_difference", lambda *_: 0.5)

    program = SimpleNamespace(
        model=SimpleNamespace(metadata_props={}), save=lambda place: place.write_bytes(onnx_file.read_bytes())
    )
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    target = tmp_path / "model.onnx"
    target.write_text("earlier")
    with pytest.raises(
        ArtifactError, match=r"differs from the network by 0\.5 of the largest logit, more than 0\.0001"
    ):
        export_onnx(other, target, INFO)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert target.read_text() == "earlier"


@pytest.mark.parametrize("place", range(len(CHECKED_SHAPES)))
def test_an_undefined_logit_is_no_small_difference(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    file, run = OnnxNetwork(onnx_file, CPU), OnnxNetwork.__call__

    def run_badly(network: OnnxNetwork, batch: Tensor) -> Tensor:
        logits = run(network, batch)
        return logits.fill_(math.nan) if batch.shape == CHECKED_SHAPES[place] else logits

    monkeypatch.setattr(OnnxNetwork, "__call__", run_badly)
    assert math.isnan(measure_difference(make_segmenter(), file))


def test_logits_of_zero_are_compared_too(onnx_file: Path) -> None:
    silent = make_segmenter()
    with torch.no_grad():
        for parameter in silent.head_parameters():
            parameter.zero_()
    assert measure_difference(silent, OnnxNetwork(onnx_file, CPU)) > 1
    assert measure_difference(silent, silent) == 0  # type: ignore[arg-type]


def test_modes_are_left_as_they_are(onnx_file: Path) -> None:
    segmenter = make_segmenter()
    segmenter.backbone.layer1.eval()
    modes = [module.training for module in segmenter.modules()]
    measure_difference(segmenter, OnnxNetwork(onnx_file, CPU))
    assert [module.training for module in segmenter.modules()] == modes
    assert torch.is_grad_enabled()
