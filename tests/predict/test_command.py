"""`weakseg predict` and `weakseg export` of networks as they are typed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.predict.made_model import list_files, make_model, write_photo
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.handover import network
from weakseg.models.onnx_network import OnnxInfo
from weakseg.models.segmenter import SegmentationNetwork

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("runs") / "run").root


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """Trace a network once: it takes seconds, and all tests here hand over the same one."""
    real, traced = network.export_onnx, dict[bytes, bytes]()

    def export(segmenter: SegmentationNetwork, path: Path, info: OnnxInfo) -> float:
        weights = (value.numpy().tobytes() for value in segmenter.state_dict().values())
        key = b"".join((info.to_json().encode(), *weights))
        if key not in traced:
            real(segmenter, path, info)
            traced[key] = path.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(traced[key])
        return 0.0

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(network, "export_onnx", export)
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", number, (22 + number, 40))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "words", [["{run}", "{photos}"], ["--model", "{run}", "{photos}"], ["{photos}", "--model={run}"]]
)
def test_the_model_comes_first_or_is_named(
    words: list[str], run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [word.format(run=run, photos=photos) for word in words]
    assert main(["predict", *typed, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{photos / '0.png'} -> {tmp_path / 'out' / '0.png'}: ")
    assert len(list_files(tmp_path / "out")) == 10


def test_every_option_reaches_its_place(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = "--tags fox --batch 2 --tile-px 64 --max-side-px 0 --outputs mask,summary --device cpu".split()
    assert main(["predict", str(run), f"{photos}/*.png", "--out", str(out), *words]) == 0
    assert list_files(out) == ["0.png", "1.png", "2.png", "summary.json"]
    summary = json.loads((out / "summary.json").read_text())
    settings = summary["made_by"]["settings"]
    assert (settings["tile_px"], settings["overlap_px"], settings["max_side_px"]) == (64, 0, None)
    assert all(image["tags"] == ["fox"] for image in summary["images"])
    assert set(np.unique(read_mask(out / "0.png"))) <= {0, 3}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "x.onnx"], 2, "the following arguments are required: inputs"),
        (["{run}", "{photos}", "--outputs", "masks"], 2, "there is no output 'masks'; did you mean 'mask'?"),
        (["{run}", "{photos}", "--tags", "foxx"], 1, "unknown class 'foxx'; did you mean 'fox'?"),
        (["{run}", "{photos}", "--tags", ","], 2, "--tags: expected class names such as 'cat,dog', got none"),
        (["{run}", "{photos}", "--tags", "fox", "--tag-file", "x.csv"], 2, "--tags and --tag-file: give one of them"),
        (["{run}", "{photos}", "--tag-file", "x.csv"], 1, "x.csv"),
        (["{run}", "{photos}", "--batch", "0"], 2, "--batch: expected at least 1 image at once, got 0"),
        (["{run}", "{photos}", "--tile-px", "100"], 1, "tile_px: expected a multiple of 32 above 0, got 100"),
        (["{run}", "{photos}/*.tif"], 1, "is called like"),
        (["--model", "gone.onnx", "{photos}"], 1, "there is no gone.onnx; write it with 'weakseg export"),
        (["{run}", "{photos}", "--batches", "2"], 2, "unknown argument '--batches'; did you mean '--batch'?"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    words: list[str],
    code: int,
    message: str,
    run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = [word.format(run=run, photos=photos) for word in words]
    assert main(["predict", *typed, "--out", str(tmp_path / "out")]) == code
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("weakseg: ")
    assert message in told[0]
    assert not (tmp_path / "out").exists()


def test_exports_of_masks_refuse_what_they_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--to", "onxx"]) == 2
    assert "--to: expected one of voc, coco, yolo-seg" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "onnx", "--what", "predictions"]) == 2
    assert "--what predictions: 'onnx' is the network itself" in capsys.readouterr().err


def predict_elsewhere(model: Path, photos: Path, out: Path, folder: Path, *, blocked: str = "") -> None:
    """Predict in a process of its own in another folder, without some modules."""
    code = (
        f"import sys\nfor name in {blocked.split()!r}: sys.modules[name] = None\n"
        f"from weakseg.cli import main\nsys.exit(main(['predict', '--model', {str(model)!r}, {str(photos)!r}, "
        f"'--out', {str(out)!r}, '--device', 'cpu']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["bundle", "model.onnx"])
def test_what_was_handed_over_gives_the_masks_of_the_run_after_the_run_has_gone(
    name: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_model(tmp_path / "runs" / "run").root
    assert main(["predict", str(run), str(photos), "--out", str(tmp_path / "before"), "--device", "cpu"]) == 0
    handed = tmp_path / "handed over" / name
    to = "onnx" if name.endswith("onnx") else "bundle"
    assert main(["export", str(run), "--to", to, "--out", str(handed)]) == 0
    assert f"-> {handed} ({to})" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "runs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    blocked = "onnx onnxscript" if to == "onnx" else "onnx onnxscript onnxruntime"
    predict_elsewhere(handed, photos, tmp_path / "after", elsewhere, blocked=blocked)
    for number in range(3):
        before, after = (read_mask(tmp_path / out / f"{number}.png") for out in ("before", "after"))
        assert len(np.unique(before)) > 1
        if to == "bundle":
            assert (before == after).all()
        else:
            assert (before != after).mean() <= 1e-3  # where two labels are equally likely rounding decides


@pytest.mark.parametrize("page", ["predict.md", "export.md"])
def test_the_commands_of_the_documents_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "runs" / "folder")
    for name in ("new_photos/a.jpg", "new_photos/sub/b.png"):
        write_photo(tmp_path / name)
    (tmp_path / "new_photos" / "tags.csv").write_text("image,tags\na.jpg,cat\nsub/b.png,dog;fox\n")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    typed = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(typed) >= 3
    for line in typed:
        program, *words = shlex.split(line)
        assert program == "weakseg"
        assert main(words) == 0, line
