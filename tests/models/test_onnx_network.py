"""ONNX files that have been written: what they say and give, here and in foreign programs, and which are refused."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from tests.models.onnx_info import ONNX_INFO
from tests.tiny import make_segmenter
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.onnx_network import METADATA_KEY, OnnxInfo, OnnxNetwork
from weakseg.models.predictor import TorchNetwork, Views, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.ops.color import label_palette
from weakseg.ops.crf_settings import CRFSettings

pytestmark = pytest.mark.slow  # torch takes seconds to trace a network

CPU = torch.device("cpu")
INFO = ONNX_INFO


def test_the_file_is_valid_and_free_in_batch_height_and_width(onnx_file: Path) -> None:
    model = onnx.load(str(onnx_file))
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("image", "logits")
    sizes = image.type.tensor_type.shape.dim
    assert [dim.dim_value for dim in sizes] == [0, 3, 0, 0]  # 0: named, not fixed
    assert len({dim.dim_param for dim in (sizes[0], sizes[2], sizes[3])}) == 3


def test_the_metadata_tells_what_it_takes_to_use_the_file(onnx_file: Path) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(str(onnx_file)).metadata_props}
    document = json.loads(metadata[METADATA_KEY])
    assert document["labels"] == ["background", "cat", "dog", "fox"]
    assert document["colours"] == label_palette()[:4].tolist()
    assert (document["stride"], document["input"]["layout"], document["input"]["channels"]) == (8, "NCHW", "RGB")
    assert (document["mean"], document["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    views = {"scales": [1.0, 0.5], "flip": True, "max_side_px": 30, "crf": None, "pixel_range": None}
    assert document["views"] == views


def test_masks_are_those_of_the_network_on_all_pixels_but_ties(onnx_file: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((25, 42), (61, 33))]
    network = OnnxNetwork(onnx_file, CPU)
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
    onnx_file: Path, size_hw: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr(sys, "argv", ["x", str(onnx_file), str(tmp_path / "turned.png"), str(tmp_path / "mask.png")])
    runpy.run_path(str(script))
    upright = read_image(tmp_path / "turned.png")
    views = replace(INFO.views, scales=(1.0,), flip=False)
    maps = predict_views(TorchNetwork(make_segmenter()), [upright], views=views, tiling=Tiling(1024, 256))[0]
    expected = choose_labels(maps, upright, views=views).labels
    found = read_mask(tmp_path / "mask.png")
    assert found.shape == expected.shape == size_hw[::-1]
    assert (found == expected).mean() >= 0.999  # the rest are ties


def test_a_file_is_used_without_onnx_and_onnxscript(onnx_file: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxscript'] = None\n"
        "import torch; from pathlib import Path\n"
        "from weakseg.models.onnx_network import OnnxNetwork\n"
        f"print(OnnxNetwork(Path({str(onnx_file)!r}), torch.device('cpu'))(torch.zeros(1, 3, 20, 30)).shape)"
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


def test_files_that_are_no_export_are_named(onnx_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no .*gone\.onnx; write it with 'weakseg export"):
        OnnxNetwork(tmp_path / "gone.onnx", CPU)
    (tmp_path / "cut.onnx").write_bytes(onnx_file.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match=r"cut\.onnx: not a readable ONNX file"):
        OnnxNetwork(tmp_path / "cut.onnx", CPU)
    model = onnx.load(str(onnx_file))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ArtifactError, match=r"foreign\.onnx: an ONNX file without 'weakseg' metadata"):
        OnnxNetwork(tmp_path / "foreign.onnx", CPU)


def test_a_gpu_that_onnxruntime_has_not_is_refused(onnx_file: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():  # then the device itself decides
        return
    with pytest.raises(ConfigError, match="this onnxruntime has no CUDA: install onnxruntime-gpu"):
        OnnxNetwork(onnx_file, torch.device("cuda:0"))
