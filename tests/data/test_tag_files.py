import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
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
    assert table.entries == {"a": absent_but("cat", "dog"), "b": absent_but("cat", "dog")}  # rows are joined
    assert [(p.severity, p.kind, p.where) for p in table.problems] == [
        ("warning", "bad-row", "tags.csv, line 5"),
        ("warning", "bad-row", "tags.csv, line 6"),
        ("warning", "wide-rows", "tags.csv"),
    ]
    assert "such as line 3 (b,cat,dog); all behind 'tags' are taken for tags" in table.problems[-1].message


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
    assert table.entries == {"a": absent_but("cat"), "b": absent_but(), "c": absent_but("cat", "dog")}
    assert [problem.kind for problem in table.problems] == ["wide-rows"]


def test_a_row_without_a_separator_is_named(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image;tags\na.jpg\n;cat\n")
    assert table.entries == {}
    assert [problem.kind for problem in table.problems] == ["bad-row", "bad-row"]
    assert "expected 2 fields (image;tags), got 1: a.jpg; left out" in table.problems[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: expected the header 'image,tags', got ''"),
        ("a,cat\n", "line 1: expected the header 'image,tags', got 'a,cat'"),
        ("Bild;Tags\na;cat\n", "expected the header 'image;tags', got 'Bild;Tags'; write it as the first line"),
        ("image,width\na,640\n", "got 'image,width'"),
        ("tags,note\ncat,x\n", "got 'tags,note'"),
        ('image,tags\na,cat\nb,"' + "x" * 140_000, r"line \d: not a CSV file \(field larger"),
    ],
)
def test_a_file_that_is_no_tag_table_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_csv(tmp_path, text)


def test_other_encodings_and_suffixes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_bytes("image,tags\na,käfer\n".encode("cp1252"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_tags(tmp_path / "tags.csv")
    with pytest.raises(DataError, match=r"tags\.xlsx is a spreadsheet, which is not read; save it"):
        read_tags(tmp_path / "tags.xlsx")
    with pytest.raises(DataError, match=r"expected a tag file \.csv, .* or \.jsonl, got '\.md'"):
        read_tags(tmp_path / "tags.md")


CAT_AND_DOG = {"a": absent_but("cat", "dog"), "b": absent_but("cat"), "c": absent_but("dog"), "d": absent_but()}


@pytest.mark.parametrize(
    "text",
    [
        "image,tags\na,cat;dog\nb,cat\nc,dog\nd,\n",
        "image,tags\na,cat|dog\nb,cat\nc,dog\nd,\n",
        "image,tags\na,cat/dog\nb,cat\nc,dog\nd,\n",
        "image,tags\na,cat#dog\nb,cat\nc,dog\nd,\n",
        'image,tags\na,"cat, dog"\nb,cat\nc,dog\nd,\n',
        "image,tags\na,\"['cat', 'dog']\"\nb,['cat']\nc,['dog']\nd,[]\n",
        'image,tags\na,"[""cat"", ""dog""]"\nb,"[""cat""]"\nc,"[""dog""]"\nd,[]\n',
        "image,tags\na,['cat' 'dog']\nb,['cat']\nc,['dog']\nd,[]\n",
        "image,tags\na,\"{'cat', 'dog'}\"\nb,{'cat'}\nc,{'dog'}\nd,set()\n",
        'image,tags\na,"[cat, dog]"\nb,[cat]\nc,[dog]\nd,[]\n',
        # one row per tag
        "image,tags\na,cat\na,dog\nb,cat\nc,dog\nd,\n",
        "filename,width,class\na,640,cat\nb,640,cat\na,640,dog\nc,640,dog\nd,640,\n",
        # one column per class
        "image,cat,dog\na,1,1\nb,1,0\nc,0,1\nd,0,0\n",
        "image,cat,dog\na,1.0,1.0\nb,1.0,0.0\nc,0.0,1.0\nd,0.0,0.0\n",
        "image,cat,dog\na,x,x\nb,x,\nc,,x\nd,,\n",
        "image,split,cat,dog\na,train,True,True\nb,val,True,False\nc,val,False,True\nd,val,False,False\n",
        # several columns of tags
        "image,tag1,tag2\na,cat,dog\nb,cat,\nc,dog,\nd,,\n",
        # other headers and separators
        "File Name,Labels\na,cat;dog\nb,cat\nc,dog\nd,\n",
        ",image_id,label\n0,a,cat;dog\n1,b,cat\n2,c,dog\n3,d,\n",
        "image\ttags\na\tcat;dog\nb\tcat\nc\tdog\nd\t\n",
        "sep=;\nimage;tags\na;cat;dog\nb;cat\nc;dog\nd;\n",
        "sep=\t\r\nimage\ttags\r\na\tcat|dog\r\nb\tcat\r\nc\tdog\r\nd\t\r\n",
        "image|tags\na|cat;dog\nb|cat\nc|dog\nd|\n",
    ],
)
def test_tags_are_read_in_all_the_ways_people_write_them(tmp_path: Path, text: str) -> None:
    table = read_csv(tmp_path, text)
    assert table.names == ("cat", "dog")
    assert table.entries == CAT_AND_DOG
    assert {problem.kind for problem in table.problems} <= {"extra-columns", "split"}


@pytest.mark.parametrize("mark", ["?", "-1"])
def test_a_column_per_class_may_leave_open_what_is_shown(tmp_path: Path, mark: str) -> None:
    table = read_csv(tmp_path, f"image,cat,dog\na,1,{mark}\nb,0,\n")
    assert table.entries == {"a": absent_but("cat", unknown=("dog",)), "b": absent_but(unknown=("dog",))}


def test_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,tags,note,width\na,cat,x,640\n")
    assert [(p.severity, p.kind, p.message) for p in table.problems] == [
        ("note", "extra-columns", "not read: the columns note, width")
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('image,tags\na.jpg,cat\nb.jpg,"cat\nc.jpg,dog\n', 3),
        ('image,tags\na.jpg,"cat\nb.jpg,dog\nc.jpg,"dog"\n', 2),
        ('image,tags\na.jpg,"cat\nb.jpg","dog"\n', 2),
        ('image,tags\na.jpg,cat"\nb.jpg,dog\n', 2),
        ('sep=,\nimage,tags\na.jpg,cat\nb.jpg,"dog\n', 4),
    ],
)
def test_a_stray_quote_is_an_error_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"tags\.csv, line {line}: a quotation mark"):
        read_csv(tmp_path, text)


def test_a_table_of_more_tags_than_anyone_has_is_refused_before_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.data.tag_files.MAX_TAGS", 3)
    rows = "".join(f"a.jpg,t{number}\n" for number in range(4))
    with pytest.raises(
        DataError, match=r"tags\.csv has 4 different tags, such as 't0', and at most 254 can be classes"
    ):
        read_csv(tmp_path, f"image,tags\n{rows}")
    marks = "".join(f",t{number}" for number in range(4))
    with pytest.raises(DataError, match=r"has 4 different tags"):
        read_csv(tmp_path, f"image{marks}\na.jpg,1,1,0,1\n")
    assert len(read_csv(tmp_path, f"image,tags\n{rows.replace('t3', 't2')}").names) == 3


def test_rows_of_one_image_are_joined_however_many_there_are(tmp_path: Path) -> None:
    rows = "".join(f"a.jpg,{'?' * (number == 7)}t{number % 50:02d}\n" for number in range(5_000))
    table = read_csv(tmp_path, f"image,tags\n{rows}")
    assert table.entries == {"a.jpg": absent_but(*(f"t{n:02d}" for n in range(50) if n != 7), unknown=("t07",))}


def test_a_header_longer_than_a_field_may_be_is_read_by_the_mark_that_parts_it(tmp_path: Path) -> None:
    names = [f"a class with a long name {number}" for number in range(4_500)]  # one field of 140 kB for semicolons
    table = read_csv(tmp_path, f"image,{','.join(names)}\na.jpg,{','.join('1' for _ in names)}\n")
    assert table.names == tuple(names)


def test_spaces_in_file_names_are_kept(tmp_path: Path) -> None:
    assert list(read_csv(tmp_path, "image,tags\nimg 1 .jpg,cat\n b.jpg,cat\n").entries) == ["img 1 .jpg", " b.jpg"]


@given(rows=st.dictionaries(st.text("abyz", min_size=1, max_size=4), st.frozensets(st.sampled_from("pqrs"))))
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


@pytest.mark.parametrize("header", ["value", "Present", "Confidence", "probability"])
def test_a_row_of_a_table_of_pairs_may_say_that_a_tag_is_absent_or_unknown(tmp_path: Path, header: str) -> None:
    rows = "a.jpg,cat,1\na.jpg,dog,0\nb.jpg,cat,0\nb.jpg,dog,?\nc.jpg,dog,1\n"
    table = read_csv(tmp_path, f"image,label,{header}\n{rows}")
    assert table.names == ("cat", "dog")
    assert table.entries == {
        "a.jpg": ImageTags(frozenset({"cat"})),
        "b.jpg": ImageTags(frozenset(), frozenset({"dog"})),
        "c.jpg": ImageTags(frozenset({"dog"})),
    }


def test_a_column_of_scores_marks_nothing_and_is_named(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,label,score\na.jpg,cat,0.9\nb.jpg,dog,0.2\n")
    assert table.entries["b.jpg"] == ImageTags(frozenset({"dog"}))
    assert [problem.kind for problem in table.problems] == ["extra-columns"]


def test_numbered_class_columns_of_marks_are_classes(tmp_path: Path) -> None:
    table = read_csv(tmp_path, "image,class_1,class_2\na.jpg,1,0\nb.jpg,0,1\n")
    assert table.names == ("class_1", "class_2")
    assert table.entries["b.jpg"] == ImageTags(frozenset({"class_2"}))
