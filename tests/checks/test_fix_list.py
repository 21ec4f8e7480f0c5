import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_text
from weakseg.checks.dataset import check_dataset
from weakseg.checks.fix_list import ACTIONS, COLUMNS, write_fix_list
from weakseg.cli import main
from weakseg.data.base import Problem
from weakseg.data.folder import open_folder

SOURCES = Path(__file__).parents[2] / "src" / "weakseg"


def read(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")  # or Excel takes it for another encoding
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_each_image_has_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for shade, name in enumerate(("a.jpg", "b.jpg", "=c.jpg")):
        write_image(tmp_path / name, (40, 50), shade=shade)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb.jpg,\nbroken.jpg,cat\nlost.jpg,cat\n")
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    report = check_dataset([dataset])
    twice = Problem("warning", "mask-size", "broken", "too small")
    report = replace(report, problems=(*report.problems, twice, Problem("note", "tiny", "a", "small")))
    path = tmp_path / "fixes.csv"
    assert write_fix_list(path, report, [dataset]) == 3
    rows = read(path)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["image"], row["problem"], Path(row["file"]).name) for row in rows] == [
        ("'=c", "untagged", ""),
        ("broken", "unreadable; mask-size", "broken.jpg"),
        ("lost.jpg", "missing-image", ""),
    ]
    assert rows[2]["what to do"] == "Add the image, or correct its name in the table or list."
    assert rows[1]["found"].endswith(" | too small")
    assert {row["severity"] for row in rows} == {"warning"}


def test_every_kind_of_finding_that_is_more_than_a_note_has_an_action() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    kinds = set(re.findall(r'(?:Problem\(\s*(?:"error"|"warning"|severity),|_warn\()\s*"([a-z0-9-]+)"', text))
    assert kinds - set(ACTIONS) == set()
    assert {"unreadable", "no-negatives", "bad-outline"} <= kinds


@pytest.mark.slow
def test_check_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        write_image(tmp_path / "photos" / name, (40, 50))
    words = ["check", str(tmp_path / "photos"), "--data.val", "null", "--fix-list", str(tmp_path / "fixes.csv")]
    assert main([*words, "--estimate", "false"]) == 1
    assert f"{tmp_path / 'fixes.csv'} says what to do, in " in capsys.readouterr().out
    first = read(tmp_path / "fixes.csv")[0]
    assert (first["image"], first["severity"], first["problem"]) == ("cat", "error", "no-negatives")
