"""Masks as people have them: where they lie, how they are stored, and which numbers and colours are doubtful."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.four_images import SHOWN, TABLE, with_images
from tests.data.layouts import write_image, write_text
from tests.data.opening import open_all, open_split, problems_of, shown_by
from weakseg.data.base import Dataset
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.folder import FolderReading
from weakseg.data.mask_numbering import SeenMask, find_numbering
from weakseg.errors import DataError

PNG_IS_EXACT = (".png", ".bmp", ".tif")

LABELS = {"1": [[0, 1]], "2": [[0, 2]], "3": [[1, 2]], "4": [[0, 0]]}
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)


def grey(labels: object) -> Image.Image:
    return Image.fromarray(np.asarray(labels, np.uint8))


def coloured(labels: object) -> Image.Image:
    return Image.fromarray(COLOURS[np.asarray(labels)])


def on_nothing(labels: object) -> Image.Image:
    pixels = np.asarray(labels)
    voc = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)[pixels]
    return Image.fromarray(np.dstack([voc, np.where(pixels > 0, 255, 0).astype(np.uint8)]))


def deep(labels: object) -> Image.Image:
    return Image.fromarray(np.asarray(labels, np.uint16))


def with_masks(root: Path, name: str, draw: Callable[[object], Image.Image], repeat: int = 1) -> Path:
    rows = "".join(f"{n}.jpg,{';'.join(tags)}\n" for n, tags in SHOWN.items())
    for n, labels in LABELS.items():
        write_image(root / "images" / f"{n}.jpg", (1, 2), shade=int(n))
        path = root / name.format(n=n)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(labels).save(path)
    write_text(root / "tags.csv", f"image,tags\n{rows}")
    return root


def masks_of(dataset: Dataset) -> dict[str, object]:
    masks = {sample.id.rpartition("/")[2]: dataset.load_mask(sample) for sample in dataset}
    return {name: None if mask is None else mask.tolist() for name, mask in masks.items()}


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        *((f"{folder}/{{n}}.png", grey) for folder in ("gt", "ground_truth", "SegmentationClass", "annotation")),
        *(
            (f"masks/{name}", grey)
            for name in ("{n}_mask.png", "{n}-seg.png", "gt_{n}.png", "{n}_L.png", "{n}.jpg.png")
        ),
        *((f"masks/{{n}}{suffix}", grey) for suffix in PNG_IS_EXACT),
        ("masks/{n}.png", deep),
        ("masks/{n}.png", on_nothing),
    ],
)
def test_masks_are_found_and_read(tmp_path: Path, name: str, draw: Callable[[object], Image.Image]) -> None:
    assert masks_of(open_split(with_masks(tmp_path, name, draw), "train")) == LABELS


def test_masks_in_jpeg_are_refused_by_their_cause_and_are_no_photographs(tmp_path: Path) -> None:
    dataset = open_split(with_masks(tmp_path, "masks/{n}.jpg", grey), "train")
    assert shown_by(dataset) == SHOWN
    with pytest.raises(DataError, match=r"masks/1\.jpg is no PNG file but JPEG, which blurs labels; make it anew"):
        masks_of(dataset)


CVAT = "background:0,0,0::\ncat:255,0,0::\ndog:0,255,0::\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", CVAT),
        ("LabelMap.txt", CVAT.replace("cat", "Cat")),
        ("label_map.txt", CVAT),
        ("masks/labelmap.txt", CVAT),
        ("class_dict.csv", "name,r,g,b\ncat,255,0,0\ndog,0,255,0\n"),
        ("label_colors.txt", "0 0 0\tbackground\n255 0 0\tcat\n0 255 0\tdog\n"),
        ("colormap.txt", "cat 255 0 0\ndog 0 255 0\n"),
        ("color_map.csv", "class,color\ncat,#ff0000\ndog,#00FF00\n"),
        ("classes.json", json.dumps({"cat": [255, 0, 0], "dog": [0, 255, 0]})),
        ("labels.json", json.dumps([{"name": "cat", "color": "#ff0000"}, {"name": "dog", "color": "#00ff00"}])),
        (
            "palette.json",
            json.dumps({"items": [{"label": "cat", "rgb": [255, 0, 0]}, {"label": "dog", "rgb": [0, 255, 0]}]}),
        ),
    ],
)
def test_colours_are_told_by_label_maps_of_many_names(tmp_path: Path, name: str, text: str) -> None:
    write_text(with_masks(tmp_path, "masks/{n}.png", coloured) / name, text)
    assert masks_of(open_split(tmp_path, "train")) == LABELS


@pytest.mark.parametrize(
    ("name", "text"),
    [("classes.json", '["cat", "dog"]'), ("labels.txt", "cat\ndog\n"), ("palette.json", "{"), ("colors.csv", "a,b\n")],
)
def test_files_without_colours_are_no_label_maps(tmp_path: Path, name: str, text: str) -> None:
    write_text(with_masks(tmp_path, "masks/{n}.png", grey) / name, text)
    assert masks_of(open_split(tmp_path, "train")) == LABELS


NINE = {str(n): tags for n, tags in enumerate([("cat",), ("dog",), ("cat", "dog")] * 3)}


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        pytest.param((0, 1, 1), "one value cannot tell 2 classes apart", id="object or none"),
        pytest.param((1, 2, 3), "and no 0: if the first is background, --data.mask_values 1=0,2=1,3=2", id="one more"),
        pytest.param((255, 0, 1), "if 255 is background, --data.mask_values 255=0,0=1,1=2", id="one less"),
    ],
)
def test_masks_of_other_numbers_are_not_measured(tmp_path: Path, shift: tuple[int, ...], expected: str) -> None:
    numbers = np.array(shift, np.uint8)
    write_text(tmp_path / "tags.csv", "image,tags\n" + "".join(f"{n}.jpg,{';'.join(t)}\n" for n, t in NINE.items()))
    for n, tags in NINE.items():
        write_image(tmp_path / "images" / f"{n}.jpg", (1, 3), shade=int(n))
        labels = [[0, "cat" in tags, 2 * ("dog" in tags)]]
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(numbers[np.array(labels, int)]).save(tmp_path / "masks" / f"{n}.png")
    dataset = open_split(tmp_path, "train")
    assert dataset.mask_reader is None
    assert [expected in p.message for p in dataset.problems if p.kind == "mask-values"] == [True]


def test_masks_whose_background_is_255_tell_no_numbering() -> None:
    masks = [SeenMask(frozenset({value, 255}), None) for value in (0, 1, 56)]
    with pytest.raises(DataError, match=r"2 of 3 masks hold no 0, .* where 255 is background and 0 the first"):
        find_numbering(masks, COCO_CLASSES, where="seg")


ONE_CLASS = {"1": [[0, 1]], "2": [[0, 0]], "3": [[1, 1]], "4": [[0, 0]]}


def grey_thrice(labels: object, light: int = 1) -> Image.Image:
    return Image.fromarray(np.repeat(np.asarray(labels, np.uint8)[..., None] * np.uint8(light), 3, axis=2))


@pytest.mark.parametrize(
    "name", ["mask/{n}.png", "annotations/{n}.png", "masks/{n}.tif", "{n}_mask.png", "{n}-gt.png", "{n} label.bmp"]
)
def test_masks_beside_photographs_are_found(tmp_path: Path, name: str) -> None:
    for n in ONE_CLASS:
        write_image(tmp_path / f"{n}.jpg", (1, 2), shade=int(n))
        path = tmp_path / name.format(n=n)
        path.parent.mkdir(exist_ok=True)
        grey_thrice(ONE_CLASS[n]).save(path)
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,\n3.jpg,cat\n4.jpg,\n")
    dataset = open_all(tmp_path)
    masks = {sample.id: dataset.load_mask(sample) for sample in dataset}
    assert {key: None if mask is None else mask.tolist() for key, mask in masks.items()} == ONE_CLASS


def test_masks_below_each_class_are_no_photographs(tmp_path: Path) -> None:
    for n in range(3):
        write_image(tmp_path / "cat" / f"{n}.jpg", (1, 2), shade=n)
        write_image(tmp_path / "cat" / f"{n}_mask_1.png", (1, 2), shade=0)
        write_image(tmp_path / "cat" / f"{n}_mask_2.png", (1, 2), shade=0)
    dataset = open_all(tmp_path)
    assert len(dataset) == 3
    assert "3 images have several masks beside them, none of which is used" in problems_of(dataset, "mask-unused")[0]


@pytest.mark.parametrize(
    ("light", "dark", "expected"),
    [(255, 0, "--data.mask_values 255=1 says so"), (0, 255, "--data.mask_values 255=0,0=1 says so")],
)
def test_masks_of_one_class_in_white_are_noticed_in_colour_and_inverted(
    tmp_path: Path, light: int, dark: int, expected: str
) -> None:
    (tmp_path / "masks").mkdir()
    for n, labels in ONE_CLASS.items():
        write_image(tmp_path / f"{n}.jpg", (1, 2), shade=int(n))
        grey_thrice(np.where(np.array(labels) > 0, light, dark)).save(tmp_path / "masks" / f"{n}.png")
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,\n3.jpg,cat\n4.jpg,\n")
    dataset = open_all(tmp_path)
    assert dataset.mask_reader is None
    assert expected in problems_of(dataset, "mask-values")[0]
    told_so = FolderReading(mask_values=expected.split()[1])
    masks = [open_all(tmp_path, reading=told_so).load_mask(sample) for sample in dataset]
    assert [None if mask is None else mask.tolist() for mask in masks] == list(ONE_CLASS.values())


def test_masks_that_were_resized_and_borders_of_negatives(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "1.jpg", (6, 5))
    Image.fromarray(np.arange(0, 60, 2, dtype=np.uint8).reshape(6, 5)).save(tmp_path / "masks" / "1.png")
    write_image(tmp_path / "2.jpg", (1, 2), shade=2)
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "masks" / "2.png")
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,\n")
    write_text(tmp_path / "val.txt", "2\n")
    assert (
        "as if they had been resized or saved as JPEG" in problems_of(open_split(tmp_path, "train"), "mask-values")[0]
    )
    assert problems_of(open_split(tmp_path, "val"), "mask-values") == []


def test_a_colour_of_two_classes_is_refused(tmp_path: Path) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE)
    write_text(tmp_path / "labelmap.txt", "cat:1,2,3::\ndog:1,2,3::\n")
    with pytest.raises(DataError, match=r"expected a colour per class, got \(1, 2, 3\) for 'cat' and for 'dog'"):
        open_all(tmp_path)
