from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image

from tests.data.export.made_split import CASES, make_split, read_files, without_void
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.voc import write_voc

RESULTS = Path("results/VOC2012/Segmentation/comp6_train_aug_cls")


def export(tmp_path: Path) -> tuple[Path, list[str]]:
    folder = ExportFolder(tmp_path / "out", format="voc")
    notes = write_voc(make_split(tmp_path / "photos"), folder)
    folder.finish()
    return folder.root, notes


def test_the_layout_is_that_of_the_test_server_and_names_are_reversible(tmp_path: Path) -> None:
    root, _ = export(tmp_path)
    paths = [Path(name) for name in read_files(root)]
    assert {path.parent for path in paths} == {RESULTS}
    assert {unquote(path.stem) for path in paths} == set(CASES)
    assert (root / RESULTS / "home%2Fgarden%2Fphoto 01.png").is_file()


def test_pillow_reads_every_label_with_void_as_background(tmp_path: Path) -> None:
    root, notes = export(tmp_path)
    for path in (root / RESULTS).iterdir():
        with Image.open(path) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), without_void(CASES[unquote(path.stem)]))
            assert image.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    assert notes == ["void pixels of 2 images are written as background"]


def test_no_result_exceeds_the_last_of_80_classes(tmp_path: Path) -> None:
    labels = np.arange(81, dtype=np.uint8).reshape(9, 9)
    split = make_split(tmp_path / "photos", {"a": labels}, names=tuple(f"class {n}" for n in range(80)))
    folder = ExportFolder(tmp_path / "out", format="voc")
    assert write_voc(replace(split, name="val"), folder) == []
    with Image.open(folder.root / "results/VOC2012/Segmentation/comp6_val_cls/a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
