"""Runs and predictions that lie among the photographs: their pictures are none of the data set."""

import json
from pathlib import Path

import pytest

from tests.data.four_images import with_images
from tests.data.layouts import write_image, write_text
from tests.data.opening import open_all, problems_of
from weakseg.data.own_folders import is_own_folder
from weakseg.predict.summary import Provenance, write_summary
from weakseg.predict.targets import OutputFiles, list_targets


def make_own_folders(root: Path) -> None:
    """Put a run, a study and predictions below a folder, each with a picture."""
    write_text(root / "runs" / "x" / "recipe.yaml", "data: {}\n")
    write_text(root / "runs" / "x" / "run.json", "{}")
    write_image(root / "runs" / "x" / "masks" / "1.png")
    write_text(root / "studies" / "methods" / "study.json", "{}")
    write_image(root / "studies" / "methods" / "results" / "1.png")
    write_image(root / "predictions" / "1.png")
    made_by = Provenance("run", "m", "00", ("cat",), {})
    write_summary(root / "predictions" / "summary.json", made_by, (), unreadable=(), passed_over=(), complete=True)


def test_what_weakseg_has_written_among_photographs_is_left_out_and_named(tmp_path: Path) -> None:
    with_images(tmp_path, ("cat/1.jpg", "dog/2.jpg"))
    make_own_folders(tmp_path)
    dataset = open_all(tmp_path)
    assert dataset.classes.names == ("cat", "dog")
    assert [sample.id for sample in dataset] == ["cat/1", "dog/2"]
    told = [problem.where for problem in dataset.problems if problem.kind == "own-folder"]
    assert told == ["predictions", "runs/x", "studies/methods"]
    assert problems_of(dataset, "own-folder")[0].startswith("weakseg has written it")


def test_they_are_not_predicted_either(tmp_path: Path) -> None:
    with_images(tmp_path, ("cat/1.jpg", "dog/2.jpg"))
    make_own_folders(tmp_path)
    assert list(list_targets([tmp_path], files=OutputFiles(tmp_path / "out")).paths) == ["cat/1", "dog/2"]


def test_a_folder_that_is_asked_for_itself_is_read(tmp_path: Path) -> None:
    make_own_folders(tmp_path)
    found = list_targets([tmp_path / "predictions"], files=OutputFiles(tmp_path / "out")).paths
    assert list(found) == ["1"]


@pytest.mark.parametrize(
    ("files", "is_own"),
    [
        ({"recipe.yaml": "a: 1\n"}, False),
        ({"recipe.yaml": "a: 1\n", "images.json": "{}"}, True),
        ({"run.json": "{}"}, False),
        ({"study.json": "{}"}, False),
        ({"summary.json": json.dumps({"format": 1, "images": []})}, False),
        ({"summary.json": "[1"}, False),
        ({"1.jpg": ""}, False),
    ],
)
def test_files_that_others_write_make_no_folder_ours(tmp_path: Path, files: dict[str, str], is_own: bool) -> None:
    for name, text in files.items():
        write_text(tmp_path / "cat" / name, text)
    assert is_own_folder(str(tmp_path / "cat"), list(files)) is is_own
