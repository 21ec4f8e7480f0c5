"""The int8 form: calibrated, named, run at any size, and close to the float form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.layouts import write_image, write_text
from tests.models.onnx_info import ONNX_INFO
from tests.predict.made_model import CLASSES, make_model
from tests.tiny import with_settings
from weakseg.cli import main
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, MissingExtra
from weakseg.handover import network as handover_network
from weakseg.handover.calibration import choose_photographs, measure_agreement
from weakseg.models import onnx_int8
from weakseg.models.onnx_int8 import quantize_onnx
from weakseg.models.onnx_network import OnnxNetwork
from weakseg.pipeline.opening import open_run

pytestmark = pytest.mark.slow  # torch takes seconds to trace a network

INFO = ONNX_INFO


def inputs(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, 3, 40 + 8 * n, 56)).astype(np.float32) for n in range(count)]


def test_int8_is_smaller_says_so_and_gives_nearly_the_same_labels(onnx_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    quantize_onnx(onnx_file, target, inputs(), replace(INFO, precision="int8"))
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]
    network = OnnxNetwork(target, torch.device("cpu"))
    assert (network.info.precision, network.info.views) == ("int8", INFO.views)
    assert OnnxNetwork(onnx_file, torch.device("cpu")).info.precision == "float32"
    for shape in ((1, 3, 25, 42), (2, 3, 64, 33)):
        assert network(torch.zeros(shape)).dtype == torch.float32
    agreement = measure_agreement(onnx_file, target, iter(inputs(5)[3:]))
    assert agreement is not None
    assert 0.9 < agreement < 1
    assert measure_agreement(onnx_file, onnx_file, iter(inputs(1))) == 1
    assert measure_agreement(onnx_file, target, iter(())) is None


def test_what_cannot_be_made_is_told_and_nothing_is_written(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "int8.onnx"
    with pytest.raises(ArtifactError, match="onnxruntime cannot make an int8 form of this network: No data"):
        quantize_onnx(onnx_file, target, (), INFO)
    with monkeypatch.context() as patched:
        patched.setattr(onnx_int8.OnnxNetwork, "__call__", lambda network, batch: torch.full((1,), torch.nan))
        with pytest.raises(ArtifactError, match=r"the int8 form gives no numbers on an input \(1, 3, 65, 97\)"):
            quantize_onnx(onnx_file, target, inputs(), INFO)
    monkeypatch.setattr(onnx_int8.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"int8 needs onnx, onnxruntime: pip install 'weakseg\[onnx\]'"):
        quantize_onnx(onnx_file, target, inputs(), INFO)
    assert not target.exists()


def make_run(root: Path, *, images: int, val_fraction: float) -> Path:
    for number in range(images):
        write_image(root / "photos" / f"{number:02}.png", (30 + number, 41), shade=number)
    rows = "".join(f"{number:02}.png,{CLASSES.names[number % 3]}\n" for number in range(images))
    write_text(root / "photos" / "tags.csv", f"image,tags\n{rows}")
    config = with_settings(
        RunConfig(),
        ("data.name", "folder"),
        ("data.root", str(root / "photos")),
        *((("data.val_fraction", val_fraction),) if val_fraction else (("data.val", None),)),
    )
    return make_model(root / "run", config=config).root


def test_the_command_calibrates_on_train_and_judges_on_val(
    tmp_path: Path, onnx_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, images=8, val_fraction=0.25)
    monkeypatch.setattr(
        handover_network, "export_onnx", lambda network, path, info: path.write_bytes(onnx_file.read_bytes())
    )
    assert main(["export", str(run), "--to", "onnx-int8"]) == 0
    target = run / "exports" / "model-int8.onnx"
    told = capsys.readouterr().out
    assert f"network of 3 classes -> {target} (onnx-int8)" in told
    assert "made by 6 training photographs" in told
    assert "on 2 photographs of val " in told
    assert OnnxNetwork(target, torch.device("cpu")).info.precision == "int8"
    assert main(["predict", "--model", str(target), str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 0
    for words, message in (
        (["--out", "model.txt"], "'onnx-int8' is one file, whose name ends in .onnx"),
        (["--split", "val"], "--split val: 'onnx-int8' is the network itself"),
    ):
        assert main(["export", str(run), "--to", "onnx-int8", *words]) == 2
        assert message in capsys.readouterr().err
    (run / "bundle.json").write_text("{}")
    assert main(["export", str(run), "--to", "onnx-int8"]) == 1
    assert "is a bundle, without the photographs that int8 is made by; name the run" in capsys.readouterr().err


def test_photographs_are_spread_and_never_judge_what_they_calibrated(tmp_path: Path) -> None:
    context = open_run(make_run(tmp_path, images=7, val_fraction=0.0))
    chosen = choose_photographs(context.train, context.val)
    assert len(chosen.calibrating) == 7
    assert chosen.judging == ()  # all of train has been used, and there is no val
