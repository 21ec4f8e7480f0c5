"""`weakseg study photographs`: the short form of `study methods` for a folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import write_mask
from tests.photos import TINY, draw
from weakseg.cli import main
from weakseg.config.schema import RunConfig
from weakseg.files import write_bytes
from weakseg.studies.folder import Study, StudyRequest
from weakseg.studies.methods.study import Saving

Call = tuple[RunConfig, StudyRequest, dict[str, object]]


def ask(monkeypatch: pytest.MonkeyPatch, *words: str) -> Call:
    """Return what `study methods` is asked for."""
    asked: list[Call] = []

    def study_methods(config: RunConfig, request: StudyRequest, **options: object) -> Study:
        asked.append((config, request, options))
        return None  # type: ignore[return-value]

    monkeypatch.setattr("weakseg.studies.methods.study.study_methods", study_methods)
    monkeypatch.setattr("weakseg.commands.study_methods.show_study", lambda _: 0)
    assert main(["study", "photographs", *words]) == 0
    return asked[0]


def test_a_folder_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config, request, options = ask(monkeypatch, "my photos")
    assert (config.data.name, config.data.root, config.classifier.name) == ("folder", "my photos", "efficientnet_lite0")
    assert (request.run, request.name, request.redo) == (Path("runs/my photos"), "photographs", False)
    assert request.command == "weakseg study photographs 'my photos'"
    assert options == {
        "methods": [], "masks": [], "seeds": [0, 1, 2], "thresholds": [], "split": "train",
        "saving": Saving(40, ("cam", "lpcam-averaged"), (), estimate=True),
    }  # fmt: skip


def test_every_word_of_the_long_form_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("photos", "--images", "8", "--seeds", "4", "--estimate", "false", "--name", "mine", "--out", "there")
    config, request, options = ask(
        monkeypatch, *words, "--redo", "--runs", "a", "b", "--learn-from", "rib", "--classifier.epochs", "2"
    )
    assert config.classifier.epochs == 2
    assert (request.run, request.name, request.redo) == (Path("there"), "mine", True)
    assert options["seeds"] == [4]
    assert options["saving"] == Saving(8, ("rib",), (Path("a"), Path("b")), estimate=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--methods", "cam", "rib"), ("cam",)),
        (("--methods", "rib", "seam"), ()),
        (("--localize.similarity_temperature", "null"), ("cam",)),
    ],
)
def test_networks_learn_from_the_usual_seeds_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], expected: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask(monkeypatch, "photos", *words)[2]["saving"] == Saving(40, expected, (), estimate=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "the following arguments are required: root; see 'weakseg study photographs --help'"),
        (("run",), 2, "run is a run, not a folder of photographs; weakseg study methods run starts from a run"),
        (("plain", "--data.root", "x"), 2, "--data.root: expected the folder once, got x besides plain"),
        (("nowhere",), 1, "data.root: there is no folder "),
        (("empty",), 1, "holds no images"),
        (("plain", "--split", "val", "--data.val", "null"), 1, "--split val: the recipe has no validation split"),
        (("plain", "--classifier.weights", "none"), 1, "folder train: no tagged image has a truth mask"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("data: {}\n")
    (tmp_path / "empty").mkdir()
    make_photographs(tmp_path / "plain", count=8, masks=False)
    assert main(["study", "photographs", *words]) == code
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("weakseg: ")
    assert message in told.err.splitlines()[-1]
    assert "Traceback" not in told.err


def make_photographs(root: Path, *, count: int, masks: bool = True) -> None:
    """Write images of a coloured square each, their tags, and masks."""
    rng, rows = np.random.default_rng(0), ["image,tags"]
    for index in range(count):
        tag, size_hw = ("cat", "sofa")[index % 2], (60, 72 + index)
        content = io.BytesIO()
        Image.fromarray(draw(rng, (tag,), size_hw)).save(content, "PNG")
        (root / "images").mkdir(parents=True, exist_ok=True)
        write_bytes(root / "images" / f"{index}.png", content.getvalue())
        if masks:
            truth = np.zeros(size_hw, np.uint8)
            truth[8:38, 6 : 6 + size_hw[1] // 3] = 1 + index % 2
            write_mask(root / "masks" / f"{index}.png", truth)
        rows.append(f"{index}.png,{tag}")
    (root / "tags.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_a_folder_becomes_one_page_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("weakseg.studies.methods.hours.PART_S", 0.05)
    make_photographs(tmp_path / "photos", count=12)
    smaller = [word for word in TINY if word.startswith(("--classifier", "--localize", "--segmenter", "--runtime"))]
    rib = ("--localize.rib.iterations=2", "--localize.rib.partners=2", "--localize.scales=[1.0]")
    words = ["study", "photographs", "photos", "--methods", "cam", "rib", "--masks", "par", "--images", "4"]
    words += ["--seeds", "0", *smaller, *rib, "--localize.rib.partner_augment.crop_px=48"]
    words += ["--localize.rib.partner_augment.long_side_px=[48, 64]"]
    assert main(words) == 0
    told = capsys.readouterr().err.splitlines()
    # What trials log themselves is not told.
    parts = [line.split(":")[0].strip() for line in told[1:5]]
    assert parts == ["classifier CAM", "seeds CAM", "seeds RIB", "masks par"]
    assert not any("cannot be tried" in line for line in told)
    assert told[5].startswith("about ")
    order = [line.split("/")[0] for line in told[6:] if line.startswith(("seed 0, ", "runs/photos/studies"))]
    assert order == ["seed 0, CAM", "runs", "seed 0, CAM", "seed 0, RIB"]
    root = tmp_path / "runs" / "photos" / "studies" / "photographs"
    assert {"table.md", "table.csv", "figure.png", "times.csv", "details.csv"} <= {path.name for path in root.iterdir()}
    assert json.loads((root / "study.json").read_text())["finished"] is True
    with (root / "table.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["CAM", "RIB"]

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing was left to do")

    before = (root / "table.csv").read_bytes()
    monkeypatch.setattr("weakseg.pipeline.runner.remove_half_written", fail)
    assert main(words) == 0
    assert (root / "table.csv").read_bytes() == before
