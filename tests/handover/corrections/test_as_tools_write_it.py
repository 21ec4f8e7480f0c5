"""Corrected masks as tools, systems and people hand them back: read, or named in one line."""

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.export.made_split import make_split
from tests.handover.corrections.made_known import know, masks_of, read_all
from weakseg.data.export.split import LabelledSplit
from weakseg.errors import DataError

MASK = np.zeros((6, 9), np.uint8)
MASK[1:3, 2:5] = 2
SQUARE = [2, 1, 5, 1, 5, 3, 2, 3]
LINE = "1 0.2222223 0.1666667 0.5555556 0.1666667 0.5555556 0.5 0.2222223 0.5\n"
IMAGE, CATEGORY = {"id": 1, "file_name": "a.png"}, {"id": 2, "name": "dog"}
OBJECT = {"image_id": 1, "category_id": 2, "segmentation": [SQUARE]}
LABELMAP = "background:0,0,0::\ndog:9,90,9::\n"


@pytest.fixture
def split(tmp_path: Path) -> LabelledSplit:
    return make_split(tmp_path / "images", {"a": MASK, "b/c": MASK.T.copy()}, names=("cat", "dog"))


def picture(pixels: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def sort_palette(mask: np.ndarray) -> bytes:
    """Return a mask of 0 and 2 as paint programs save it that sort colours: 0 is label 2, 1 the background."""
    image = Image.fromarray(np.where(mask > 0, np.uint8(0), np.uint8(1)))
    image.putpalette([0, 128, 0, 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


PNG = picture(MASK)
PAINTED = picture(np.where(MASK[..., None] > 0, np.array((9, 90, 9), np.uint8), np.uint8(0)))


def coco(**more: object) -> str:
    return json.dumps({"images": [IMAGE], "categories": [CATEGORY], "annotations": [OBJECT], **more})


def put(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files, or a zip file of them where `root` is called so."""
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    if root.suffix.lower() == ".zip":
        with zipfile.ZipFile(root, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        return root
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("root", "files"),
    [
        ("back", {"a.PNG": PNG}),
        ("back", {"a_mask.png": PNG}),
        ("back", {"a.png": PNG, "a_confidence.png": picture(90 + MASK), "a_overlay.jpg": b"", "summary.json": "{}"}),
        ("back", {"a.png": sort_palette(MASK), "labelmap.txt": "background:0,0,0::\ndog:0,128,0::\n"}),
        ("back", {"a.bmp": picture(MASK, "BMP")}),
        ("back", {"a.tif": picture(MASK, "TIFF"), "notes.txt": ""}),
        ("back", {"a.png": PNG, ".trash/a.png": b"", "__MACOSX/a.png": b"", "@eaDir/a.png/x.png": b""}),
        ("back", {"a.png": picture(100 * MASK), "labelmap.txt": "background:0,0,0::\ndog:200,200,200::\n"}),
        ("back", {"annotations/instances_default.json": coco(), "images/a.png": PAINTED}),
        ("back", {"_annotations.coco.json": coco(), "a.png": PAINTED}),
        ("back", {"data.yaml": "names: [cow, dog]", "labels/a.TXT": LINE, "README.roboflow.txt": "Roboflow"}),
        ("back", {"data.yaml": "names: {'0': cat, '1': dog}", "labels/a_png.rf.0123456789abcdef01.txt": LINE}),
        ("back.zip", {"out/a.png": PNG, "out/.DS_Store": b"", "__MACOSX/out/._a.png": b"x"}),
        ("back.zip", {"out\\a.png": PNG}),
        ("back.ZIP", {"out/a.PNG": PNG}),
        (
            "back.zip",
            {"t/labelmap.txt": LABELMAP, "t/SegmentationClass/a.PNG": PAINTED, "__MACOSX/t/._labelmap.txt": b"x"},
        ),
        ("back", {"a.json": coco(images=[{**IMAGE, "id": "1", "width": 9, "height": 6.0}])}),
        ("back", {"a.json": coco(images=[{**IMAGE, "width": 0, "height": 0}])}),
        ("back", {"a.json": coco(annotations=[{**OBJECT, "image_id": "1", "category_id": "2.0"}])}),
    ],
)
def test_what_tools_and_systems_make_of_it_is_read(
    root: str, files: Mapping[str, bytes | str], split: LabelledSplit, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(masks_of(put(tmp_path / root, files), split)["a"], MASK)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.json": coco(images=[{**IMAGE, "width": 90, "height": 60}])}, "of 9 x 6 pixels, got them for 90 x 60"),
        ({"a.json": coco(annotations=[{**OBJECT, "segmentation": [[20, 1, 30, 1, 30, 3]]}])}, "at x = 20..30"),
        ({"a.json": coco(annotations=[{**OBJECT, "image_id": 7}])}, "there is no image with the id 7"),
        ({"a.png": sort_palette(MASK)}, "palette index 0 has the VOC colour of label 2; if an editor has reordered"),
        ({"classes.txt": "cat\ndog\n", "labels/a.txt": "1 2 1 5 1 5 3\n"}, "shares 0..1 of width and height, got 5"),
        ({"classes.txt": "cat\nowl\n", "labels/a.txt": LINE}, "unknown class 'owl'"),
        ({"annotations.xml": "9,0;90,0;90,6"}, "a shape lies outside the image of 9 x 6 pixels, at x = 9..90"),
        (
            {"annotations.xml": '0,0;9,0;9,6" z_order="top'},
            "a whole number as z_order of a polygon, got 'top'",
        ),
    ],
)
def test_what_means_something_else_is_a_fault(
    files: dict[str, bytes | str], text: str, split: LabelledSplit, tmp_path: Path
) -> None:
    if "annotations.xml" in files:
        shape = f'<polygon label="cat" points="{files["annotations.xml"]!s}"/>'
        files = {"annotations.xml": f'<annotations><image name="a" width="9" height="6">{shape}</image></annotations>'}
    (entry,) = read_all(put(tmp_path / "back", files), split)
    assert text in str(entry.fault)


@pytest.mark.parametrize(
    ("files", "format", "text"),
    [
        ({"a.jpg": b""}, None, r"\(files: 1 \.jpg; JPEG blurs labels, so save masks as PNG\)"),
        ({"a.gif": b""}, "coco", r"holds no masks in the format coco; .* \(files: 1 \.gif\)"),
        (
            {"annotations/x.json": "{}", "annotations/y.json": "{}"},
            None,
            r"several .*/x\.json, annotations/y",
        ),
        (
            {"a.json": coco(images=[IMAGE, {"id": 1, "file_name": "b/c.png"}])},
            None,
            "'b/c.png' has the id 1 of 'a.png'",
        ),
        (
            {"a.json": coco(annotations=[{**OBJECT, "segmentation": [[0, 0, 0.5, 0, 0.5, 1]]}])},
            None,
            "corners in pixels",
        ),
        ({"a.json": '[{"id": 1, "image": "a.png"}]'}, None, "in the format JSON, not JSON-MIN"),
    ],
)
def test_what_cannot_be_read_as_a_whole_says_what_is_there(
    files: Mapping[str, bytes | str], format: str | None, text: str, split: LabelledSplit, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=text):
        read_all(put(tmp_path / "back", files), split, format=format)


def test_pictures_beside_masks_are_passed_over_by_name(
    split: LabelledSplit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="weakseg"):
        masks_of(put(tmp_path / "back", {"a.png": PNG, "photos/a.jpg": b"", "c.jpg": b""}), split)
    assert "1 pictures such as c.jpg are passed over" in caplog.text


def test_masks_of_0_and_255_are_doubted(split: LabelledSplit, tmp_path: Path) -> None:
    (binary, numbered) = read_all(
        put(tmp_path / "back", {"a.png": picture(np.where(MASK > 0, 255, MASK)), "b/c.png": picture(MASK.T)}), split
    )
    assert "holds 0 and 255 alone, and 255 means 'not looked at'; number the classes" in str(binary.doubt)
    assert numbered.doubt is None


def test_uploaded_images_are_known_by_their_names_before(split: LabelledSplit) -> None:
    for written in ("/data/upload/1/3f2a1b4c-a.png", "train/a_png.rf.0123456789abcdef0123456789abcdef.png"):
        assert know(split).find(written) == "a"
