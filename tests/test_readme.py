"""Every command of the README and of the first pages is run here, in one folder, at a size that takes seconds."""

import re
import shlex
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_voc
from tests.golden_weights import fill_state_dict, load_layout
from tests.photos import FEWER_CRITTERS, TINY, TINY_IRN, TINY_RIB, make_photos
from weakseg.cli import main
from weakseg.models.onnx_network import OnnxInfo
from weakseg.models.segmenter import SegmentationNetwork

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST_PAGES = (
    "README.md",
    "docs/install.md",
    "docs/demo.md",
    "docs/first_run.md",
    "docs/settings.md",
    "docs/studies.md",
)
"""Run one after the other; a command that was on an earlier page is not run again."""

TRAINING_VERBS = ("run", "demo")
STUDIES: dict[str, tuple[str, ...]] = {
    "rib": (*(word for word in TINY_RIB if "method" not in word), "--images=2"),
    "seeds": (),
    "threshold": ("--images=4",),
    "bottleneck": (
        "--digits=font",
        "--images=4",
        "--adapted=2",
        "--train-images=32",
        "--epochs=1",
        "--iterations=2",
    ),
}
"""Overrides of each study; those of a run take the one that `make demo` is taken to have left."""

SMALLER = {"check": ("--estimate=false",), "synth": ("--images=4", "--val-images=2")}
"""Overrides of verbs. How long a run takes has a test of its own, and so have drawn images."""

TINIER = (*TINY, "--classifier.epochs=1", "--segmenter.epochs=1")

TINY_AROUND_RELEASED = ("--classifier.name=resnet50", "--refine.irn.weights=none", "--segmenter.weights=none")
"""A released classifier has the size it has; no tiny network begins with its backbone."""

TWO_SCREENS = 80
"""Lines; what does not fit belongs on a page of docs/."""

SHOWING_ONLY = ("--help", "--print_config")


def commands() -> list[str]:
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in FIRST_PAGES]
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)]
    lines = [shlex.join(shlex.split(line, comments=True)) for block in blocks for line in block.splitlines() if line]
    return list(dict.fromkeys(lines))


def write_released(path: Path) -> None:
    """Write a checkpoint as the authors of IRN and RIB release their classifier for VOC."""
    weights = fill_state_dict(load_layout("resnet50_cam").shapes)
    torch.save({name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}, path)


def write_traced(onnx_file: Path, segmenter: SegmentationNetwork, path: Path, info: OnnxInfo) -> float:
    """Write a traced network in the place of another."""
    path.write_bytes(onnx_file.read_bytes())
    return 0.0


def make_workspace(root: Path) -> None:
    """Lay out what the pages take for granted: photographs, VOC, COCO and a released checkpoint."""
    make_photos(root / "photos", count=6)
    make_photos(root / "new_photos", count=3)
    write_released(root / "res50_cam.pth")
    names = {f"2007_{n:06d}": (("cat",), ("dog",), ("cat", "dog"), ("person",))[n % 4] for n in range(5)}
    voc = write_voc(root / "VOCdevkit" / "VOC2012", names, train=list(names)[:4], val=list(names)[4:])
    for name in names:
        write_image(voc / "JPEGImages" / f"{name}.jpg", (40, 52))
        write_mask(voc / "SegmentationClassAug" / f"{name}.png", np.full((40, 52), 8))
    files = [f"{n:012d}.jpg" for n in range(4)]
    for split in ("train2014", "val2014"):
        document = coco_document(["cat", "dog"], files, [(n, n % 2, square(4, 4, 9)) for n in range(3)], (40, 52))
        write_json(root / "coco" / "annotations" / f"instances_{split}.json", document)
        for name in files:
            write_image(root / "coco" / split / name, (40, 52))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_every_command_of_the_readme_and_the_first_pages_runs(
    tmp_path: Path, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    # Tracing takes seconds, and networks of runs are traced by tests/predict/test_command.py.
    monkeypatch.setattr("weakseg.handover.network.export_onnx", partial(write_traced, onnx_file))
    for study in ("rib", "seeds", "bottleneck"):  # these figures have tests of their own
        monkeypatch.setattr(f"weakseg.studies.{study}.study.draw_{study}", lambda figure, *results: None)
    assert main(["demo", *FEWER_CRITTERS, *TINIER]) == 0
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()
    ran = 0
    for command in commands():
        program, *words = shlex.split(command)
        if program == "weakseg":
            tiny = words[0] in TRAINING_VERBS and not set(words) & set(SHOWING_ONLY)
            of_methods = (*(TINY_RIB if "rib" in words else ()), *(TINY_IRN if "irn" in words else ()))
            if "--classifier.released" in words:
                of_methods = (*TINY_RIB, *TINY_IRN, *TINY_AROUND_RELEASED)
            study = STUDIES[words[1]] if words[0] == "study" else ()
            smaller = (*TINIER, *of_methods) if tiny else SMALLER.get(words[0], study)
            assert main([*words, *smaller]) == 0, command
            ran += 1
        elif program == "make":
            # The recipe of the target is read, not run: `make test` would start this very test.
            result = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True)
            assert result.stdout, command
        else:
            pytest.fail(f"the test does not know: {command}")
    assert ran >= 25
    assert (tmp_path / "runs" / "folder" / "report.html").is_file()
    assert (tmp_path / "new_masks").is_dir()


def test_make_starts_the_demo_that_the_readme_runs() -> None:
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert recipe.splitlines()[-1] == ".venv/bin/weakseg demo"


def test_the_readme_fits_two_screens_and_leaves_nothing_to_fill_in() -> None:
    assert len(README.splitlines()) <= TWO_SCREENS
    assert "@@" not in README
