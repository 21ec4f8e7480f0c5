from pathlib import Path

import pytest

from weakseg.data.lists import find_class_list, read_class_set, read_lines
from weakseg.errors import DataError


def test_lines_lose_blanks_outer_spaces_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff a b \r\n\r\nc\n  ".encode())
    assert read_lines(path) == ["a b", "c"]


def test_class_list_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("zebra\napple\n")
    assert read_class_set(path).names == ("zebra", "apple")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty; expected one entry per line"),
        (b"caf\xe9\n", r"not UTF-8 text \(byte 3\)"),
        (b"cat\ncat\n", r"classes\.txt: class names must differ"),
        (b"cat;dog\nsofa\n", r"classes\.txt: class names are non-empty, without ';'"),
    ],
)
def test_a_bad_class_list_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=text):
        read_class_set(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone\.txt: No such file"):
        read_lines(tmp_path / "gone.txt")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({}, None),
        ({"labels.txt": "cat\n", "classes.csv": "cat\n"}, None),
        ({"Classes.txt": "cat\n"}, "Classes.txt"),
        ({"CLASSES.TXT": "cat\n"}, "CLASSES.TXT"),
        ({"classes.txt.txt": "cat\n"}, "classes.txt.txt"),
        ({"Classes.txt": "cat\n", "classes.txt": "dog\n"}, "classes.txt"),
        ({"Classes.txt": "cat\r\n", "classes.txt.txt": "cat\n"}, "Classes.txt"),
    ],
)
def test_the_class_list_is_found_whatever_its_case(tmp_path: Path, texts: dict[str, str], found: str | None) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
    path = find_class_list(tmp_path)
    assert (None if path is None else path.name) == found


def test_two_class_lists_that_differ_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Classes.txt").write_text("cat\ndog\n")
    (tmp_path / "classes.txt.txt").write_text("dog\ncat\n")
    expected = (
        r"expected one list of classes, got Classes\.txt and classes\.txt\.txt, which differ; keep the right one as"
    )
    with pytest.raises(DataError, match=expected):
        find_class_list(tmp_path)
