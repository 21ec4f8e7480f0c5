"""Small data sets as people really have them: each row is a kind of trouble, and what comes of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import coco_document, square, write_image, write_json, write_text
from weakseg.data.base import Dataset
from weakseg.data.coco import open_coco
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.folder import FolderReading, open_folder
from weakseg.data.mask_numbering import SeenMask, find_numbering
from weakseg.errors import DataError

SHOWN = {"1": ("cat",), "2": ("dog",), "3": ("cat", "dog"), "4": ()}
PNG_IS_EXACT = (".png", ".bmp", ".tif")

ONLY_FOLDER = FolderReading(only_folder_class=True)


def shown_by(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id.rpartition("/")[2]: dataset.classes.decode(sample.tags) for sample in dataset}


def open_split(root: Path, split: str = "train", val_fraction: float = 0.0) -> Dataset:
    return open_folder(root, split=split, tags=None, val_fraction=val_fraction)


def with_images(root: Path, names: Sequence[str] = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")) -> Path:
    for shade, name in enumerate(names):
        write_image(root / "images" / name, shade=shade)
    return root


TABLE = "image,tags\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat;dog\n4.jpg,\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TABLE.encode("utf-16"), id="utf-16 as Excel's Unicode text"),
        pytest.param(TABLE.encode("utf-16-le"), id="utf-16 without a mark"),
        pytest.param(TABLE.encode("utf-16-be"), id="utf-16 of the other order"),
        pytest.param(b"\n\n" + TABLE.encode(), id="empty lines above the header"),
        pytest.param(b"# by hand\n" + TABLE.encode(), id="a comment above the header"),
        pytest.param(b"#" + TABLE.encode(), id="a header that begins like a comment"),
        pytest.param(TABLE.partition("\n")[2].encode(), id="no header"),
        pytest.param(TABLE.replace("image,tags", "Bild,Schlagworte").encode(), id="headers of another language"),
        pytest.param(TABLE.replace("image,tags", "uri,keywords").encode(), id="headers of other tools"),
        pytest.param(TABLE.replace("cat;dog", "cat,dog").encode(), id="a comma nobody has quoted"),
        pytest.param(TABLE.replace("cat;dog", "['cat', 'dog']").encode(), id="a list nobody has quoted"),
        pytest.param(TABLE.replace(".jpg,", ".jpg?w=9,").encode(), id="addresses with a question"),
        pytest.param(TABLE.replace("\n1.jpg", "\n'1.jpg'").encode(), id="quotation marks in a name"),
        pytest.param(TABLE.replace(".jpg,", ".0,").encode(), id="numbers as pandas writes them"),
        pytest.param(TABLE.replace(".jpg,", ".jpg\u200b,").encode(), id="what cannot be seen in a name"),
        *(
            pytest.param(
                f"image,cat,dog\n1.jpg,{yes},{no}\n2.jpg,{no},{yes}\n3.jpg,{yes},{yes}\n4.jpg,{no},{no}\n".encode(),
                id=f"marks {yes} and {no or 'nothing'}",
            )
            for yes, no in (
                *(("1.00", "0.00"), ("x", "-"), ("ja", "nein"), ("\u2714", "\u2717"), ("on", "off"), ("t", "f")),
                *(("1", "-1"), ("1", "NaN"), ("+", "-"), ("present", "absent"), ("TRUE", ""), ("1", " ")),
            )
        ),
        pytest.param(
            b"image;cat;dog;fold\n1.jpg;1,0;0,0;1\n2.jpg;0,0;1,0;0\n3.jpg;1,0;1,0;1\n4.jpg;0,0;0,0;0\n",
            id="decimal commas, and a column of 0 and 1 that is no class",
        ),
    ],
)
def test_tables_say_what_they_say(tmp_path: Path, content: bytes) -> None:
    (with_images(tmp_path) / "tags.csv").write_bytes(content)
    assert shown_by(open_split(tmp_path)) == SHOWN


@pytest.mark.parametrize("mark", [*"*^$!@=><%~", " \u2022 ", " and "])
def test_a_mark_between_two_tags_is_pointed_out(tmp_path: Path, mark: str) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE.replace("cat;dog", f"cat{mark}dog"))
    with pytest.raises(DataError, match=r"looks like several \('cat' and 'dog'\): --data.tag_separator"):
        open_split(tmp_path)


def test_a_column_with_a_cell_that_is_no_mark_is_named_and_not_read(tmp_path: Path) -> None:
    rows = "1.jpg,1,0\n2.jpg,0,maybe\n3.jpg,1,1\n4.jpg,0,0\n"
    write_text(with_images(tmp_path) / "tags.csv", f"image,cat,dog\n{rows}")
    dataset = open_split(tmp_path)
    assert dataset.classes.names == ("cat",)
    assert [p.message for p in dataset.problems if p.kind == "odd-mark"] == [
        "the column 'dog' is not read, since line 3 has 'maybe'; if it is a class, write 1, 0 or ?"
    ]


def test_a_spreadsheet_called_csv_is_told(tmp_path: Path) -> None:
    (with_images(tmp_path) / "tags.csv").write_bytes(b"PK\x03\x04\x14\x00\xff\xfe")
    with pytest.raises(DataError, match="is a spreadsheet, whatever its name"):
        open_split(tmp_path)


FIRST, LAST = "image,tags\n1.jpg,cat\n2.jpg,dog\n", "image,tags\n3.jpg,cat;dog\n4.jpg,\n"
LISTED = {"Train.txt": "1.jpg\n2.jpg\n", "valid.txt": "3.jpg\n4.jpg\n"}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"train.csv": FIRST, "val.csv": LAST}, id="a table per split"),
        pytest.param({"Train_labels.csv": FIRST, "valid_labels.csv": LAST}, id="under longer names"),
        pytest.param({"tags_train.tsv": FIRST.replace(",", "\t"), "tags_val.csv": LAST}, id="the other way round"),
        pytest.param(
            {"tags.csv": "image,tags,Split\n1.jpg,cat,train\n2.jpg,dog,training\n3.jpg,cat;dog,val\n4.jpg,,Valid\n"},
            id="a column of splits",
        ),
        pytest.param({"tags.csv": TABLE, **LISTED}, id="lists in another case"),
        pytest.param({"tags.csv": TABLE, **{f"splits/{n}": t for n, t in LISTED.items()}}, id="lists in a folder"),
        pytest.param(
            {"tags.csv": TABLE, **{n: t.replace("\n", "\r\n") for n, t in LISTED.items()}}, id="lists of Windows"
        ),
    ],
)
def test_splits_are_those_that_are_written(tmp_path: Path, files: Mapping[str, str]) -> None:
    with_images(tmp_path)
    for name, text in files.items():
        write_text(tmp_path / name, text)
    assert sorted(shown_by(open_split(tmp_path))) == ["1", "2"]
    assert shown_by(open_split(tmp_path, "val")) == {"3": ("cat", "dog"), "4": ()}


def test_bare_names_of_a_table_per_split_mean_images_in_the_folder_of_that_split(tmp_path: Path) -> None:
    for part, tag in (("train", "cat"), ("val", "dog")):
        write_image(tmp_path / part / "1.jpg", shade=len(part))
        write_text(tmp_path / f"{part}.csv", f"image,tags\n1.jpg,{tag}\n")
    assert shown_by(open_split(tmp_path)) == {"1": ("cat",)}
    assert shown_by(open_split(tmp_path, "val")) == {"1": ("dog",)}


def test_an_empty_split_is_told_with_the_rows_that_fit_no_image(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_image(tmp_path / part / "1.jpg", shade=len(part))
    write_image(tmp_path / "train" / "2.jpg", shade=9)
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,dog\n")
    with pytest.raises(DataError, match=r"1 tagged images \(1 rows fit no image: .* may be any of 2 images"):
        open_split(tmp_path, "val", 0.1)


@pytest.mark.parametrize(
    ("place", "has_val"),
    [
        ("{part}2017/{tag}/{n}.jpg", True),
        ("{part}_set/{tag}/{n}.jpg", True),
        ("pets/{part}/{tag}/{n}.jpg", True),
        ("{tag}/{part}/{n}.jpg", True),
        ("pets/{tag}/{n}.jpg", False),
        ("train/{tag}/{n}.jpg", False),
        ("a/b/images/{tag}/{n}.jpg", False),
    ],
)
def test_folders_around_classes_are_no_classes(tmp_path: Path, place: str, has_val: bool) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "val") for t in ("cat", "dog")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n), shade=n)
    train = open_folder(tmp_path, split="train", tags=None, val_fraction=0.0, reading=ONLY_FOLDER)
    assert train.classes.names == ("cat", "dog")
    assert len(train) == (2 if has_val else 4)


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
    assert masks_of(open_split(with_masks(tmp_path, name, draw))) == LABELS


def test_masks_in_jpeg_are_refused_by_their_cause_and_are_no_photographs(tmp_path: Path) -> None:
    dataset = open_split(with_masks(tmp_path, "masks/{n}.jpg", grey))
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
    assert masks_of(open_split(tmp_path)) == LABELS


@pytest.mark.parametrize(
    ("name", "text"),
    [("classes.json", '["cat", "dog"]'), ("labels.txt", "cat\ndog\n"), ("palette.json", "{"), ("colors.csv", "a,b\n")],
)
def test_files_without_colours_are_no_label_maps(tmp_path: Path, name: str, text: str) -> None:
    write_text(with_masks(tmp_path, "masks/{n}.png", grey) / name, text)
    assert masks_of(open_split(tmp_path)) == LABELS


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
    dataset = open_split(tmp_path)
    assert dataset.mask_reader is None
    assert [expected in p.message for p in dataset.problems if p.kind == "mask-values"] == [True]


def coco(root: Path, names: Sequence[str], *, path: str = "instances.json", images: str = "images/{}.jpg") -> Path:
    objects = [(0, 0, square(1, 1, 3)), (1, 1, square(2, 2, 2))]
    for n in (1, 2):
        write_image(root / images.format(n), shade=n)
    write_json(root / path, coco_document(["cat", "dog"], names, objects, (6, 9)))
    return root


@pytest.mark.parametrize(
    "name",
    [
        *("{}.JPG", "../images/{}.jpg", "/home/me/images/{}.jpg", "C:\\set\\images\\{}.jpg", "https://a.org/{}.jpg"),
        *("./{}.jpg", "{}.png", "{}", "train/{}.jpg", "images/{}.jpg", "0000{}.jpg"),
    ],
)
def test_images_of_coco_are_found_under_other_names(tmp_path: Path, name: str) -> None:
    dataset = open_coco(coco(tmp_path, [name.format(n) for n in (1, 2)]), split="train")
    assert shown_by(dataset) == {"1": ("cat",), "2": ("dog",)}
    assert [p for p in dataset.problems if p.severity == "warning"] == []
    assert dataset.source_ids is not None
    assert sorted(dataset.source_ids.values()) == [100, 101]
    first = dataset.load_mask(dataset.samples[0])
    assert first is not None
    assert first.max() == 1


@pytest.mark.parametrize(
    ("path", "images"),
    [
        ("annotations/instances_default.json", "images/{}.jpg"),
        ("annotations/instances_Train.json", "Images/{}.jpg"),
        ("annotations/train.json", "images/a/{}.jpg"),
        ("train/_annotations.coco.json", "train/{}.jpg"),
        ("_annotations.coco.json", "{}.jpg"),
        ("result.json", "images/{}.jpg"),
    ],
)
def test_files_of_coco_are_found_where_tools_put_them(tmp_path: Path, path: str, images: str) -> None:
    dataset = open_coco(coco(tmp_path, ["1.jpg", "2.jpg"], path=path, images=images), split="train")
    assert shown_by(dataset) == {"1": ("cat",), "2": ("dog",)}


def test_another_file_of_coco_is_offered(tmp_path: Path) -> None:
    coco(tmp_path, ["1.jpg", "2.jpg"], path="annotations/person_keypoints_train2017.json")
    with pytest.raises(DataError, match=r"--data.train annotations/person_keypoints_train2017.json reads it"):
        open_coco(tmp_path, split="train")


def test_outlines_in_shares_of_the_size_are_no_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "1.jpg")
    objects = [(0, 0, square(0.2, 0.2, 0.5))]
    write_json(tmp_path / "instances.json", coco_document(["cat"], ["1.jpg"], objects, (6, 9)))
    dataset = open_coco(tmp_path, split="train")
    assert dataset.mask_reader is None
    assert "bad-outline" in {p.kind for p in dataset.problems}


def test_masks_whose_background_is_255_tell_no_numbering() -> None:
    masks = [SeenMask(frozenset({value, 255}), None) for value in (0, 1, 56)]
    with pytest.raises(DataError, match=r"2 of 3 masks hold no 0, .* where 255 is background and 0 the first"):
        find_numbering(masks, COCO_CLASSES, where="seg")
