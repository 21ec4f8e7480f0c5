"""Columns of scores beside tags: which are refused, and what is said of the others."""

from pathlib import Path

import pytest

from tests.data.layouts import write_text
from weakseg.data.image_tags import TagTable
from weakseg.data.tag_files import read_tags
from weakseg.errors import DataError


def read_csv(tmp_path: Path, text: str) -> TagTable:
    return read_tags(write_text(tmp_path / "tags.csv", text))


def test_low_scores_that_are_passed_over_are_told(tmp_path: Path) -> None:
    (problem,) = read_csv(tmp_path, "image,label,score\na.jpg,cat,0.9\nb.jpg,dog,0.2\n").problems
    assert problem.message == "not read: the column score; 'score' 0.2 in line 3 counts as shown"


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("image,label,confidence\na.jpg,cat,0.9\na.jpg,dog,0.04\n", 3, "'confidence', .* such as 0\\.04"),
        ("image,label,Score\na.jpg,cat,0.0\nb.jpg,dog,0.9\n", 2, "'Score', .* such as 0\\.0"),
        ("image;label;probability\na.jpg;cat;0,9\nb.jpg;dog;\na.jpg;dog;0,3\n", 4, "'probability', .* such as 0,3"),
    ],
)
def test_scores_that_deny_a_tag_are_refused(tmp_path: Path, text: str, line: int, got: str) -> None:
    expected = (
        rf"tags\.csv, line {line}: expected 1 or 0 in the column {got}: write 1 and 0, or drop the rows that are not"
    )
    with pytest.raises(DataError, match=expected):
        read_csv(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "image,label,score\na.jpg,cat,0.9\na.jpg,dog,0.5\n",
        "image,label,score\na.jpg,cat,0.9\nb.jpg,,0\n",  # no tag that might not be shown
        "image,label,score\na.jpg,cat,0.9\na.jpg,dog,low\n",  # no numbers
        "image,label,present,score\na.jpg,cat,1,0.9\na.jpg,dog,0,0.1\n",  # another column tells
        "image,label,height\na.jpg,cat,0.9\na.jpg,dog,0.1\n",
    ],
)
def test_scores_that_deny_nothing_are_passed_over(tmp_path: Path, text: str) -> None:
    assert [(p.severity, p.kind) for p in read_csv(tmp_path, text).problems] == [("note", "extra-columns")]
