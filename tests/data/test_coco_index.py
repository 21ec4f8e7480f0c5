from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_text
from weakseg.data.coco import open_coco
from weakseg.data.coco_index import CocoImage, read_coco_index
from weakseg.errors import DataError

OUTLINE = square(0, 0, 2)


def write(tmp_path: Path, document: object) -> Path:
    return write_json(tmp_path / "instances.json", document)


def test_categories_are_ordered_by_their_ids(tmp_path: Path) -> None:
    document = coco_document(["cat", "dog"], ["a.jpg"], [(0, 1, OUTLINE)], (6, 9))
    document["categories"] = [{"id": 20, "name": "dog"}, {"id": 3, "name": " ant "}, {"id": 10, "name": "cat"}]
    index = read_coco_index(write(tmp_path, document))
    assert index.classes.names == ("ant", "cat", "dog")
    assert index.classes.source_ids == (3, 10, 20)
    assert index.tags.tolist() == [[0, 0, 1]]


def test_annotations_are_grouped_by_image_with_their_bytes(tmp_path: Path) -> None:
    objects = [(1, 0, OUTLINE), (0, 1, OUTLINE), (1, 1, OUTLINE)]
    path = write(tmp_path, coco_document(["cat", "dög"], ["a.jpg", "b.jpg", "c.jpg"], objects, (6, 9)))
    index = read_coco_index(path)
    assert index.tags.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert index.first.tolist() == [0, 1, 3, 3]
    content = path.read_bytes()
    parts = [content[start : start + length] for start, length in index.spans.tolist()]
    assert [(part[:1], part[-1:], part[:9]) for part in parts] == [(b"{", b"}", b'{"id": %d,' % n) for n in (1, 0, 2)]
    assert index.problems == ()
    assert index.images[0] == CocoImage(100, "a.jpg", (6, 9), outlined=True)


def test_the_order_of_the_lists_does_not_matter(tmp_path: Path) -> None:
    document = coco_document(["cat"], ["a.jpg"], [(0, 0, OUTLINE)], (6, 9))
    backwards = dict(reversed(document.items()))
    assert next(iter(backwards)) == "categories"
    np.testing.assert_array_equal(read_coco_index(write(tmp_path, backwards)).tags, [[1]])


def test_annotations_of_unknown_images_and_categories_are_left_out_and_counted(tmp_path: Path) -> None:
    objects = [(0, 0, OUTLINE), (7, 0, OUTLINE), (8, 0, OUTLINE), (0, 5, OUTLINE)]
    document = coco_document(["cat"], ["a.jpg"], objects, (6, 9))
    document["annotations"] = [*document["annotations"], "text", {"image_id": [1], "category_id": {}}]
    index = read_coco_index(write(tmp_path, document))
    assert index.tags.tolist() == [[1]]
    assert index.spans.shape == (1, 2)
    assert [(p.severity, p.kind, p.where) for p in index.problems] == [
        ("warning", "unknown-image", str(index.path)),
        ("warning", "unknown-tag", "category 60"),
    ]
    assert "4 annotations" in index.problems[0].message
    assert "107, 108" in index.problems[0].message


def test_an_object_without_a_usable_outline_keeps_its_tag_but_leaves_no_mask(tmp_path: Path) -> None:
    objects = [(0, 0, OUTLINE), (0, 1, [[0, 0, 1]]), (1, 0, OUTLINE), (2, 0, {"size": [9, 6], "counts": [54]})]
    index = read_coco_index(
        write(tmp_path, coco_document(["cat", "dog"], ["a.jpg", "b.jpg", "c.jpg"], objects, (6, 9)))
    )
    assert index.tags.tolist() == [[1, 1], [1, 0], [1, 0]]
    assert [image.outlined for image in index.images] == [False, True, False]
    assert [(p.severity, p.kind, p.where) for p in index.problems] == [
        ("warning", "bad-outline", "a.jpg"),
        ("warning", "bad-outline", "c.jpg"),
    ]
    assert "1 of 2 outlines" in index.problems[0].message
    assert "(9, 6) pixels, the image has (6, 9)" in index.problems[1].message


def test_a_file_without_any_outline_gives_tags_and_one_note(tmp_path: Path) -> None:
    document = coco_document(["cat"], ["a.jpg", "b.jpg"], [(0, 0, None), (1, 0, [])], (6, 9))
    index = read_coco_index(write(tmp_path, document))
    assert [(p.severity, p.kind) for p in index.problems] == [("note", "no-outlines")]
    assert not any(image.outlined for image in index.images)


def test_bad_image_entries_are_problems(tmp_path: Path) -> None:
    document = coco_document(["cat"], ["a.jpg"], [(0, 0, OUTLINE)], (6, 9))
    document["images"] = [
        *document["images"],
        {"id": 100, "file_name": "twice.jpg", "height": 6, "width": 9},
        {"id": 5, "file_name": "sizeless.jpg"},
        {"file_name": "no id.jpg"},
        {"id": 6, "file_name": ""},
        "text",
    ]
    index = read_coco_index(write(tmp_path, document))
    assert [image.file_name for image in index.images] == ["a.jpg", "sizeless.jpg"]
    assert index.images[1].outlined is False
    assert [p.kind for p in index.problems] == ["same-id", "no-size", *["bad-image-entry"] * 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not a COCO file, a JSON object"),
        ("[]", "not a COCO file, a JSON object"),
        ("{}", "lacks images, categories, annotations"),
        ('{"images": [], "annotations": {}, "categories": []}', "lacks annotations"),
        ('{"images": [], "annotations": [], "categories": []}', "1 to 254 classes"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "distinct integer ids and a name"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "distinct",
        ),
        ('{"images": [], "annotations": [}', "line 1 column 32"),
        ('{"images": ' + "[" * 200_000, "not a COCO file"),
    ],
)
def test_what_is_not_coco_is_refused_with_the_reason(tmp_path: Path, text: str, expected: str) -> None:
    path = write_text(tmp_path / "tags.json", text)
    with pytest.raises(DataError, match=expected) as caught:
        read_coco_index(path)
    assert str(path) in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_coco_index(tmp_path / "gone.json")
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_coco_index(tmp_path / "photo.json")


def test_ids_may_be_written_as_texts_in_one_list_and_as_numbers_in_another(tmp_path: Path) -> None:
    document = coco_document(["cat", "dog"], ["a.jpg", "b.jpg"], [(0, 0, OUTLINE), (1, 1, OUTLINE)], (6, 9))
    for annotation in document["annotations"]:
        annotation |= {name: str(annotation[name]) for name in ("image_id", "category_id")}
    document["images"] = [{**image, "height": "6", "width": "9"} for image in document["images"]]
    write_json(tmp_path / "instances.json", document)
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "images" / name)
    dataset = open_coco(tmp_path, split="train")
    assert [sample.tags.tolist() for sample in dataset] == [[1, 0], [0, 1]]
    mask = dataset.load_mask(dataset.samples[1])
    assert mask is not None
    assert np.unique(mask).tolist() == [0, 2]


def test_names_that_differ_by_case_only_are_told(tmp_path: Path) -> None:
    path = write_json(tmp_path / "c.json", coco_document(["cat", "Cat"], ["a.jpg"], [], (6, 9)))
    assert [problem.kind for problem in read_coco_index(path).problems] == ["similar-tags"]
