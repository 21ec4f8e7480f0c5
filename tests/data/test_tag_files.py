import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.layouts import coco_document, square, write_json, write_text
from weakseg.data.tag_files import ImageTags, TagTable, read_tags, tags_from_folders
from weakseg.errors import DataError


def read_csv(tmp_path: Path, text: str) -> TagTable:
    return read_tags(write_text(tmp_path / "tags.csv", text))


def absent_but(*present: str, unknown: tuple[str, ...] = ()) -> ImageTags:
    return ImageTags(frozenset(present), frozenset(unknown), rest_absent=True)


def test_rows_become_tags(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,tags\na.jpg,cat; sofa \nsub/b,\nc.png,dog;?cat\n")
    assert table.names == ("cat", "dog", "sofa")
    assert table.entries == {
        "a.jpg": absent_but("cat", "sofa"),
        "sub/b": absent_but(),
        "c.png": absent_but("dog", unknown=("cat",)),
    }
    assert table.problems == ()


@pytest.mark.parametrize("head", ["\ufeffimage,tags\n", "Image , TAGS\r\n", '"image","tags"\n'])
def test_byte_order_mark_case_and_quotes_of_the_header_do_not_matter(tmp_path: Path, head: str) -> None:
    assert read_csv(tmp_path, head + '"a, b.jpg","cat"\n').entries == {"a, b.jpg": absent_but("cat")}


def test_empty_tags_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert read_csv(tmp_path, "image,tags\n\n , \na,;cat;; ?;\n").entries == {"a": absent_but("cat")}


def test_doubt_wins_over_a_tag(tmp_path: Path) -> None:
    assert read_csv(tmp_path, "image,tags\na,cat;?cat\n").entries == {"a": absent_but(unknown=("cat",))}


def test_accents_are_composed(tmp_path: Path) -> None:
    table = read_csv(tmp_path, unicodedata.normalize("NFD", "image,tags\nbär.jpg,bär\n"))
    assert table.entries == {"bär.jpg": absent_but("bär")}


def test_rows_that_cannot_be_read_are_named_by_their_line(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,tags\na,cat\nb,cat,dog\na,dog\nc\n,cat\n")
    assert table.entries == {"a": absent_but("cat")}
    assert [(p.severity, p.kind, p.where) for p in table.problems] == [
        ("warning", "bad-row", "tags.csv, line 3"),
        ("warning", "same-id", "tags.csv, line 4"),
        ("warning", "bad-row", "tags.csv, line 5"),
        ("warning", "bad-row", "tags.csv, line 6"),
    ]
    assert "got 3 fields: b,cat,dog" in table.problems[0].message


def test_a_table_of_excel_has_semicolons_and_tags_in_every_further_column(tmp_path: Path) -> None:
    table = read_csv(tmp_path, '\ufeffImage;Tags;;\r\na.jpg;"cat;dog"  ;;\r\nb.jpg;cat;?dog;\r\nc.jpg;;;\r\n')
    assert table.entries == {
        "a.jpg": absent_but("cat", "dog"),
        "b.jpg": absent_but("cat", unknown=("dog",)),
        "c.jpg": absent_but(),
    }
    assert table.problems == ()


def test_rows_may_be_padded_by_empty_cells(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,tags,,\na,cat,,\nb,,,\n,,,\nc,cat,,dog\n")
    assert table.entries == {"a": absent_but("cat"), "b": absent_but()}
    assert [problem.where for problem in table.problems] == ["tags.csv, line 5"]


def test_a_row_without_a_separator_is_named(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image;tags\na.jpg\n;cat\n")
    assert table.entries == {}
    assert [problem.kind for problem in table.problems] == ["bad-row", "bad-row"]
    assert "expected 'image;tag;tag', got 1 field: a.jpg; left out" in table.problems[0].message


def test_a_comma_within_a_tag_is_pointed_out_where_it_may_part_two(tmp_path: Path) -> None:
    table = read_csv(tmp_path, 'image;tags\na;cat, dog\nb;dog\nc;"fox, red"\n')
    assert table.names == ("cat, dog", "dog", "fox, red")
    assert [(p.kind, p.message.split(":")[0]) for p in table.problems] == [("comma-in-tag", "'cat, dog'")]


def test_spellings_that_differ_by_case_are_pointed_out(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,tags\na,cat\nb,Cat\nc,dog\n")
    assert table.names == ("Cat", "cat", "dog")
    assert [(p.kind, p.message.split(":")[0]) for p in table.problems] == [("similar-tags", "Cat, cat")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: expected the header 'image,tags', got ''"),
        ("a.jpg,cat\n", "line 1: expected the header 'image,tags', got 'a.jpg,cat'"),
        ("Bild;Tags\na;cat\n", "expected the header 'image;tags', got 'Bild;Tags'; write it as the first line"),
        ("image,tags,note\n", "got 'image,tags,note'"),
        ('image,tags\na,cat\nb,"' + "x" * 140_000, r"line \d: not a CSV file \(field larger"),
    ],
)
def test_a_file_that_is_no_tag_table_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_csv(tmp_path, text)


def test_other_encodings_and_suffixes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_bytes("image,tags\na,cat\n".encode("utf-16"))
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_tags(tmp_path / "tags.csv")
    with pytest.raises(DataError, match=r"expected a tag file \.csv or \.json, got '\.xlsx'"):
        read_tags(tmp_path / "tags.xlsx")


@settings(max_examples=60, deadline=None)
@given(rows=st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.frozensets(st.sampled_from("pqrs"))))
def test_what_was_written_is_read_back(
    rows: dict[str, frozenset[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "image,tags\n" + "".join(f"{image},{';'.join(tags)}\n" for image, tags in rows.items())
    table = read_tags(write_text(tmp_path_factory.getbasetemp() / "tags.csv", text))
    assert table.entries == {image: absent_but(*tags) for image, tags in rows.items()}


def test_json_needs_no_outlines(tmp_path: Path) -> None:
    objects = [(1, 1, None), (1, 0, square(0, 0, 1)), (0, 1, [[1]])]
    table = read_tags(
        write_json(tmp_path / "t.json", coco_document(["dog", "cat"], ["a.jpg", "b/c.jpg"], objects, (2, 3)))
    )
    assert table.names == ("dog", "cat")
    assert table.entries == {"a.jpg": absent_but("cat"), "b/c.jpg": absent_but("cat", "dog")}
    assert table.problems == ()


def test_json_images_need_no_size(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    }
    assert read_tags(write_json(tmp_path / "t.json", document)).problems == ()


def test_folders_tell_one_class_and_leave_the_others_unknown() -> None:
    table = tags_from_folders(["cat/a", "cat/deep/b", "dog/a", "_none/c", "loose"])
    assert table.names == ("cat", "dog")
    assert table.entries == {
        "cat/a": ImageTags(frozenset({"cat"}), rest_absent=False),
        "cat/deep/b": ImageTags(frozenset({"cat"}), rest_absent=False),
        "dog/a": ImageTags(frozenset({"dog"}), rest_absent=False),
        "_none/c": ImageTags(frozenset(), rest_absent=True),
    }
    assert [(p.severity, p.kind) for p in table.problems] == [("note", "unknown-absence")]
