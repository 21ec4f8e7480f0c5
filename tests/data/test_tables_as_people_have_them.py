"""More small data sets as people have them: other tables, lists, folders and masks, and what is said of each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import coco_document, square, write_image, write_json, write_text, write_voc
from weakseg.data.base import Dataset
from weakseg.data.coco import open_coco
from weakseg.data.folder import FolderReading, open_folder
from weakseg.data.tag_cells import part_cells
from weakseg.data.voc import open_voc
from weakseg.errors import DataError

SHOWN = {"1": ("bee",), "2": ("fly",), "3": ("bee", "fly"), "4": ()}
TABLE = "image,tags\n1.jpg,bee\n2.jpg,fly\n3.jpg,bee;fly\n4.jpg,\n"
ONLY_FOLDER = FolderReading(only_folder_class=True)
JSON_ROWS = [{"image": f"{n}.jpg", "tags": list(tags)} for n, tags in SHOWN.items()]
JSON_MARKS = [{"file": f"{n}.jpg", "bee": "bee" in tags, "fly": "fly" in tags} for n, tags in SHOWN.items()]


def open_all(root: Path, split: str = "all", reading: FolderReading | None = None) -> Dataset:
    return open_folder(root, split=split, tags=None, val_fraction=0.0, reading=reading or FolderReading())


def shown_by(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id.rpartition("/")[2]: dataset.classes.decode(sample.tags) for sample in dataset}


def told(dataset: Dataset, kind: str) -> list[str]:
    return [problem.message for problem in dataset.problems if problem.kind == kind]


def with_images(root: Path, names: Sequence[str] = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")) -> Path:
    for shade, name in enumerate(names):
        write_image(root / name, shade=shade)
    return root


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("tags.csv", TABLE.encode("utf-32"), id="utf-32"),
        pytest.param("tags.csv", ("\ufeff\ufeff" + TABLE).encode(), id="two byte order marks"),
        pytest.param("tags.csv", (TABLE + TABLE).encode(), id="tables put together, headers and all"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", '"bee\nfly"').encode(), id="two lines in a cell"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", ' "bee,fly"').encode(), id="a space before the quote"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", "'bee,fly'").encode(), id="other quotes"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", '"[\\"bee\\", \\"fly\\"]"').encode(), id="escaped quotes"),
        pytest.param("tags.csv", "".join(f'"{row}"\n' for row in TABLE.split()).encode(), id="rows in quotes"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", "bee\n,fly").encode(), id="merged cells"),
        pytest.param("tags.csv", TABLE.replace("bee;fly", "bee\n3.JPG,fly").encode(), id="a name in capitals, too"),
        pytest.param(
            "tags.csv",
            b"| image | tags |\n|---|:---:|\n| 1.jpg | bee |\n| 2.jpg | fly |\n| 3.jpg | bee, fly |\n| 4.jpg | |\n",
            id="markdown",
        ),
        pytest.param(
            "tags.csv",
            b"filename,region_count,region_id,region_attributes\n"
            b'1.jpg,1,0,"{""is"":""bee""}"\n2.jpg,1,0,"{""is"":""fly""}"\n'
            b'3.jpg,2,0,"{""is"":{""bee"":true,""fly"":true}}"\n4.jpg,0,0,"{}"\n',
            id="VIA",
        ),
        pytest.param("tags.csv.txt", TABLE.encode(), id="a hidden suffix"),
        pytest.param("tags.json", json.dumps(JSON_ROWS).encode(), id="a list of objects"),
        pytest.param("tags.json", json.dumps({"data": JSON_MARKS}).encode(), id="marks in objects"),
        pytest.param("tags.json", json.dumps({f"{n}.jpg": t for n, t in SHOWN.items()}).encode(), id="tags by image"),
        pytest.param("tags.jsonl", "\n".join(map(json.dumps, JSON_ROWS)).encode(), id="an object a line"),
    ],
)
def test_tables_and_json_say_what_they_say(tmp_path: Path, name: str, content: bytes) -> None:
    (with_images(tmp_path) / name).write_bytes(content)
    assert shown_by(open_all(tmp_path)) == SHOWN


def test_what_is_guessed_of_rows_is_told(tmp_path: Path) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE + "1.jpg,\n2.jpg,bee\n,fly\n")
    dataset = open_all(tmp_path)
    assert told(dataset, "bad-row") == [
        "1 images have a row without tags beside one with tags, such as 1.jpg; the tags count"
    ]
    assert "1 rows of tags name no image; they are taken for more tags" in told(dataset, "wide-rows")[0]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"labels.txt": TABLE}, "but labels.txt: --data.tags labels.txt reads it"),
        (
            {"1.txt": "0 .5 .5 .1 .1\n", "2.txt": "1 .5 .5 .1 .1\n"},
            r"2 files \.txt called like images \(labels of YOLO\?",
        ),
        ({"tags.json": '{"1.jpg": {"w": 3}}'}, r'expected \[\{"image": "1.jpg", "tags": \["cat"\]\}, \.\.\.\]'),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, files: Mapping[str, str], expected: str) -> None:
    with_images(tmp_path)
    for name, text in files.items():
        write_text(tmp_path / name, text)
    with pytest.raises(DataError, match=expected):
        open_all(tmp_path)


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("[['bee'], ['fly']]", ("bee", "fly")),
        ("[np.str_('bee'), np.str_('fly')]", ("bee", "fly")),
        ("Index(['bee', 'fly'], dtype='object')", ("bee", "fly")),
        ("array([], dtype=object)", ()),
        ('[{"name": "bee", "score": 0.9}, {"name": "fly"}]', ("bee", "fly")),
        ("[\u2018bee\u2019, \u2018fly\u2019]", ("bee", "fly")),
        ("'bee', 'fly'", ("bee", "fly")),
        ("\u201cbee;fly\u201d", ("bee", "fly")),
        ("bee &amp; fly", ("bee", "fly")),
        ("#bee #fly", ("bee", "fly")),
        ("bee\tfly", ("bee", "fly")),
        ("[None]", ()),
        ("/m/01yrx", ("/m/01yrx",)),
        (r'["a \"small\" bee"]', ('a "small" bee',)),
    ],
)
def test_cells_are_parted(cell: str, tags: tuple[str, ...]) -> None:
    assert part_cells([cell, "bee", "fly", "m"], source="tags.csv").tokens[cell] == tags


@pytest.mark.parametrize("mark", ["\u060c", "\u00a6", " or ", " und ", "<>"])
def test_whatever_joins_two_tags_is_a_doubt(mark: str) -> None:
    with pytest.raises(DataError, match=r"looks like several \('bee' and 'fly'\)"):
        part_cells([f"bee{mark}fly", "bee", "fly"], source="tags.csv")
    assert [p.kind for p in part_cells(["bee%2Cfly", "bee", "fly"], source="tags.csv").problems] == ["several-in-one"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fly\nbee\n", ("fly", "bee")),
        ("0 fly\n1 bee\n", ("fly", "bee")),
        ("1: fly\n2: bee\n", ("fly", "bee")),
        ("fly,bee\n", ("fly", "bee")),
        ('# the classes\n"fly",\n"bee",\n', ("fly", "bee")),
        ("Fly\nBEE\n", ("Fly", "BEE")),
    ],
)
def test_class_lists_of_other_tools_are_read(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE)
    write_text(tmp_path / "classes.txt", text)
    dataset = open_all(tmp_path)
    assert dataset.classes.names == names
    assert {image: len(tags) for image, tags in shown_by(dataset).items()} == {"1": 1, "2": 1, "3": 2, "4": 0}
    assert bool(told(dataset, "similar-tags")) is (names[0] == "Fly")


@pytest.mark.parametrize(("rows", "read"), [("0,1", True), ("1,2", True), ("1,1", False), ("0,2", False)])
def test_numbers_are_places_in_a_class_list_if_they_tell_from_where_it_counts(
    tmp_path: Path, rows: str, read: bool
) -> None:
    first, second = rows.split(",")
    write_text(with_images(tmp_path, ("1.jpg", "2.jpg")) / "tags.csv", f"image,tags\n1.jpg,{first}\n2.jpg,{second}.0\n")
    write_text(tmp_path / "classes.txt", "fly\nbee\n")
    assert shown_by(open_all(tmp_path)) == ({"1": ("fly",), "2": ("bee",)} if read else {"1": (), "2": ()})


@pytest.mark.parametrize(
    ("place", "classes", "has_val"),
    [
        ("{part}/{tag}/{n}.jpg", ("bee", "fly"), True),
        ("data/{part}/{tag}/{n}.jpg", ("bee", "fly"), True),
        ("{tag}/{part}/{n}.jpg", ("bee", "fly"), True),
        ("01_{part}/{tag}/{n}.jpg", ("bee", "fly"), True),
        ("train/{tag}/{n}{part}.jpg", ("bee", "fly"), False),
    ],
)
def test_negatives_beside_folders_of_splits_change_nothing(
    tmp_path: Path, place: str, classes: tuple[str, ...], has_val: bool
) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "val") for t in ("bee", "fly")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n), shade=n)
    write_image(tmp_path / "_None" / "9.jpg", shade=9)
    train = open_all(tmp_path, "train", ONLY_FOLDER)
    assert train.classes.names == classes
    assert len(train) == (3 if has_val else 5)
    assert told(train, "split-folders") == []


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("my_{part}/{tag}/{n}.jpg", "the classes my_test, my_train look like splits"),
        ("fold{fold}/{tag}/{n}.jpg", "each of fold0, fold1 is taken for a class and holds the folders bee, fly"),
        ("{tag}_{part}/{n}.jpg", "the classes bee_test, bee_train, fly_test, fly_train look like splits"),
    ],
)
def test_folders_that_may_be_no_classes_are_told(tmp_path: Path, place: str, expected: str) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "test") for t in ("bee", "fly")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n, fold=n // 2), shade=n)
    assert told(open_all(tmp_path, reading=ONLY_FOLDER), "split-folders")[0].startswith(expected)


def test_splits_without_classes_in_them_are_told(tmp_path: Path) -> None:
    with_images(tmp_path, ("train/1.jpg", "val/2.jpg", "_none/3.jpg"))
    with pytest.raises(
        DataError, match=r"the folders of train, val are taken for splits, and hold no folder per class"
    ):
        open_all(tmp_path)


def test_a_folder_of_two_classes_is_told(tmp_path: Path) -> None:
    with_images(tmp_path, ("bee/1.jpg", "fly/2.jpg", "bee+fly/3.jpg"))
    assert (
        "the folder 'bee+fly' looks like several classes (bee and fly)" in told(open_all(tmp_path), "several-in-one")[0]
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("0", "1"), "the only classes are 0, 1, which look like marks"),
        (("010", "100"), "look like marks of several classes"),
        (("bee:0.9", "fly:0.2"), "ends in a number, as if a score or a mark were meant"),
        (("bee", "no bee"), "the class no bee seems to say that an image shows none of the classes"),
        (("bee", "Hintergrund"), "seems to say that an image shows none of the classes"),
        (("bee", "unknown"), "seems to say that it is not known"),
    ],
)
def test_names_that_are_no_classes_are_told(tmp_path: Path, names: Sequence[str], expected: str) -> None:
    rows = "".join(f"{n}.jpg,{name}\n" for n, name in enumerate(names, 1))
    write_text(with_images(tmp_path, ("1.jpg", "2.jpg")) / "tags.csv", f"image,tags\n{rows}")
    assert any(expected in message for message in told(open_all(tmp_path), "odd-class-name"))


BEE = {"1": [[0, 1]], "2": [[0, 0]], "3": [[1, 1]], "4": [[0, 0]]}


def grey_thrice(labels: object, light: int = 1) -> Image.Image:
    return Image.fromarray(np.repeat(np.asarray(labels, np.uint8)[..., None] * np.uint8(light), 3, axis=2))


@pytest.mark.parametrize(
    "name", ["mask/{n}.png", "annotations/{n}.png", "masks/{n}.tif", "{n}_mask.png", "{n}-gt.png", "{n} label.bmp"]
)
def test_masks_beside_photographs_are_found(tmp_path: Path, name: str) -> None:
    for n in BEE:
        write_image(tmp_path / f"{n}.jpg", (1, 2), shade=int(n))
        path = tmp_path / name.format(n=n)
        path.parent.mkdir(exist_ok=True)
        grey_thrice(BEE[n]).save(path)
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,bee\n2.jpg,\n3.jpg,bee\n4.jpg,\n")
    dataset = open_all(tmp_path)
    masks = {sample.id: dataset.load_mask(sample) for sample in dataset}
    assert {key: None if mask is None else mask.tolist() for key, mask in masks.items()} == BEE


def test_masks_below_each_class_are_no_photographs(tmp_path: Path) -> None:
    for n in range(3):
        write_image(tmp_path / "bee" / f"{n}.jpg", (1, 2), shade=n)
        write_image(tmp_path / "bee" / f"{n}_mask_1.png", (1, 2), shade=0)
        write_image(tmp_path / "bee" / f"{n}_mask_2.png", (1, 2), shade=0)
    dataset = open_all(tmp_path)
    assert len(dataset) == 3
    assert "3 images have several masks beside them, none of which is used" in told(dataset, "mask-unused")[0]


@pytest.mark.parametrize(
    ("light", "dark", "expected"),
    [(255, 0, "--data.mask_values 255=1 says so"), (0, 255, "--data.mask_values 255=0,0=1 says so")],
)
def test_masks_of_one_class_in_white_are_noticed_in_colour_and_inverted(
    tmp_path: Path, light: int, dark: int, expected: str
) -> None:
    (tmp_path / "masks").mkdir()
    for n, labels in BEE.items():
        write_image(tmp_path / f"{n}.jpg", (1, 2), shade=int(n))
        grey_thrice(np.where(np.array(labels) > 0, light, dark)).save(tmp_path / "masks" / f"{n}.png")
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,bee\n2.jpg,\n3.jpg,bee\n4.jpg,\n")
    dataset = open_all(tmp_path)
    assert dataset.mask_reader is None
    assert expected in told(dataset, "mask-values")[0]
    told_so = FolderReading(mask_values=expected.split()[1])
    masks = [open_all(tmp_path, reading=told_so).load_mask(sample) for sample in dataset]
    assert [None if mask is None else mask.tolist() for mask in masks] == list(BEE.values())


def test_masks_that_were_resized_and_borders_of_negatives(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "1.jpg", (6, 5))
    Image.fromarray(np.arange(0, 60, 2, dtype=np.uint8).reshape(6, 5)).save(tmp_path / "masks" / "1.png")
    write_image(tmp_path / "2.jpg", (1, 2), shade=2)
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "masks" / "2.png")
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,bee\n2.jpg,\n")
    write_text(tmp_path / "val.txt", "2\n")
    assert "as if they had been resized or saved as JPEG" in told(open_all(tmp_path, "train"), "mask-values")[0]
    assert told(open_all(tmp_path, "val"), "mask-values") == []


def test_a_colour_of_two_classes_is_refused(tmp_path: Path) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE)
    write_text(tmp_path / "labelmap.txt", "bee:1,2,3::\nfly:1,2,3::\n")
    with pytest.raises(DataError, match=r"expected a colour per class, got \(1, 2, 3\) for 'bee' and for 'fly'"):
        open_all(tmp_path)


def test_pictures_by_other_names_and_links_are_told(tmp_path: Path) -> None:
    write_text(with_images(tmp_path / "set") / "tags.csv", TABLE.replace("2.jpg", "2.jpg_large"))
    (tmp_path / "set" / "2.jpg").rename(tmp_path / "set" / "2.jpg_large")
    with_images(tmp_path / "more", ("5.jpg",))
    (tmp_path / "set" / "link").symlink_to(tmp_path / "more")
    dataset = open_all(tmp_path / "set")
    assert told(dataset, "missing-image") == ["'2.jpg_large' is there, but its format is not read here; it is left out"]
    assert (
        "1 files such as 2.jpg_large hold pictures, but their names do not say so" in told(dataset, "other-format")[0]
    )
    assert told(dataset, "not-a-file") == ["a link to a folder, which is not followed; put the folder itself there"]


def test_names_that_fit_several_images_and_folders_without_any_are_told(tmp_path: Path) -> None:
    write_text(with_images(tmp_path, ("a/1.jpg", "b/1.jpg")) / "tags.csv", "image,tags\n1.jpg,bee\n")
    with pytest.raises(DataError, match=r"fits one image alone: tags.csv names '1.jpg', which may be any of 2 images"):
        open_all(tmp_path)
    (with_images(tmp_path / "c", ("1.jpg",)) / "1.jpg").rename(tmp_path / "c" / "1.orig")
    with pytest.raises(DataError, match=r"holds no images that are read: 1 files such as 1.orig hold pictures"):
        open_all(tmp_path / "c")


def test_categories_are_named_by_numbers_and_not_by_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "1.jpg")
    document = coco_document(["7"], ["1.jpg"], [(0, 0, square(1, 1, 2))], (6, 9))
    for name, expected in ((7, "7"), ("", None)):
        write_json(tmp_path / "instances.json", {**document, "categories": [{"id": 10, "name": name}]})
        if expected is None:
            with pytest.raises(DataError, match="expected categories with distinct integer ids and a name"):
                open_coco(tmp_path, split="train")
        else:
            assert open_coco(tmp_path, split="train").classes.names == (expected,)


@pytest.mark.parametrize("line", ["C:\\VOC\\JPEGImages\\{}.jpg", '"{}"', "MY Bee {n}", "{}.JPG"])
def test_lists_of_voc_name_images_in_other_ways(tmp_path: Path, line: str) -> None:
    ids = [f"my bee {n}" for n in (1, 2)]
    lines = [line.format(name, n=n) for n, name in enumerate(ids, 1)]
    write_text(tmp_path / "classes.txt", "bee\nfly\n")
    dataset = open_voc(write_voc(tmp_path, {ids[0]: ["Bee"], ids[1]: ["fly"]}, train=lines), split="train")
    assert shown_by(dataset) == {ids[0]: ("bee",), ids[1]: ("fly",)}
