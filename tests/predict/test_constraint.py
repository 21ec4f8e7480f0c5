from pathlib import Path

import pytest

from tests.data.layouts import coco_document, square, write_json
from tests.predict.made_model import CLASSES
from weakseg.errors import DataError, UsageError
from weakseg.files import write_text
from weakseg.predict.constraint import TagConstraint, constrain, parse_tags


def from_file(path: Path, text: str, targets: dict[str, Path]) -> TagConstraint:
    write_text(path, text)
    return constrain(CLASSES, targets, tags=None, tag_file=path)


def test_tags_for_all_images_come_in_the_order_of_the_classes() -> None:
    constraint = constrain(CLASSES, {"a": Path("a.jpg")}, tags=("fox", "cat"), tag_file=None)
    assert constraint.tags_of("a") == constraint.tags_of("anything") == ("cat", "fox")


def test_without_tags_any_class_may_appear() -> None:
    assert constrain(CLASSES, {"a": Path("a.jpg")}, tags=None, tag_file=None).tags_of("a") is None


def test_a_tag_that_is_no_class_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown class 'foxx'; did you mean 'fox'\?"):
        constrain(CLASSES, {"a": Path("a.jpg")}, tags=("foxx",), tag_file=None)
    with pytest.raises(DataError, match=r"tags\.csv: unknown class 'dgo'; did you mean 'dog'\?"):
        from_file(tmp_path / "tags.csv", "image,tags\na.jpg,dgo\n", {"a": tmp_path / "a.jpg"})


def test_an_image_is_found_by_its_place_its_name_or_its_last_part(tmp_path: Path) -> None:
    text = "image,tags\nsub/a.jpg,cat\nother/b.jpg,dog\nc,fox\nd.png,\ne.jpg,?dog;cat\n"
    targets = {
        "a": tmp_path / "sub" / "a.jpg",  # called 'a', since the file itself was given
        "other/b": Path("/elsewhere/other/b.jpg"),
        "deep/c": Path("/elsewhere/deep/c.png"),
        "d": Path("/elsewhere/d.png"),
        "e": tmp_path / "e.jpg",
        "f": tmp_path / "f.jpg",
    }
    constraint = from_file(tmp_path / "tags.csv", text, targets)
    found = {name: constraint.tags_of(name) for name in targets}
    assert found == {
        "a": ("cat",),
        "other/b": ("dog",),
        "deep/c": ("fox",),
        "d": (),  # known to show none of the classes
        "e": ("cat", "dog"),  # an unknown tag may appear
        "f": None,  # nothing is said of it
    }


@pytest.mark.parametrize(
    ("row", "file", "tags"),
    [
        ("a.jpg,cat", "a.jpg", ("cat",)),
        ("A.JPG,cat", "A.jpg", ("cat",)),
        ("a,cat", "a.jpg", ("cat",)),
        (".\\a.jpg,background", "a.jpg", ()),
        # a row of another file of that name says nothing about this one
        ("a.png,cat", "a.jpg", None),
        ("a.jpg,cat", "a.tif", None),
    ],
)
def test_the_suffix_of_a_row_counts(tmp_path: Path, row: str, file: str, tags: tuple[str, ...] | None) -> None:
    targets = {Path(file).stem: tmp_path / file, "b": tmp_path / "b.jpg"}
    constraint = from_file(tmp_path / "tags.csv", f"image,tags\n{row}\nb.jpg,cat\n", targets)
    assert constraint.tags_of(Path(file).stem) == tags


def test_a_last_part_that_two_images_share_names_neither(tmp_path: Path) -> None:
    targets = {"x/a": Path("/else/x/a.jpg"), "y/a": Path("/else/y/a.jpg"), "b": Path("/else/b.jpg")}
    constraint = from_file(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb.jpg,dog\n", targets)
    assert [constraint.tags_of(name) for name in targets] == [None, None, ("dog",)]


def test_a_coco_file_tells_tags_too(tmp_path: Path) -> None:
    document = coco_document(["cat", "dog"], ["a.jpg", "b.jpg"], [(0, 1, square(2, 2, 3))], (20, 30))
    write_json(tmp_path / "tags.json", document)
    targets = {"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"}
    constraint = constrain(CLASSES, targets, tags=None, tag_file=tmp_path / "tags.json")
    assert (constraint.tags_of("a"), constraint.tags_of("b")) == (("dog",), ())


def test_a_file_that_names_none_of_the_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tags\.csv names none of the 1 images, such as 'b'"):
        from_file(tmp_path / "tags.csv", "image,tags\na.jpg,cat\n", {"b": tmp_path / "b.jpg"})


def test_tags_and_a_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tags and --tag-file: give one of them"):
        constrain(CLASSES, {"a": Path("a.jpg")}, tags=("cat",), tag_file=tmp_path / "tags.csv")


def test_names_are_parted_by_commas_or_where_they_hold_some_by_semicolons() -> None:
    assert parse_tags("cat, dog") == ("cat", "dog")
    assert parse_tags("lamp, standing;dog") == ("lamp, standing", "dog")
    for text in ("", " , "):
        with pytest.raises(UsageError, match="--tags: expected class names such as 'cat,dog', got none"):
            parse_tags(text)
