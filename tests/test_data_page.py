"""The examples of docs/data.md are read as it says."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_text, write_xml
from weakseg.data.base import Dataset
from weakseg.data.coco import open_coco
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.folder import FolderReading, open_folder
from weakseg.data.voc import open_voc

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Each form in five lines\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w+) ([^\n]+)\n(.*?)```", SECTION, re.DOTALL)
TABLES = [(name, text) for kind, name, text in BLOCKS if kind in ("csv", "json")]
TREES = [(words, text) for kind, words, text in BLOCKS if kind == "text"]

SAID = {"1": "cat sofa", "2": "cat", "3": ""}


@dataclass(frozen=True)
class Line:
    """A line of a tree: a file, and what is said of it."""

    path: str
    words: str

    @property
    def stem(self) -> str:
        return Path(self.path).stem


def open_any(root: Path, words: str) -> Dataset:
    reading = FolderReading(only_folder_class="only_folder_class" in words)
    match words.split()[0]:
        case "voc":
            return open_voc(root, split="train")
        case "coco":
            return open_coco(root, split="train")
        case _:
            return open_folder(root, split="train", tags=None, val_fraction=0.0, reading=reading)


def what_it_shows(dataset: Dataset) -> dict[str, str]:
    """Name the classes of each image, those that are not known last and with a question mark."""
    return {
        sample.id: " ".join(
            [name for name, tag in zip(dataset.classes, sample.tags, strict=True) if tag]
            + [f"{name}?" for name, known in zip(dataset.classes, sample.known, strict=True) if not known]
        )
        for sample in dataset
    }


def write_line(root: Path, line: Line, lines: list[Line]) -> None:
    images = [other for other in lines if other.path.endswith(".jpg")]
    tags = {image.stem: image.words.split() for image in images}
    match Path(line.path).suffix:
        case ".jpg":
            write_image(root / line.path, shade=len(line.path))
        case ".png":
            labels = [[0, *(COCO_CLASSES.index(name) + 1 for name in tags[line.stem] if name in COCO_CLASSES.names)]]
            write_mask(root / line.path, np.array(labels, np.uint8))
        case ".xml":
            write_xml(root, line.stem, tags[line.stem])
        case ".txt":
            write_text(root / line.path, line.words.replace(", ", "\n"))
        case ".csv":
            rows = "".join(f"{stem}.jpg,{';'.join(names)}\n" for stem, names in tags.items())
            write_text(root / line.path, f"image,tags\n{rows}")
        case ".json":
            names = [image.path.rpartition("/")[2] for image in images]
            classes = ["cat", "sofa"]
            objects = [
                (at, classes.index(name), square(0, 0, 2))
                for at, image in enumerate(images)
                for name in tags[image.stem]
            ]
            write_json(root / line.path, coco_document(classes, names, objects, (6, 9)))


@pytest.mark.parametrize(("name", "text"), TABLES, ids=[f"{at}-{name}" for at, (name, _) in enumerate(TABLES)])
def test_every_table_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert len(text.splitlines()) <= 5
    for image in SAID:
        write_image(tmp_path / f"{image}.jpg")
    write_text(tmp_path / name, text)
    dataset = open_any(tmp_path, "folder")
    assert what_it_shows(dataset) == SAID
    assert [problem for problem in dataset.problems if problem.severity != "note"] == []


@pytest.mark.parametrize(("words", "text"), TREES, ids=[f"{at}-{words}" for at, (words, _) in enumerate(TREES)])
def test_every_layout_shows_what_it_says(tmp_path: Path, words: str, text: str) -> None:
    lines = [Line(*[*re.split(r"\s{2,}", line, maxsplit=1), ""][:2]) for line in text.splitlines()]
    assert len(lines) <= 5
    for line in lines:
        write_line(tmp_path, line, lines)
    dataset = open_any(tmp_path, words)
    prefix = {"voc": "JPEGImages/", "coco": r"(?:JPEGImages|train2014)/"}.get(words.split()[0], "")
    expected = {
        re.sub(rf"^{prefix}", "", line.path.removesuffix(".jpg")): line.words
        for line in lines
        if line.path.endswith(".jpg") and not line.words.startswith("of the split")
    }
    assert what_it_shows(dataset) == expected


def test_there_are_examples() -> None:
    assert len(TABLES) >= 7
    assert {words.split()[0] for words, _ in TREES} == {"folder", "voc", "coco"}
    assert json.loads(next(text for name, text in TABLES if name.endswith(".json")))
