from pathlib import Path

import pytest

from tests.data.layouts import coco_document, square, write_image, write_json
from weakseg.data.coco import open_coco
from weakseg.data.coco_categories import as_id, read_categories
from weakseg.errors import DataError
from weakseg.files import JsonValue

PATH = Path("instances.json")


@pytest.mark.parametrize(("written", "id_read"), [(1, 1), (1.0, 1), (1.5, 1.5), ("1", "1"), (None, None)])
def test_whole_numbers_are_ids(written: JsonValue, id_read: JsonValue) -> None:
    assert as_id(written) == id_read
    assert type(as_id(written)) is type(id_read)


@pytest.mark.parametrize(
    ("categories", "used", "names", "ids", "class_of", "kinds"),
    [
        # plain
        ([(1, "cat", None), (2, "dog", None)], {1, 2}, ("cat", "dog"), (1, 2), {1: 0, 2: 1}, []),
        # the project as a root, called otherwise or like a class
        ([(0, "pets", "none"), (1, "cat", "pets")], {1}, ("cat",), (1,), {1: 0}, ["note"]),
        ([(0, "cat", "none"), (1, "cat", "cat")], {1}, ("cat",), (1,), {1: 0}, ["note"]),
        # a class without objects stays one
        ([(1, "cat", "pets"), (2, "dog", "pets")], {1}, ("cat", "dog"), (1, 2), {1: 0, 2: 1}, []),
        # one name twice is one class
        ([(1, "cat", None), (2, "cat", None)], {1, 2}, ("cat",), (1,), {1: 0, 2: 0}, ["warning"]),
        ([(1, "cafe\u0301", None), (2, "caf\u00e9", None)], {1, 2}, ("caf\u00e9",), (1,), {1: 0, 2: 0}, ["warning"]),
        # a background that nothing is of
        ([(0, "background", None), (1, "cat", None)], {1}, ("cat",), (1,), {1: 0}, ["note"]),
        # ids as pandas writes them
        ([(2.0, "cat", None), (1.0, "dog", None)], {1, 2}, ("dog", "cat"), (1, 2), {1: 0, 2: 1}, []),
    ],
)
def test_categories_become_classes(
    categories: list[tuple[JsonValue, str, str | None]],
    used: set[JsonValue],
    names: tuple[str, ...],
    ids: tuple[int, ...],
    class_of: dict[int, int],
    kinds: list[str],
) -> None:
    entries: list[JsonValue] = [{"id": key, "name": name, "supercategory": parent} for key, name, parent in categories]
    classes, found, problems = read_categories(entries, PATH, used=used)
    assert (classes.names, classes.source_ids, found) == (names, ids, class_of)
    assert [problem.severity for problem in problems] == kinds


def test_objects_of_background_are_refused_or_passed_over() -> None:
    entries: list[JsonValue] = [{"id": 1, "name": "background"}, {"id": 2, "name": "cat"}]
    with pytest.raises(DataError, match="category 1 is 'background', which is no class"):
        read_categories(entries, PATH, used={1, 2})
    assert read_categories(entries, PATH, used={1, 2}, drop_background=True)[0].names == ("cat",)


def test_backslashes_float_ids_and_twins_are_read_and_drawn(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg", (4, 6))
    document = coco_document(["cat", "cat"], ["images\\a.jpg"], [(0, 1, square(0, 0, 2))], (4, 6))
    document["images"] = [{"id": 1.0, "file_name": "images\\a.jpg", "height": 4.0, "width": 6.0}]
    document["annotations"] = [{"id": 1, "image_id": 1.0, "category_id": 20.0, "segmentation": square(0, 0, 2)}]
    write_json(tmp_path / "instances.json", document)
    dataset = open_coco(tmp_path, split="train")
    (sample,) = dataset
    mask = dataset.load_mask(sample)
    assert mask is not None
    assert (sample.id, sample.tags.tolist()) == ("images/a", [1])
    assert mask.tolist() == [[1, 1, 0, 0, 0, 0]] * 2 + [[0] * 6] * 2
