import io
import json
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tests.data.export.made_split import CASES, NAMES, make_instances, make_split, read_files, without_void
from weakseg.data.export.cvat import label_names, write_cvat
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.split import LabelledSplit
from weakseg.errors import DataError
from weakseg.ops.instances import Instances

Annotation = tuple[str, np.ndarray]


def export(root: Path, split: LabelledSplit) -> list[str]:
    folder = ExportFolder(root, format="cvat")
    notes = write_cvat(split, folder)
    folder.finish()
    return notes


def voc_colours() -> dict[tuple[int, int, int], int]:
    """VOC's colour map, by the rule of its development kit: bit 3k + c of a number is bit 7 - k of channel c."""
    return {
        tuple(sum((number >> (3 * k + c) & 1) << (7 - k) for k in range(8)) for c in range(3)): number
        for number in range(256)
    }


def read_labelmap(text: str) -> dict[tuple[int, int, int], str]:
    found: dict[tuple[int, int, int], str] = {}
    for line in text.splitlines():
        if line.strip() and line[0] != "#":
            name, colour, _, _ = line.split(":")
            red, green, blue = map(int, colour.split(","))
            assert name not in found.values()
            found[red, green, blue] = name
    return found


def read_picture(content: bytes, places: dict[tuple[int, int, int], int]) -> np.ndarray:
    """Read a mask by its colours, and check that its numbers say the same."""
    with Image.open(io.BytesIO(content)) as image:
        numbers, pixels = np.asarray(image), np.asarray(image.convert("RGB"))
    read = np.array([[places[tuple(pixel)] for pixel in row] for row in pixels.tolist()], np.int64)
    np.testing.assert_array_equal(numbers, read)
    return read


def read_archive(path: Path) -> dict[str, list[Annotation]]:
    """Read the annotations as CVAT does: an object's mask with the label under it; 0 is no object."""
    found: dict[str, list[Annotation]] = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        labelmap = read_labelmap(archive.read("labelmap.txt").decode())
        ids = archive.read("ImageSets/Segmentation/default.txt").decode().split("\n")
        assert ids.pop() == ""
        expected = {"labelmap.txt", "ImageSets/Segmentation/default.txt"}
        for id in ids:
            places = {colour: place for place, colour in enumerate(labelmap)}
            labels = read_picture(archive.read(f"SegmentationClass/{id}.png"), places)
            objects = read_picture(archive.read(f"SegmentationObject/{id}.png"), voc_colours())
            np.testing.assert_array_equal(labels > 0, objects > 0)
            found[id] = []
            for number in np.unique(objects[objects > 0]).tolist():
                (label,) = np.unique(labels[objects == number])
                found[id].append((list(labelmap.values())[label], objects == number))
            expected |= {f"{kind}/{id}.png" for kind in ("SegmentationClass", "SegmentationObject")}
        assert set(archive.namelist()) == expected
    return found


def paint(annotations: list[Annotation], names: tuple[str, ...], size_hw: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros(size_hw, np.uint8)
    for name, mask in annotations:
        labels[mask] = names.index(unquote(name)) + 1
    return labels


def test_an_import_gives_every_label_map_back(tmp_path: Path) -> None:
    notes = export(tmp_path / "out", make_split(tmp_path / "photos"))
    found = read_archive(tmp_path / "out/annotations.zip")
    assert list(found) == list(CASES)
    for id, labels in CASES.items():
        np.testing.assert_array_equal(paint(found[id], NAMES, labels.shape), without_void(labels))
    assert notes == [
        "void pixels of 2 images are written as background",
        "labels that the format cannot hold as they are: dog%3A big, %233 fox & <co>",
    ]


def test_no_annotation_has_a_label_that_the_task_lacks(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    labels = json.loads((tmp_path / "out/labels.json").read_text())
    task = {label["name"] for label in labels}
    assert task == {"cat", "dog%3A big", "%233 fox & <co>"}
    assert labels[0] == {"name": "cat", "color": "#800000", "attributes": []}
    for annotations in read_archive(tmp_path / "out/annotations.zip").values():
        assert {name for name, _ in annotations} <= task


def test_each_connected_part_is_an_object(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    found = read_archive(tmp_path / "out/annotations.zip")
    assert [name for name, _ in found["touching"]] == ["cat", "cat", "dog%3A big"]
    assert found["empty"] == found["all void"] == []


def test_instances_are_the_objects(tmp_path: Path) -> None:
    labels = np.full((5, 8), 1, np.uint8)
    left = np.zeros((5, 8), bool)
    left[:, :3] = True
    instances = {"a": make_instances(left, ~left, keys=[0, 0], scores=[0.9, 0.5]), "b": Instances.none((5, 8))}
    masks = {"a": labels, "b": labels * 0}
    export(tmp_path / "out", make_split(tmp_path / "photos", masks, instances=instances))
    (_, first), (_, second) = read_archive(tmp_path / "out/annotations.zip")["a"]
    np.testing.assert_array_equal(first, left)
    np.testing.assert_array_equal(second, ~left)


@pytest.mark.parametrize(("parts", "objects"), [(255, 255), (256, 1)])
def test_more_objects_than_colours_become_one_per_class(parts: int, objects: int, tmp_path: Path) -> None:
    labels = np.zeros((1, 2 * parts), np.uint8)
    labels[0, ::2] = 3
    notes = export(tmp_path / "out", make_split(tmp_path / "photos", {"a": labels}, names=("x", "y", "z")))
    found = read_archive(tmp_path / "out/annotations.zip")["a"]
    assert len(found) == objects
    np.testing.assert_array_equal(paint(found, ("x", "y", "z"), labels.shape), labels)
    assert notes == ([] if parts == 255 else ["1 images have more than 255 objects and were given one per class"])


def test_254_classes(tmp_path: Path) -> None:
    names = tuple(f"class {n}" for n in range(254))
    labels = np.arange(255, dtype=np.uint8).reshape(5, 51)
    export(tmp_path / "out", make_split(tmp_path / "photos", {"a": labels}, names=names))
    found = read_archive(tmp_path / "out/annotations.zip")["a"]
    np.testing.assert_array_equal(paint(found, names, labels.shape), labels)


def test_names_that_the_label_map_cannot_hold_are_encoded_reversibly(tmp_path: Path) -> None:
    names = ("background", "Background", "#a", "a:b", "100%", "two\nlines", "a, b")
    split = make_split(tmp_path, {"a": np.zeros((2, 3), np.uint8)}, names=names)
    encoded = label_names(split)
    assert encoded == ["%62ackground", "Background", "%23a", "a%3Ab", "100%25", "two%0Alines", "a, b"]
    assert tuple(map(unquote, encoded)) == names


@pytest.mark.parametrize("id", ["#a", " a", "a ", "two\nlines"])
def test_ids_that_a_list_of_lines_cannot_hold_are_refused_before_anything_is_written(id: str, tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos", {id: np.zeros((2, 3), np.uint8)})
    with pytest.raises(DataError, match=r"no image can be exported to CVAT, such as .* one name per line"):
        export(tmp_path / "out", split)
    assert read_files(tmp_path / "out") == {}


def test_an_image_that_the_list_cannot_hold_is_left_out_and_named(tmp_path: Path) -> None:
    mask = np.ones((2, 3), np.uint8)
    *_, note = export(tmp_path / "out", make_split(tmp_path / "photos", {"#a": mask, "b": mask, "c\u2028d": mask}))
    assert note.startswith("2 images are left out, such as '#a': CVAT's list of images has one name per line")
    with zipfile.ZipFile(tmp_path / "out" / "annotations.zip") as archive:
        assert archive.read("ImageSets/Segmentation/default.txt") == b"b\n"
        assert "SegmentationClass/#a.png" not in archive.namelist()


def test_the_same_masks_give_the_same_bytes(tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos")
    for name in ("one", "two"):
        export(tmp_path / name, split)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "two")
