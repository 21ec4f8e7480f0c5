"""Rows of a folder's table and its images: how they find each other, and what is said where they do not."""

import unicodedata
from pathlib import Path

import pytest

from tests.data.layouts import write_folder, write_image, write_text
from tests.data.opening import open_all, problems_of, tag_lists
from weakseg.errors import DataError


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
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("ambiguous-image", "b.jpg"),
        ("other-suffix", "tags.csv"),
        ("untagged", "x/c"),
    ]


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


@pytest.mark.parametrize("name", ["a.svg", "a.CR2", "A.cr2"])
def test_a_row_of_a_file_that_is_not_read_does_not_tag_another(tmp_path: Path, name: str) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat", "b.jpg": "fox"})
    for other in ("a.svg", "a.CR2"):
        (root / other).touch()
    write_text(root / "tags.csv", f"image,tags\n{name},dog\nb.jpg,fox\n")
    dataset = open_all(root)
    assert tag_lists(dataset) == {"b": ("fox",)}
    assert problems_of(dataset, "missing-image") == [
        f"tags.csv names '{name}': this file is there, but it is not read here; the row is left out (and not taken for "
        "a.jpg)"
    ]
    assert [p.where for p in dataset.problems if p.kind == "untagged"] == ["a"]


def test_a_row_of_a_dangling_link_does_not_tag_another(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat", "b.jpg": "fox"})
    (root / "a.png").symlink_to(root / "gone.png")
    write_text(root / "tags.csv", "image,tags\na.png,dog\nb.jpg,fox\n")
    assert tag_lists(open_all(root)) == {"b": ("fox",)}


def test_a_row_of_a_file_elsewhere_that_is_not_read_is_no_row_of_its_namesake(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"jpg/a.jpg": "cat", "jpg/b.jpg": "fox"})
    write_text(root / "raw/a.nef", "")
    write_text(root / "tags.csv", "image,tags\na.jpg,cat\nraw/a.nef,dog\nother/b.nef,fox\n")
    dataset = open_all(root)
    assert tag_lists(dataset) == {"jpg/a": ("cat",), "jpg/b": ("fox",)}
    assert [(p.kind, p.where) for p in dataset.problems if p.kind != "other-format"] == [
        ("missing-image", "raw/a.nef"),
        ("other-suffix", "tags.csv"),
    ]


def test_rows_of_suffixes_that_no_file_has_are_kept_and_told_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{name}.jpg": "cat" for name in "abcd"})
    write_text(root / "tags.csv", "image,tags\na.gif,cat\nx/b.HEIC,cat\nc.png?w=9,cat\nd.dng,\n")
    dataset = open_all(root)
    assert tag_lists(dataset) == {"a": ("cat",), "b": ("cat",), "c": ("cat",), "d": ()}
    assert [(p.severity, p.kind, p.where, p.message) for p in dataset.problems] == [
        (
            "warning",
            "other-suffix",
            "tags.csv",
            "4 rows name other suffixes than the files (a.gif for a.jpg, b.HEIC for b.jpg, c.png?w=9 for c.jpg, ...); "
            "if another picture is meant, add it, or remove the row",
        )
    ]


@pytest.mark.parametrize("name", ["a.JPG", "a.jpeg", "A.JPEG", "a.jfif", "a", "a.jpg?w=9"])
def test_other_spellings_of_a_suffix_are_no_other_suffixes(tmp_path: Path, name: str) -> None:
    root = write_folder(tmp_path, {"a.jpg": ""})
    write_text(root / "tags.csv", f"image,tags\n{name},cat\n")
    dataset = open_all(root)
    assert tag_lists(dataset) == ({"a": ("cat",)})
    assert dataset.problems == ()
