import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.export.made_split import CASES, make_split, without_void
from tests.handover.corrections.made_known import know, masks_of
from weakseg.data.export.coco import write_coco
from weakseg.data.export.cvat import write_cvat
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.formats import FORMATS
from weakseg.data.export.label_studio import write_label_studio
from weakseg.data.export.split import LabelledSplit
from weakseg.data.export.voc import write_voc
from weakseg.data.export.yolo_seg import write_yolo_seg
from weakseg.data.masks import encode_mask
from weakseg.file_names import safe_path
from weakseg.files import write_bytes
from weakseg.types import ClassSet

PACKED = "the whole export as a zip file"


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> LabelledSplit:
    return make_split(tmp_path_factory.mktemp("images"))


def annotate(tasks: Path) -> None:
    """Do what Label Studio does when somebody submits every prediction as it is."""
    document = json.loads(tasks.read_text())
    for task in document:
        task["annotations"] = [{"result": prediction["result"]} for prediction in task.pop("predictions")]
    tasks.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("write", "file", "finish"),
    [
        (write_cvat, "", None),
        (write_cvat, "annotations.zip", None),
        (write_label_studio, "tasks.json", annotate),
        (write_coco, "", None),
        (write_coco, "semantic_results.json", None),
        (write_coco, PACKED, None),
        (write_yolo_seg, "", None),
        (write_yolo_seg, "labels", None),
        (write_yolo_seg, PACKED, None),
        (write_voc, "", None),
        (write_voc, PACKED, None),
    ],
)
def test_masks_come_back_pixel_by_pixel_from_what_was_exported(
    write: Callable[[LabelledSplit, ExportFolder], list[str]],
    file: str,
    finish: Callable[[Path], None] | None,
    split: LabelledSplit,
    tmp_path: Path,
) -> None:
    write(split, ExportFolder(tmp_path / "out", format="x"))
    source = tmp_path / "out" / file
    if file == PACKED:
        source = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "out"))
    if finish is not None:
        finish(source)
    found = masks_of(source, split)
    said = {key for key, mask in CASES.items() if without_void(mask).any()}
    assert said <= set(found) <= set(CASES)
    for key, mask in found.items():
        np.testing.assert_array_equal(mask, without_void(CASES[key]), err_msg=key)
        assert mask.dtype == np.uint8
    if write in (write_cvat, write_yolo_seg, write_label_studio, write_voc):  # what is empty is said to be so
        assert set(found) == set(CASES)


def test_every_export_that_holds_masks_can_be_brought_back() -> None:
    assert set(FORMATS) - {"hf-dataset"} == {"voc", "coco", "yolo-seg", "cvat", "label-studio"}


def test_a_folder_of_masks_keeps_what_nobody_looked_at(split: LabelledSplit, tmp_path: Path) -> None:
    for key, mask in CASES.items():
        write_bytes(tmp_path / "masks" / f"{safe_path(key)}.png", encode_mask(mask))
    found = masks_of(tmp_path / "masks", split)
    assert set(found) == set(CASES)
    for key, mask in found.items():
        np.testing.assert_array_equal(mask, CASES[key])


@pytest.mark.parametrize("num_classes", [1, 80])
@pytest.mark.parametrize("write", [write_cvat, write_coco, write_yolo_seg])
def test_one_class_and_eighty(
    write: Callable[[LabelledSplit, ExportFolder], list[str]], num_classes: int, tmp_path: Path
) -> None:
    names = tuple(f"class {number}" for number in range(num_classes))
    labels = np.random.default_rng(0).integers(0, num_classes + 1, (7, 11)).astype(np.uint8)
    split = make_split(tmp_path / "images", {"a": labels}, names=names)
    write(split, ExportFolder(tmp_path / "out", format="x"))
    np.testing.assert_array_equal(masks_of(tmp_path / "out", split)["a"], labels)


def test_polygons_written_with_few_decimals_are_nearly_the_same(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :401]
    disc = (((y - 140.0) ** 2 + (x - 222.0) ** 2) < 90.0**2).astype(np.uint8)
    split = make_split(tmp_path / "images", {"a": disc}, names=("cat",))
    write_yolo_seg(split, ExportFolder(tmp_path / "out", format="x"))
    (path,) = (tmp_path / "out" / "labels").rglob("*.txt")
    key, *values = path.read_text().split()
    path.write_text(" ".join([key, *(f"{float(value):.4f}" for value in values)]) + "\n")
    found = masks_of(tmp_path / "out", split)["a"] > 0
    assert (found & (disc > 0)).sum() / (found | (disc > 0)).sum() >= 0.99


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "label-studio"])
def test_an_export_is_taken_as_it_is_whatever_its_images_are_called(to: str, tmp_path: Path) -> None:
    mask = np.zeros((6, 9), np.uint8)
    mask[1:3, 2:6] = 1
    names = ("x", "sub/x", "sub/sub/x", "sub/X", "images/x", "sub%2Fx", "n" * 245, "8#1, 'a b'", "a: 50 %")
    masks = {name: np.roll(mask, place, axis=1) for place, name in enumerate(names)}
    split = make_split(tmp_path / "images", masks, names=("cat",))
    folder = ExportFolder(tmp_path / "out", format=to)
    FORMATS[to].write(split, folder)
    folder.finish()
    found = masks_of(tmp_path / "out", split)
    assert found.keys() == masks.keys()
    for name, expected in masks.items():
        np.testing.assert_array_equal(found[name], expected)


def test_names_mean_images_and_classes_in_the_ways_that_tools_write_them(split: LabelledSplit) -> None:
    known = know(split)
    for written in ("home/garden/photo 01", "home%2Fgarden%2Fphoto 01", "photo 01.png", "/x/home/garden/photo 01.png"):
        assert known.find(written) == "home/garden/photo 01"
    assert [known.label_of(name) for name in ("cat", "CAT", "dog%3A big", "background", "void")] == [1, 1, 2, 0, 255]
    assert known.classes == ClassSet(split.classes.names)
