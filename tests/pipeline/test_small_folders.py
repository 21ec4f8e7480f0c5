"""Folders of a handful of images, or hardly any tags, through the whole chain with the recipe `folder`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photos import TINY, draw
from weakseg.cli import main
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.threshold_file import load_choice

pytestmark = pytest.mark.slow

QUICK = (*TINY, "--classifier.epochs=1", "--segmenter.epochs=1", "--report.gallery_images=1")


def make_folder(root: Path, tags: tuple[str, ...], *, classes: str = "cat\nsofa\n", torn: int | None = None) -> None:
    """Write an image per entry of `tags`, such as `cat;sofa`; `torn` is cut in half."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for index, written in enumerate(tags):
        path = root / f"{index}.png"
        Image.fromarray(draw(rng, tuple(filter(None, written.split(";"))), (60, 81))).save(path)
        if index == torn:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows = [f"{index}.png,{written}" for index, written in enumerate(tags)]
    (root / "tags.csv").write_text("\n".join(["image,tags", *rows]) + "\n")
    (root / "classes.txt").write_text(classes)


@pytest.mark.parametrize(
    ("tags", "classes", "torn", "images", "with_val"),
    [
        (("cat", "sofa", "cat;sofa"), "cat\nsofa\n", None, 3, False),
        (("cat", "", "cat"), "cat\n", None, 2, True),
        (("", "", ""), "cat\nsofa\n", None, 0, False),
        (("", "", ""), "cat\nsofa\n", None, 0, True),
        (("cat", "sofa", "cat", ""), "cat\nsofa\n", 0, 2, True),
    ],
    ids=["three images", "one class", "no tag", "no tag, with validation", "a torn image"],
)
def test_auto_gets_through(
    tmp_path: Path, tags: tuple[str, ...], classes: str, torn: int | None, images: int, with_val: bool
) -> None:
    photos, run = tmp_path / "photos", RunFolder(tmp_path / "run")
    make_folder(photos, tags, classes=classes, torn=torn)
    split = ("--data.val_fraction=0.34",) if with_val else ("--data.val=null", "--data.val_fraction=0")
    assert main(["run", "folder", "--data.root", str(photos), "--out", str(run.root), *split, *QUICK]) == 0
    choice = load_choice(run.threshold)
    assert choice.images <= images
    assert choice.images == images or with_val
    assert choice.threshold in choice.candidates
    assert len(list(run.masks.glob("*.png"))) == len(tags) - (torn is not None)
    assert run.report.is_file()


def test_too_few_images_for_a_validation_split_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    make_folder(photos, ("cat", "sofa", "cat;sofa"))
    assert main(["run", "folder", "--data.root", str(photos), "--out", str(tmp_path / "run"), *QUICK]) == 1
    assert " ".join(capsys.readouterr().err.split()).endswith(
        "split 'val' is empty: 3 tagged images, of which 10% are held out as 'val'; set data.val_fraction so that both "
        "splits get some, or data.val to null for no validation"
    )


def test_a_run_with_saliency_is_taken_up_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, run = tmp_path / "photos", RunFolder(tmp_path / "run")
    make_folder(photos, ("cat", "sofa", "cat;sofa"))
    (tmp_path / "maps").mkdir()
    for index in range(3):
        Image.new("L", (9, 7)).save(tmp_path / "maps" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    words = ("--data.val=null", "--data.val_fraction=0", "--refine.saliency.folder=maps")
    assert main(["run", "folder", "--data.root=photos", "--out=run", *words, *QUICK]) == 0
    before = run.mask("0").read_bytes()
    assert 255 in np.asarray(Image.open(run.mask("0"))), "nothing is salient"
    monkeypatch.chdir(photos)
    run.mask("0").unlink()
    assert main(["run", str(run.root)]) == 0
    assert run.mask("0").read_bytes() == before
