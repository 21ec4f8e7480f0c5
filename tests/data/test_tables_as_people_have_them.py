"""Tables, cells and class lists as people have them: each is a kind of trouble, and what comes of it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.data.four_images import SHOWN, TABLE, with_images
from tests.data.layouts import write_text
from tests.data.opening import open_all, open_split, problems_of, shown_by
from weakseg.data.tag_cells import part_cells
from weakseg.errors import DataError


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
    (with_images(tmp_path, below="images") / "tags.csv").write_bytes(content)
    assert shown_by(open_split(tmp_path, "train")) == SHOWN


@pytest.mark.parametrize("mark", [*"*^$!@=><%~", " \u2022 ", " and "])
def test_a_mark_between_two_tags_is_pointed_out(tmp_path: Path, mark: str) -> None:
    write_text(with_images(tmp_path, below="images") / "tags.csv", TABLE.replace("cat;dog", f"cat{mark}dog"))
    with pytest.raises(DataError, match=r"looks like several \('cat' and 'dog'\): --data.tag_separator"):
        open_split(tmp_path, "train")


def test_a_column_with_a_cell_that_is_no_mark_is_named_and_not_read(tmp_path: Path) -> None:
    rows = "1.jpg,1,0\n2.jpg,0,maybe\n3.jpg,1,1\n4.jpg,0,0\n"
    write_text(with_images(tmp_path, below="images") / "tags.csv", f"image,cat,dog\n{rows}")
    dataset = open_split(tmp_path, "train")
    assert dataset.classes.names == ("cat",)
    assert [p.message for p in dataset.problems if p.kind == "odd-mark"] == [
        "the column 'dog' is not read, since line 3 has 'maybe'; if it is a class, write 1, 0 or ?"
    ]


def test_a_spreadsheet_called_csv_is_told(tmp_path: Path) -> None:
    (with_images(tmp_path, below="images") / "tags.csv").write_bytes(b"PK\x03\x04\x14\x00\xff\xfe")
    with pytest.raises(DataError, match="is a spreadsheet, whatever its name"):
        open_split(tmp_path, "train")


JSON_ROWS = [{"image": f"{n}.jpg", "tags": list(tags)} for n, tags in SHOWN.items()]
JSON_MARKS = [{"file": f"{n}.jpg", "cat": "cat" in tags, "dog": "dog" in tags} for n, tags in SHOWN.items()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("tags.csv", TABLE.encode("utf-32"), id="utf-32"),
        pytest.param("tags.csv", ("\ufeff\ufeff" + TABLE).encode(), id="two byte order marks"),
        pytest.param("tags.csv", (TABLE + TABLE).encode(), id="tables put together, headers and all"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", '"cat\ndog"').encode(), id="two lines in a cell"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", ' "cat,dog"').encode(), id="a space before the quote"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", "'cat,dog'").encode(), id="other quotes"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", '"[\\"cat\\", \\"dog\\"]"').encode(), id="escaped quotes"),
        pytest.param("tags.csv", "".join(f'"{row}"\n' for row in TABLE.split()).encode(), id="rows in quotes"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", "cat\n,dog").encode(), id="merged cells"),
        pytest.param("tags.csv", TABLE.replace("cat;dog", "cat\n3.JPG,dog").encode(), id="a name in capitals, too"),
        pytest.param(
            "tags.csv",
            b"| image | tags |\n|---|:---:|\n| 1.jpg | cat |\n| 2.jpg | dog |\n| 3.jpg | cat, dog |\n| 4.jpg | |\n",
            id="markdown",
        ),
        pytest.param(
            "tags.csv",
            b"filename,region_count,region_id,region_attributes\n"
            b'1.jpg,1,0,"{""is"":""cat""}"\n2.jpg,1,0,"{""is"":""dog""}"\n'
            b'3.jpg,2,0,"{""is"":{""cat"":true,""dog"":true}}"\n4.jpg,0,0,"{}"\n',
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
    write_text(with_images(tmp_path) / "tags.csv", TABLE + "1.jpg,\n2.jpg,cat\n,dog\n")
    dataset = open_all(tmp_path)
    assert problems_of(dataset, "bad-row") == [
        "1 images have a row without tags beside one with tags, such as 1.jpg; the tags count"
    ]
    assert "1 rows of tags name no image; they are taken for more tags" in problems_of(dataset, "wide-rows")[0]


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
        ("[['cat'], ['dog']]", ("cat", "dog")),
        ("[np.str_('cat'), np.str_('dog')]", ("cat", "dog")),
        ("Index(['cat', 'dog'], dtype='object')", ("cat", "dog")),
        ("array([], dtype=object)", ()),
        ('[{"name": "cat", "score": 0.9}, {"name": "dog"}]', ("cat", "dog")),
        ("[\u2018cat\u2019, \u2018dog\u2019]", ("cat", "dog")),
        ("'cat', 'dog'", ("cat", "dog")),
        ("\u201ccat;dog\u201d", ("cat", "dog")),
        ("cat &amp; dog", ("cat", "dog")),
        ("#cat #dog", ("cat", "dog")),
        ("cat\tdog", ("cat", "dog")),
        ("[None]", ()),
        ("/m/01yrx", ("/m/01yrx",)),
        (r'["a \"small\" cat"]', ('a "small" cat',)),
    ],
)
def test_cells_are_parted(cell: str, tags: tuple[str, ...]) -> None:
    assert part_cells([cell, "cat", "dog", "m"], source="tags.csv").tokens[cell] == tags


@pytest.mark.parametrize("mark", ["\u060c", "\u00a6", " or ", " und ", "<>"])
def test_whatever_joins_two_tags_is_a_doubt(mark: str) -> None:
    with pytest.raises(DataError, match=r"looks like several \('cat' and 'dog'\)"):
        part_cells([f"cat{mark}dog", "cat", "dog"], source="tags.csv")
    assert [p.kind for p in part_cells(["cat%2Cdog", "cat", "dog"], source="tags.csv").problems] == ["several-in-one"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("dog\ncat\n", ("dog", "cat")),
        ("0 dog\n1 cat\n", ("dog", "cat")),
        ("1: dog\n2: cat\n", ("dog", "cat")),
        ("dog,cat\n", ("dog", "cat")),
        ('# the classes\n"dog",\n"cat",\n', ("dog", "cat")),
        ("Dog\nCAT\n", ("Dog", "CAT")),
    ],
)
def test_class_lists_of_other_tools_are_read(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    write_text(with_images(tmp_path) / "tags.csv", TABLE)
    write_text(tmp_path / "classes.txt", text)
    dataset = open_all(tmp_path)
    assert dataset.classes.names == names
    assert {image: len(tags) for image, tags in shown_by(dataset).items()} == {"1": 1, "2": 1, "3": 2, "4": 0}
    assert bool(problems_of(dataset, "similar-tags")) is (names[0] == "Dog")


@pytest.mark.parametrize(("rows", "read"), [("0,1", True), ("1,2", True), ("1,1", False), ("0,2", False)])
def test_numbers_are_places_in_a_class_list_if_they_tell_from_where_it_counts(
    tmp_path: Path, rows: str, read: bool
) -> None:
    first, second = rows.split(",")
    write_text(with_images(tmp_path, ("1.jpg", "2.jpg")) / "tags.csv", f"image,tags\n1.jpg,{first}\n2.jpg,{second}.0\n")
    write_text(tmp_path / "classes.txt", "dog\ncat\n")
    assert shown_by(open_all(tmp_path)) == ({"1": ("dog",), "2": ("cat",)} if read else {"1": (), "2": ()})
