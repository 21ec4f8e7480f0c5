import csv
import io

import pytest

from weakseg.csv_cells import escape_cell, restore_cell, to_csv


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("cat", "cat"),
        ("a=b", "a=b"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("@user", "'@user"),
        ("-12", "'-12"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("\tx", "'\tx"),
        ("\n=x", "'\n=x"),
        ("\uff1d1+1", "'\uff1d1+1"),  # as Japanese keyboards write it; spreadsheets compute it
        ("\uff20x", "'\uff20x"),
        ("'=x", "''=x"),  # so that what is read back is told from '=x
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_formula_becomes_text_and_comes_back(text: str, cell: str) -> None:
    assert escape_cell(text) == cell
    assert restore_cell(cell) == text


def test_a_table_escapes_texts_and_leaves_numbers() -> None:
    written = to_csv(("id", "score"), [("=HYPERLINK(1)", -0.5), ("a, b", "-0.25"), ("-x", None)])
    assert written == "id,score\n'=HYPERLINK(1),-0.5\n\"a, b\",-0.25\n'-x,\n"
    assert [row[0] for row in csv.reader(io.StringIO(written))] == ["id", "'=HYPERLINK(1)", "a, b", "'-x"]
