import json
import math
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.models.onnx_info import ONNX_INFO
from tests.tiny import NARROW_GROUPS, make_segmenter
from tests.tiny_networks import SEGFORMER, write_config
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models import onnx_export
from weakseg.models.deeplab import Segmenter, build_segmenter
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.hf_build import build_hf_segmenter
from weakseg.models.hf_source import find_source
from weakseg.models.onnx_export import CHECKED_SHAPES, export_onnx, measure_difference
from weakseg.models.onnx_network import METADATA_KEY, OnnxInfo, OnnxNetwork
from weakseg.models.predictor import TorchNetwork, Views, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.ops.color import label_palette
from weakseg.ops.crf_settings import CRFSettings

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


@pytest.fixture(scope="module")
def path(onnx_file: Path) -> Path:
    return onnx_file


def forward(batch: Tensor) -> Tensor:
    with torch.no_grad():
        return make_segmenter().eval()(batch)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_onnxruntime_gives_the_logits_of_torch_at_any_batch_and_size(path: Path, shape: tuple[int, ...]) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
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


def test_the_file_is_valid_and_free_in_batch_height_and_width(path: Path) -> None:
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("image", "logits")
    sizes = image.type.tensor_type.shape.dim
    assert [dim.dim_value for dim in sizes] == [0, 3, 0, 0]  # 0: named, not fixed
    assert len({dim.dim_param for dim in (sizes[0], sizes[2], sizes[3])}) == 3


def test_the_metadata_tells_what_it_takes_to_use_the_file(path: Path) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    document = json.loads(metadata[METADATA_KEY])
    assert document["labels"] == ["background", "cat", "dog", "fox"]
    assert document["colours"] == label_palette()[:4].tolist()
    assert (document["stride"], document["input"]["layout"], document["input"]["channels"]) == (8, "NCHW", "RGB")
    assert (document["mean"], document["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    views = {"scales": [1.0, 0.5], "flip": True, "max_side_px": 30, "crf": None, "pixel_range": None}
    assert document["views"] == views


def test_masks_are_those_of_the_network_on_all_pixels_but_ties(path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((25, 42), (61, 33))]
    network = OnnxNetwork(path, CPU)
    differing = total = 0
    for image in images:
        for tiling in (Tiling(1024, 256), Tiling(32, 0)):
            views = replace(INFO.views, max_side_px=None)
            found, expected = (
                choose_labels(predict_views(one, [image], views=views, tiling=tiling)[0], image, views=views)
                for one in (network, TorchNetwork(make_segmenter()))
            )
            np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
            differing += int((found.labels != expected.labels).sum())
            total += found.labels.size
    assert differing <= 1e-3 * total


@pytest.mark.parametrize("size_hw", [(41, 70), (80, 33), (29, 17)])
def test_the_script_of_the_documents_for_foreign_programs_gives_our_masks(
    path: Path, size_hw: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docs/onnx_predict.py`, without this package: one scale, not mirrored. The limit of 30 px binds twice."""
    script = Path(__file__).parents[2] / "docs" / "onnx_predict.py"
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith('"""')]
    assert len(lines) <= 20
    assert not any("weakseg" in line for line in lines if line.startswith(("import", "from")))
    image = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    monkeypatch.setattr(sys, "argv", ["x", str(path), str(tmp_path / "turned.png"), str(tmp_path / "mask.png")])
    runpy.run_path(str(script))
    upright = read_image(tmp_path / "turned.png")
    views = replace(INFO.views, scales=(1.0,), flip=False)
    maps = predict_views(TorchNetwork(make_segmenter()), [upright], views=views, tiling=Tiling(1024, 256))[0]
    expected = choose_labels(maps, upright, views=views).labels
    found = read_mask(tmp_path / "mask.png")
    assert found.shape == expected.shape == size_hw[::-1]
    assert (found == expected).mean() >= 0.999  # the rest are ties


def test_a_file_is_used_without_onnx_and_onnxscript(path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxscript'] = None\n"
        "import torch; from pathlib import Path\n"
        "from weakseg.models.onnx_network import OnnxNetwork\n"
        f"print(OnnxNetwork(Path({str(path)!r}), torch.device('cpu'))(torch.zeros(1, 3, 20, 30)).shape)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "torch.Size([1, 4, 3, 4])\n"


@pytest.mark.parametrize(
    "views",
    [INFO.views, Views((0.5,), crf=CRFSettings((1.0, 2.0), (30.0, 4.0, 5.0), 7)), Views(pixel_range=(0.0, 4095.0))],
)
def test_the_metadata_is_read_back(views: Views) -> None:
    info = replace(INFO, views=views)
    assert OnnxInfo.from_json(info.to_json(), where="x") == info


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2, expected 1"),
        ({"mean": [0.5, 0.5, 0.5]}, "are not ImageNet's"),
        ({"labels": ["background"]}, "a class set holds 1 to 254 classes"),
        ({"views": {"scales": [1.0], "flip": False}}, "'max_side_px'"),
        ({"stride": None}, "int"),
    ],
)
def test_metadata_that_cannot_be_used_are_named(changes: dict[str, object], message: str) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | changes)
    with pytest.raises(ArtifactError, match=rf"x\.onnx: its 'weakseg' metadata cannot be used .*{message}"):
        OnnxInfo.from_json(text, where="x.onnx")


def test_files_that_are_no_export_are_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no .*gone\.onnx; write it with 'weakseg export"):
        OnnxNetwork(tmp_path / "gone.onnx", CPU)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match=r"cut\.onnx: not a readable ONNX file"):
        OnnxNetwork(tmp_path / "cut.onnx", CPU)
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: an ONNX file without 'weakseg' metadata"):
        OnnxNetwork(tmp_path / "foreign.onnx", CPU)


def test_a_gpu_that_onnxruntime_has_not_is_refused(path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():  # then the device itself decides
        return
    with pytest.raises(ConfigError, match="this onnxruntime has no CUDA: install onnxruntime-gpu"):
        OnnxNetwork(path, torch.device("cuda:0"))


def test_without_the_extra_its_name_is_told(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"needs onnxruntime: pip install 'weakseg\[onnx\]'"):
        OnnxNetwork(path, CPU)
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs onnx, onnxscript, onnxruntime: pip install 'weakseg\[onnx\]'"):
        export_onnx(make_segmenter(), tmp_path / "model.onnx", INFO)


def test_a_file_that_differs_from_the_network_is_not_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_segmenter(seed=1)
    assert measure_difference(other, OnnxNetwork(path, CPU)) > 0.1
    assert measure_difference(make_segmenter(), OnnxNetwork(path, CPU)) < 1e-5
    monkeypatch.setattr(onnx_export, "measure_difference", lambda *_: 0.5)

    program = SimpleNamespace(
        model=SimpleNamespace(metadata_props={}), save=lambda place: place.write_bytes(path.read_bytes())
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
def test_an_undefined_logit_is_no_small_difference(path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    file, run = OnnxNetwork(path, CPU), OnnxNetwork.__call__

    def run_badly(network: OnnxNetwork, batch: Tensor) -> Tensor:
        logits = run(network, batch)
        return logits.fill_(math.nan) if batch.shape == CHECKED_SHAPES[place] else logits

    monkeypatch.setattr(OnnxNetwork, "__call__", run_badly)
    assert math.isnan(measure_difference(make_segmenter(), file))


def test_logits_of_zero_are_compared_too(path: Path) -> None:
    silent = make_segmenter()
    with torch.no_grad():
        for parameter in silent.head_parameters():
            parameter.zero_()
    assert measure_difference(silent, OnnxNetwork(path, CPU)) > 1
    assert measure_difference(silent, silent) == 0  # type: ignore[arg-type]


def test_modes_are_left_as_they_are(path: Path) -> None:
    segmenter = make_segmenter()
    segmenter.backbone.layer1.eval()
    modes = [module.training for module in segmenter.modules()]
    measure_difference(segmenter, OnnxNetwork(path, CPU))
    assert [module.training for module in segmenter.modules()] == modes
    assert torch.is_grad_enabled()
