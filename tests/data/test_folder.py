import pickle
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.layouts import coco_document, write_image, write_json, write_mask, write_text
from weakseg.data.base import Dataset
from weakseg.data.folder import FolderReading, open_folder, open_folder_splits
from weakseg.errors import ConfigError, DataError


def open_all(root: Path, *, tags: Path | None = None) -> Dataset:
    return open_folder(root, split="all", tags=tags, val_fraction=0.0)


def write_folder(root: Path, rows: Mapping[str, str]) -> Path:
    """Write one image per row, and `tags.csv`."""
    for name in rows:
        write_image(root / name)
    write_text(root / "tags.csv", "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in rows.items()))
    return root


def tag_lists(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id: dataset.classes.decode(sample.tags) for sample in dataset}


def test_images_get_the_tags_of_the_csv(tmp_path: Path) -> None:
    dataset = open_all(write_folder(tmp_path, {"b.png": "sofa;cat", "sub/deep/a.jpg": "cat", "z.JPG": ""}))
    assert (dataset.name, dataset.split, dataset.classes.names) == ("folder", "all", ("cat", "sofa"))
    assert tag_lists(dataset) == {"b": ("cat", "sofa"), "sub/deep/a": ("cat",), "z": ()}
    assert all(sample.known.all() for sample in dataset)
    assert dataset.mask_reader is None
    assert dataset.problems == ()


def test_splits_opened_together_are_those_opened_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{n}.png": ("cat", "dog")[n % 2] for n in range(10)})
    write_mask(root / "masks" / "3.png", np.zeros((4, 5), np.uint8))
    together = open_folder_splits(root, splits=("train", "val"), tags=None, val_fraction=0.3)
    for split, dataset in zip(("train", "val"), together, strict=True):
        alone = open_folder(root, split=split, tags=None, val_fraction=0.3)
        assert (dataset.split, tag_lists(dataset), dataset.problems) == (split, tag_lists(alone), alone.problems)
    assert [len(dataset) for dataset in together] == [7, 3]


def test_a_question_mark_makes_a_tag_unknown(tmp_path: Path) -> None:
    sample = open_all(write_folder(tmp_path, {"a.jpg": "cat;?dog"})).samples[0]
    assert sample.tags.tolist() == [1, 0]
    assert sample.known.tolist() == [True, False]


def test_classes_txt_fixes_the_order_and_other_tags_are_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "dog;fox", "b.jpg": "fox"})
    write_text(root / "classes.txt", "dog\ncat\n")
    dataset = open_all(root)
    assert dataset.classes.names == ("dog", "cat")
    assert [sample.tags.tolist() for sample in dataset] == [[1, 0], [0, 0]]
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [("warning", "unknown-tag", "fox")]
    assert "2 images (such as a)" in dataset.problems[0].message


def test_images_and_rows_without_each_other_are_problems(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat"})
    write_image(root / "new.jpg")
    write_text(root / "tags.csv", "image,tags\na.jpg,cat\ngone.jpg,cat\na.png,dog\n")
    dataset = open_all(root)
    assert tag_lists(dataset) == {"a": ("cat",)}
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [
        ("warning", "missing-image", "gone.jpg"),
        ("warning", "missing-image", "a.png"),
        ("warning", "untagged", "new"),
    ]


def test_rows_match_by_path_with_or_without_suffix_or_by_a_name_that_occurs_once(tmp_path: Path) -> None:
    for name in ("x/a.jpg", "x/b.jpg", "y/b.jpg", "c.jpg.png", "x/c.jpg"):
        write_image(tmp_path / name)
    write_text(tmp_path / "tags.csv", "image,tags\na.png,one\n.\\x\\b.jpg,two\ny/b,three\nc.jpg,four\nb.jpg,five\n")
    dataset = open_all(tmp_path)
    assert tag_lists(dataset) == {"x/a": ("one",), "x/b": ("two",), "y/b": ("three",), "c.jpg": ("four",)}
    # `b.jpg` might be either of two images
    assert [(p.kind, p.where) for p in dataset.problems] == [("ambiguous-image", "b.jpg"), ("untagged", "x/c")]


def test_the_commonest_layout_needs_only_bare_names(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/sub/b.png", "images/C.JPG"):
        write_image(tmp_path / name, (1, 2))
    for name in ("masks/a.png", "masks/sub/b.png", "masks/C.png"):
        write_mask(tmp_path / name, [[0, 1]])
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb,dog\nc.jpg,\n")
    write_text(tmp_path / "classes.txt", "dog\ncat\n")
    write_text(tmp_path / "train.txt", "a\nC\n")
    write_text(tmp_path / "val.txt", "b\n")
    train, val = (open_folder(tmp_path, split=split, tags=None, val_fraction=0.1) for split in ("train", "val"))
    assert [tag_lists(dataset) for dataset in (train, val)] == [
        {"images/C": (), "images/a": ("cat",)},
        {"images/sub/b": ("dog",)},
    ]
    assert all(dataset.load_mask(sample) is not None for dataset in (train, val) for sample in dataset)
    assert train.problems == val.problems == ()


def test_rows_of_other_images_are_refused_with_examples(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,\n")
    expected = r"no row of tags\.csv fits an image: 2 rows \(1\.jpg, 2\.jpg, \.\.\.\), 1 images \(a, \.\.\.\)"
    with pytest.raises(DataError, match=expected):
        open_all(tmp_path)


def test_decomposed_file_names_match_composed_rows(tmp_path: Path) -> None:
    write_image(tmp_path / (unicodedata.normalize("NFD", "bär") + ".png"))
    write_text(tmp_path / "tags.csv", "image,tags\n" + unicodedata.normalize("NFC", "bär.png") + ",cat\n")
    assert len(open_all(tmp_path)) == 1


@pytest.mark.parametrize(
    ("rows", "image", "tags", "severity"),
    [
        ("a.png,dog", "a.png", ("dog",), "note"),
        ("a.jpg,cat", "a.jpg", ("cat",), "note"),
        ("a,cat", "a.jpg", ("cat",), "warning"),
    ],
)
def test_of_two_files_of_one_id_the_table_tells_which_is_meant(
    tmp_path: Path, rows: str, image: str, tags: tuple[str, ...], severity: str
) -> None:
    for name in ("a.jpg", "a.png"):
        write_image(tmp_path / name)
    write_text(tmp_path / "tags.csv", f"image,tags\n{rows}\n")
    dataset = open_all(tmp_path)
    assert [(sample.id, sample.image_path.name) for sample in dataset] == [("a", image)]
    assert tag_lists(dataset) == {"a": tags}
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [(severity, "same-id", "a")]


def test_two_files_of_one_id_that_are_both_in_the_table_are_left_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat", "a.png": "dog", "b.jpg": "cat;dog"})
    dataset = open_all(root)
    assert tag_lists(dataset) == {"b": ("cat", "dog")}
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [("warning", "same-id", "a")]


def test_rows_of_one_image_are_joined(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\na.jpg,dog\na,?fox\n")
    dataset = open_all(tmp_path)
    assert tag_lists(dataset) == {"images/a": ("cat", "dog")}
    assert dataset.samples[0].known.tolist() == [True, True, False]
    assert dataset.problems == ()


def test_a_row_of_a_picture_that_is_not_read_says_so(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat"})
    (root / "b.dng").touch()
    write_text(root / "tags.csv", "image,tags\na.jpg,cat\nb.DNG,cat\n")
    assert [(p.kind, p.message.partition(",")[0]) for p in open_all(root).problems] == [
        ("other-format", "1 file ends in .dng"),
        ("missing-image", "'b.DNG' is there"),
    ]


def test_background_is_no_class(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat", "b.jpg": "Background", "c.jpg": "cat;background"})
    with pytest.raises(DataError, match=r"tags\.csv has the tag 'Background', which is no class: .*tag drop"):
        open_all(root)
    reading = FolderReading(drop_background=True)
    dataset = open_folder(root, split="all", tags=None, val_fraction=0.0, reading=reading)
    assert tag_lists(dataset) == {"a": ("cat",), "b": (), "c": ("cat",)}
    write_text(root / "classes.txt", "background\ncat\n")
    with pytest.raises(DataError, match=r"classes\.txt lists 'background', which is no class"):
        open_all(root)
    assert open_folder(root, split="all", tags=None, val_fraction=0.0, reading=reading).classes.names == ("cat",)


def test_odd_class_names_are_told(tmp_path: Path) -> None:
    dataset = open_all(write_folder(tmp_path, {"a.jpg": "cat;nan", "b.jpg": "Cat"}))
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("odd-class-name", "tags.csv"),
        ("similar-tags", "tags.csv"),
    ]


def test_photographs_of_a_folder_per_class_may_be_said_to_show_nothing_else(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        write_image(tmp_path / name)
    reading = FolderReading(only_folder_class=True)
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0, reading=reading)
    assert [(s.tags.tolist(), s.known.tolist()) for s in dataset] == [([1, 0], [True, True]), ([0, 1], [True, True])]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("files", "classes", "train", "val"),
    [
        (["train/cat/1", "val/cat/1", "val/dog/2"], ("cat", "dog"), ["train/cat/1"], ["val/cat/1", "val/dog/2"]),
        (["Train/cat/1", "valid/dog/1", "test/cat/1"], ("cat", "dog"), ["Train/cat/1"], ["valid/dog/1"]),
        (["train/cat/1", "val/dog/1", "_none/1"], ("cat", "dog"), ["_none/1", "train/cat/1"], ["val/dog/1"]),
        (["images/train/cat/1", "images/val/cat/1"], ("cat",), ["images/train/cat/1"], ["images/val/cat/1"]),
        (["train/images/cat/1", "val/images/cat/1"], ("cat",), ["train/images/cat/1"], ["val/images/cat/1"]),
    ],
)
def test_folders_of_parts_are_splits_and_no_classes(
    tmp_path: Path, files: list[str], classes: tuple[str, ...], train: list[str], val: list[str]
) -> None:
    for shade, name in enumerate(files):
        write_image(tmp_path / f"{name}.jpg", shade=shade)
    datasets = [open_folder(tmp_path, split=split, tags=None, val_fraction=0.1) for split in ("train", "val")]
    assert [dataset.classes.names for dataset in datasets] == [classes, classes]
    assert [[sample.id for sample in dataset] for dataset in datasets] == [train, val]


def test_a_container_of_images_is_no_class_and_a_vehicle_is_one(tmp_path: Path) -> None:
    for name in ("one/images/cat/1.jpg", "one/images/dog/1.jpg", "two/bus/1.jpg", "two/train/1.jpg"):
        write_image(tmp_path / name)
    assert open_all(tmp_path / "one").classes.names == ("cat", "dog")
    assert open_all(tmp_path / "two").classes.names == ("bus", "train")


def test_tables_of_other_names_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "1.jpg")
    write_text(tmp_path / "labels.csv", "image,tags\n1,dog\n")
    problems = [(p.kind, p.where) for p in open_all(tmp_path).problems]
    assert problems == [("table-not-read", "labels.csv"), ("unknown-absence", "tags")]
    (tmp_path / "cat" / "1.jpg").rename(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=r"has no tags\.csv, but labels\.csv: --data\.tags labels\.csv reads it"):
        open_all(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "labels.xlsx")
    with pytest.raises(DataError, match=r"but labels\.xlsx: save it as 'CSV UTF-8' under the name tags\.csv"):
        open_all(tmp_path)


def test_sub_folders_are_the_classes_where_there_is_no_tag_file(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/sub/1.jpg", "_none/street.jpg", "loose.jpg"):
        write_image(tmp_path / name)
    dataset = open_all(tmp_path)
    assert dataset.classes.names == ("cat", "dog")
    assert [(s.id, s.tags.tolist(), s.known.tolist()) for s in dataset] == [
        ("_none/street", [0, 0], [True, True]),
        ("cat/1", [1, 0], [True, False]),
        ("dog/sub/1", [0, 1], [False, True]),
    ]
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [
        ("note", "unknown-absence", "tags"),
        ("warning", "untagged", "loose"),
    ]


def test_a_sub_folder_that_is_no_class_tells_nothing(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        write_image(tmp_path / name)
    write_text(tmp_path / "classes.txt", "cat\n")
    dataset = open_all(tmp_path)
    assert [sample.id for sample in dataset] == ["cat/1"]
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("unknown-absence", "tags"),
        ("untagged", "dog/1"),
        ("unknown-tag", "dog"),
    ]


@pytest.mark.parametrize("name", ["tags.json", "instances.json", "annotations.json"])
def test_coco_style_json_gives_tags(tmp_path: Path, name: str) -> None:
    for image in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "images" / image)
    write_json(tmp_path / name, coco_document(["dog", "cat"], ["a.jpg", "b.jpg"], [(0, 1, None)], (6, 9)))
    dataset = open_all(tmp_path)
    assert dataset.classes.names == ("dog", "cat")
    assert tag_lists(dataset) == {"images/a": ("cat",), "images/b": ()}
    assert all(sample.known.all() for sample in dataset)


def test_tags_csv_comes_before_json_and_a_given_file_before_both(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", {"a.jpg": "from csv"})
    write_json(root / "tags.json", coco_document(["from json"], ["a.jpg"], [(0, 0, None)], (6, 9)))
    write_text(root / "mine.csv", "image,tags\na,from mine\n")
    write_text(tmp_path / "other.csv", "image,tags\na,from other\n")
    assert open_all(root).classes.names == ("from csv",)
    assert open_all(root, tags=Path("mine.csv")).classes.names == ("from mine",)
    assert open_all(root, tags=tmp_path / "other.csv").classes.names == ("from other",)
    with pytest.raises(DataError, match=r"there is no tag file gone\.csv"):
        open_all(root, tags=Path("gone.csv"))


def test_masks_are_read_but_are_no_images(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"sub/a.png": "cat", "b.png": "cat"})
    write_mask(root / "masks" / "sub" / "a.png", [[0, 1], [255, 1]])
    dataset = pickle.loads(pickle.dumps(open_all(root)))
    assert [sample.id for sample in dataset] == ["b", "sub/a"]
    assert dataset.load_mask(dataset.samples[0]) is None
    np.testing.assert_array_equal(dataset.load_mask(dataset.samples[1]), [[0, 1], [255, 1]])


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("forty"), {f"{n:02}.png": "cat" if n % 2 else "" for n in range(40)})


def ids(root: Path, split: str, val_fraction: float) -> list[str]:
    return [s.id for s in open_folder(root, split=split, tags=None, val_fraction=val_fraction)]


@settings(max_examples=20, deadline=None)
@given(val_fraction=st.floats(0.02, 0.98))
def test_train_and_val_part_the_images(forty: Path, val_fraction: float) -> None:
    train, val = ids(forty, "train", val_fraction), ids(forty, "val", val_fraction)
    assert len(val) == round(val_fraction * 40)
    assert sorted(train + val) == ids(forty, "all", val_fraction)


def test_the_chosen_images_are_fixed_and_grow_with_the_share(forty: Path) -> None:
    val = ids(forty, "val", 0.1)
    assert val == ["17", "18", "23", "29"]  # recorded; another hash would silently mix old and new splits
    assert set(val) < set(ids(forty, "val", 0.3))


def test_one_more_image_moves_at_most_one_other(tmp_path: Path) -> None:
    rows = {f"{n}.png": "cat" for n in range(30)}
    before = set(ids(write_folder(tmp_path, rows), "val", 0.2))
    for extra in range(30, 40):
        after = set(ids(write_folder(tmp_path, {**rows, f"{extra}.png": "cat"}), "val", 0.2))
        (tmp_path / f"{extra}.png").unlink()
        assert len(before - after) <= 1


def test_a_split_may_be_a_list(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a b.png": "cat", "sub/c.png": "dog", "d.png": ""})
    write_text(root / "some.txt", "sub/c.png\na b\ngone.jpg\n")
    for split in ("some.txt", str(root / "some.txt")):
        dataset = open_folder(root, split=split, tags=None, val_fraction=0.5)
        assert (dataset.split, [sample.id for sample in dataset]) == ("some", ["a b", "sub/c"])
        assert [(p.kind, p.where) for p in dataset.problems] == [("missing-image", "gone.jpg")]


def test_eighty_classes_and_one_image(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "\n".join(f"class {k}" for k in range(80)))
    (sample,) = open_all(write_folder(tmp_path, {"only.png": "class 79;class 0"}))
    assert sample.keys == (0, 79)


def test_errors_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        open_all(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no images"):
        open_all(tmp_path)
    write_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"says nothing about its 1 images: write tags\.csv"):
        open_all(tmp_path)
    write_text(tmp_path / "tags.csv", "image,tags\na,\n")
    with pytest.raises(DataError, match=r"tags\.csv of .* names no class: every image is without tags"):
        open_all(tmp_path)
    write_text(tmp_path / "tags.csv", "image,tags\na,cat\n")
    with pytest.raises(DataError, match="no split 'test': a folder has 'train', 'val', 'all'"):
        open_folder(tmp_path, split="test", tags=None, val_fraction=0.1)
    with pytest.raises(DataError, match="split 'val' is empty: 1 tagged images, of which 10% are held out"):
        open_folder(tmp_path, split="val", tags=None, val_fraction=0.1)
    with pytest.raises(ConfigError, match=r"from 0 to below 1, got 1\.0"):
        open_folder(tmp_path, split="val", tags=None, val_fraction=1.0)


def test_parts_without_classes_or_table_say_nothing_rather_than_train_and_val(tmp_path: Path) -> None:
    for name in ("train/1.jpg", "val/2.jpg"):
        write_image(tmp_path / name)
    write_text(tmp_path / "train" / "labels.csv", "image,tags\n1,dog\n")
    message = r"has no tags\.csv, but train/labels\.csv: --data\.tags train/labels\.csv reads it"
    with pytest.raises(DataError, match=message):
        open_all(tmp_path)


@pytest.mark.parametrize(
    ("file", "recipe"), [("SegmentationClass/1.png", "voc"), ("annotations/instances_train2014.json", "coco")]
)
def test_the_layout_of_a_known_data_set_is_told_and_not_taken_for_classes(
    tmp_path: Path, file: str, recipe: str
) -> None:
    write_image(tmp_path / "JPEGImages" / "1.jpg")
    write_text(tmp_path / file, "")
    with pytest.raises(DataError, match=rf"take the recipe {recipe} \(weakseg check {recipe} --data\.root"):
        open_all(tmp_path)


def test_the_tag_file_is_found_whatever_its_case(tmp_path: Path) -> None:
    write_image(tmp_path / "1.jpg")
    write_text(tmp_path / "Tags.CSV", "image,tags\n1,cat\n")
    assert open_all(tmp_path).classes.names == ("cat",)
