"""What is wrong in a file is said of the entry that is wrong, in one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.export.made_split import make_split
from tests.data.export.rle_pack import unpack
from tests.handover.corrections.made_known import masks_of, read_all
from weakseg.data.export.brush_rle import decode_brush, encode_brush
from weakseg.data.export.split import LabelledSplit
from weakseg.errors import DataError, ShapeError, UsageError
from weakseg.handover.corrections.formats import opened

MASK = np.zeros((6, 9), np.uint8)
MASK[1:3, 2:5] = 2


@pytest.fixture
def split(tmp_path: Path) -> LabelledSplit:
    return make_split(tmp_path / "images", {"a": MASK, "b/c": MASK.T.copy()}, names=("cat", "dog"))


CVAT = """<annotations><version>1.1</version>
<image id="0" name="a.png" width="9" height="6">{shapes}</image>
<image id="1" name="b/c.png" width="6" height="9"/>
</annotations>"""


def write_cvat(root: Path, shapes: str) -> Path:
    path = root / "annotations.xml"
    path.write_text(CVAT.format(shapes=shapes))
    return path


def test_cvat_shapes_lie_in_their_order(split: LabelledSplit, tmp_path: Path) -> None:
    path = write_cvat(
        tmp_path,
        '<polygon label="dog" points="2.0,1.0;5.0,1.0;5.0,3.0;2.0,3.0" z_order="1"/><tag label="cat"/>'
        '<mask label="cat" rle="1,2,3,1,1" left="1" top="2" width="4" height="2" z_order="2"/>'
        '<polygon label="cat" points="0,0;9,0;9,6;0,6" z_order="0"/>',
    )
    expected = np.full((6, 9), 1, np.uint8)
    expected[1:3, 2:5] = 2
    expected[2, 2:4] = 1
    expected[3, 3] = 1
    found = masks_of(path, split)
    assert set(found) == {"a"}  # nothing is said of an image without a shape
    np.testing.assert_array_equal(found["a"], expected)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ('<box label="cat" xtl="0" ytl="0" xbr="2" ybr="2"/>', "got a box, which is no mask"),
        ('<polygon label="cow" points="0,0;1,0;1,1"/>', "unknown class 'cow'"),
        ('<polygon label="cat" points="0,0;1,0"/>', "expected three corners x y or more, got 4 numbers"),
        ('<polygon label="cat" points="0,0;1"/>', "expected three corners x y or more, got 3 numbers"),
        ('<polygon label="cat" points="a,b"/>', "expected the corners of a polygon"),
        ('<mask label="cat" rle="3" left="8" top="0" width="3" height="1"/>', "does not fit into the image"),
        ('<mask label="cat" rle="2" left="0" top="0" width="3" height="1"/>', "cover 2 pixels, not 3 x 1"),
        ('<mask label="cat" rle="x" left="0" top="0" width="3" height="1"/>', "expected the run lengths"),
        ('<mask label="cat" rle="3" top="0" width="3" height="1"/>', "expected a whole number as left of a mask"),
    ],
)
def test_cvat_shapes_that_cannot_be_read(shapes: str, text: str, split: LabelledSplit, tmp_path: Path) -> None:
    (entry,) = read_all(write_cvat(tmp_path, shapes), split)
    assert entry.mask is None
    assert entry.fault is not None
    assert text in entry.fault
    assert "image 0" in entry.where


def task(result: list[object], **more: object) -> dict[str, object]:
    return {"data": {"image": "/data/local-files/?d=x/a.png"}, "annotations": [{"result": result}], **more}


def region(kind: str, value: dict[str, object], *, label: str = "dog", size: tuple[int, int] = (6, 9)) -> object:
    size_of = {"original_height": size[0], "original_width": size[1], "image_rotation": 0}
    return {"type": kind, "value": {**value, kind: [label]}, **size_of}


def test_label_studio_reads_brush_and_polygon_of_the_last_annotation(split: LabelledSplit, tmp_path: Path) -> None:
    corners = [[200 / 9, 100 / 6], [500 / 9, 100 / 6], [500 / 9, 50], [200 / 9, 50]]
    everywhere = region("brushlabels", {"rle": encode_brush(np.ones((6, 9), bool))}, label="cat")
    entry = task([everywhere, region("polygonlabels", {"points": corners}), {"type": "choices"}])
    entry["annotations"] = [{"result": []}, *entry["annotations"], {"result": [], "was_cancelled": True}]  # type: ignore[misc]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([entry, {"data": {"image": "b/c.png"}, "annotations": []}]))
    expected = np.where(MASK == 2, MASK, np.uint8(1))
    found = masks_of(path, split)
    assert set(found) == {"a"}
    np.testing.assert_array_equal(found["a"], expected)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (region("brushlabels", {"rle": [1, 2]}), "the brush ends too early"),
        (region("brushlabels", {"rle": [1, 300]}), "expected bytes 0..255"),
        (region("brushlabels", {"rle": encode_brush(np.ones((6, 8), bool))}), "expected the brush of 9 x 6 pixels"),
        (region("brushlabels", {"rle": []}, size=(9, 6)), "expected a picture of 9 x 6 pixels, got 6 x 9"),
        (region("rectanglelabels", {}), "got rectanglelabels, which is no mask"),
        (region("polygonlabels", {"points": []}), "the polygon has no corners"),
        (region("polygonlabels", {"points": [[1]]}), "expected the number '1'"),
        (region("brushlabels", {"rle": encode_brush(np.ones((6, 9), bool))}, label="cow"), "unknown class 'cow'"),
    ],
)
def test_label_studio_regions_that_cannot_be_read(
    entry: object, text: str, split: LabelledSplit, tmp_path: Path
) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task([entry])]))
    (brought,) = read_all(path, split)
    assert brought.fault is not None
    assert text in brought.fault
    assert brought.image == "x/a.png"


def test_coco_draws_polygons_rles_and_crowds(split: LabelledSplit, tmp_path: Path) -> None:
    square = [2, 1, 5, 1, 5, 3, 2, 3]
    crowd = {"size": [6, 9], "counts": [0, 6, 48]}
    document = {
        "images": [{"id": 7, "file_name": "photos/a.png"}, {"id": 8, "file_name": "b/c.png"}],
        "categories": [{"id": 4, "name": "dog"}, {"id": 5, "name": "unused and unknown"}],
        "annotations": [
            {"image_id": 7, "category_id": 4, "segmentation": [square]},
            {"image_id": 7, "category_id": 4, "segmentation": crowd, "iscrowd": 1},
            {"image_id": 9, "category_id": 4, "segmentation": [square]},
            {"image_id": 8, "category_id": 4, "segmentation": [[1, 2]]},
        ],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    lost, drawn, bad = read_all(path, split)
    assert lost.fault == "there is no image with the id 9"
    assert bad.fault is not None
    assert "at least three" in bad.fault
    expected = MASK.copy()
    expected[:, 0] = 255
    np.testing.assert_array_equal(drawn.mask, expected)
    document["categories"][0]["name"] = "cow"  # type: ignore[index]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"coco\.json: unknown class 'cow'"):
        read_all(path, split)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("2 0 0 1 0 1 1", "line 1: expected a class 0..1, got 2"),
        ("0 0.5 0.5 0.2 0.2", "line 1 is a box, which is no mask"),
        ("0 0 0 1 0 1", "line 1: expected three corners x y or more, got 5 numbers"),
        ("cat 0 0", "line 1: expected numbers only, got 'cat 0 0'"),
        ("0 0 0 nan 0 1 1", "corners far outside"),
    ],
)
def test_yolo_lines_that_cannot_be_read(line: str, text: str, split: LabelledSplit, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(line + "\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (entry,) = read_all(tmp_path / "labels", split)
    assert entry.fault is not None
    assert text in entry.fault
    assert entry.where.endswith("a.txt")


def test_what_is_no_source_at_all(split: LabelledSplit, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    (tmp_path / "none.json").write_text('[{"data": {"image": "a.png"}, "predictions": []}]')
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../a.png", b"x")
    (tmp_path / "entity.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>')
    for name, text in (
        ("gone", "there is no file or folder"),
        ("empty", "holds no masks in any of the formats"),
        ("a.txt", "expected a folder, or a .zip, .json or .xml file"),
        ("bad.json", "is no JSON"),
        ("bad.zip", "not a readable zip file"),
        ("none.json", "none of its 1 tasks was annotated"),
        ("out.zip", "leads out of it"),
        ("entity.xml", "defines entities"),
    ):
        with pytest.raises(DataError, match=text) as caught:
            read_all(tmp_path / name, split)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="--format: expected one of folder, cvat"), opened(tmp_path, format="voc"):
        pass


def test_what_is_wrong_in_a_zip_file_is_told_by_its_name(split: LabelledSplit, tmp_path: Path) -> None:
    archive = tmp_path / "back.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("out/tasks.json", "{")
    with pytest.raises(DataError) as caught:
        read_all(archive, split)
    assert str(caught.value).startswith(f"{archive}/out/tasks.json is no JSON")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("out/a.png", b"no picture")
    with opened(archive) as found:
        message = found.name_source(f"{found.place / 'a.png'}: broken")
    assert message == f"{archive}/out/a.png: broken"
    with opened(tmp_path / "images") as found:
        assert found.name_source("as it is") == "as it is"


@pytest.mark.parametrize("seed", range(3))
def test_the_brush_decodes_what_the_description_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((13, 17)) < rng.random()
    data = encode_brush(mask)
    np.testing.assert_array_equal(decode_brush(np.array(data, np.uint8), (13, 17)), mask)
    assert np.array(unpack(data)).reshape(13, 17, 4)[..., 3].astype(bool).tolist() == mask.tolist()


def test_the_brush_reads_single_values_and_refuses_too_many() -> None:
    # 4 values of 8 bits, lengths of 3, 4, 8 and 16 bits; one entry of 4 single values: 9, 9, 9, 255.
    head = f"{4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    body = "0" + "00" + f"{3:03b}" + "".join(f"{value:08b}" for value in (9, 9, 9, 255))
    text = (head + body).ljust(-(-len(head + body) // 8) * 8, "0")
    data = np.array([int(text[at : at + 8], 2) for at in range(0, len(text), 8)], np.uint8)
    assert decode_brush(data, (1, 1)).tolist() == [[True]]
    with pytest.raises(ShapeError, match="expected the brush of 2 x 1 pixels, 8 bytes, got 4 values"):
        decode_brush(data, (1, 2))
    body = "1" + "00" + f"{7:03b}" + f"{255:08b}"
    text = (head + body).ljust(-(-len(head + body) // 8) * 8, "0")
    data = np.array([int(text[at : at + 8], 2) for at in range(0, len(text), 8)], np.uint8)
    with pytest.raises(ShapeError, match="holds more than the 4 values"):
        decode_brush(data, (1, 1))
