import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import write_image, write_text, write_voc
from weakseg.data.base import Dataset
from weakseg.data.folder import FolderReading, open_folder
from weakseg.data.label_maps import labelmap_classes, read_labelmap
from weakseg.data.mask_codes import (
    MaskCode,
    distrust_masks,
    find_mask_code,
    parse_mask_values,
)
from weakseg.data.masks import read_mask
from weakseg.data.voc import open_voc
from weakseg.errors import ConfigError, DataError
from weakseg.types import ClassSet, Sample

CLASSES = ClassSet(("cat", "dog"))
LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
cat:0,128,0::
dog:128,0,0::
border:9,9,9::
cow:7,7,7::
"""


def write_grey(path: Path, values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def open_masks(
    root: Path, masks: Sequence[Sequence[int]], *, classes: str = "cat\ndog\n", mask_values: str | None = None
) -> Dataset:
    """Write an image of the first class and a mask of one row per entry, and open them all."""
    for number, row in enumerate(masks):
        write_image(root / "images" / f"{number}.jpg", (1, len(row)))
        write_grey(root / "masks" / f"{number}.png", [row])
    rows = "".join(f"{number},cat\n" for number in range(len(masks)))
    write_text(root / "tags.csv", f"image,tags\n{rows}")
    write_text(root / "classes.txt", classes)
    reading = FolderReading(mask_values=mask_values)
    return open_folder(root, split="all", tags=None, val_fraction=0.0, reading=reading)


@pytest.mark.parametrize(
    ("masks", "classes", "told"),
    [
        # the only class is 255, 1 bit apart from it, or any other number
        ([[0, 255]], "cat\n", "--data.mask_values 255=1 says so"),
        ([[0, 128]], "cat\n", "--data.mask_values 128=1 says so"),
        # classes are spread over the grey values
        ([[0, 127], [0, 254]], "cat\ndog\n", "--data.mask_values 127=1,254=2 says so"),
        ([[0, 128], [0, 255]], "cat\ndog\n", "--data.mask_values 128=1,255=2 says so"),
        ([[0, 1], [0, 200], [0, 200]], "cat\ndog\n", "--data.mask_values 1=1,200=2 says so"),
        # one value cannot say which class
        ([[0, 255]], "cat\ndog\nfox\n", "one value cannot tell 3 classes apart"),
        # more values than classes
        ([[0, 50], [0, 90], [60, 70]], "cat\ndog\n", "--data.mask_values 50=1,... maps each to its label"),
        # nothing is marked although all images show a cat
        ([[0, 0], [0, 0], [0, 0]], "cat\n", "the 3 masks that were looked at are empty"),
    ],
)
def test_values_that_are_no_labels_are_told_and_never_measured(
    tmp_path: Path, masks: list[list[int]], classes: str, told: str
) -> None:
    dataset = open_masks(tmp_path, masks, classes=classes)
    assert dataset.mask_reader is None
    (problem,) = dataset.problems
    assert (problem.severity, problem.kind) == ("warning", "mask-values")
    assert told in problem.message
    assert problem.message.endswith("no score is measured")


@pytest.mark.parametrize(
    "masks",
    [
        [[0, 1], [2, 255]],
        [[0, 1]],
        [[0, 0]],
        # a single mask with a stray value is told of that mask
        [[0, 1], [0, 1], [0, 1, 9]],
    ],
)
def test_labels_are_trusted(tmp_path: Path, masks: list[list[int]]) -> None:
    dataset = open_masks(tmp_path, masks)
    assert dataset.problems == ()
    assert dataset.mask_reader is not None


def test_the_setting_maps_values_to_labels(tmp_path: Path) -> None:
    dataset = open_masks(tmp_path, [[0, 64, 128, 192]], mask_values="64=cat, 128=2,192=ignore")
    mask = dataset.load_mask(dataset.samples[0])
    assert mask is not None
    assert mask.tolist() == [[0, 1, 2, 255]]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("255", "expected pairs such as 255=1 of numbers 0..255, got '255'"),
        ("256=1", "got '256=1'"),
        ("255=3", "expected a label 0..2, 255, a class, 'background' or 'ignore' after '255=', got '3'"),
        ("255=cow", "got 'cow'"),
    ],
)
def test_a_wrong_setting_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.mask_values: ") as caught:
        parse_mask_values(text, CLASSES)
    assert told in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_a_label_map_tells_the_colours(tmp_path: Path, mode: str) -> None:
    write_text(tmp_path / "labelmap.txt", LABELMAP)
    code, problems = find_mask_code(tmp_path, CLASSES, values=None)
    colours = [[(0, 0, 0), (0, 128, 0), (128, 0, 0)], [(9, 9, 9), (7, 7, 7), (0, 128, 0)]]
    image = Image.fromarray(np.array(colours, np.uint8))
    image.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", code=code).tolist() == [[0, 1, 2], [255, 0, 1]]
    assert [(p.severity, p.kind) for p in problems] == [("note", "labelmap")]
    assert problems[0].message.endswith("no classes, hence background: cow")


def test_a_palette_of_other_colours_keeps_its_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.save(tmp_path / "m.png")
    code = MaskCode(values={1: 2}, colours={(0, 128, 0): 1})
    assert read_mask(tmp_path / "m.png", code=code).tolist() == [[0, 2]]


def test_colours_that_the_label_map_lacks_are_an_error(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"6 pixels have colours outside the label map, the first is \(1, 2, 3\)"):
        read_mask(tmp_path / "m.png", code=MaskCode(colours={(0, 0, 0): 0}))
    with pytest.raises(DataError, match=r"outside the VOC palette.*write the colour of each class into labelmap\.txt"):
        read_mask(tmp_path / "m.png")


def test_a_voc_folder_takes_classes_and_colours_from_its_label_map(tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"a": ["dog"], "b": []}, train=["a", "b"])
    (root / "Annotations" / "b.xml").unlink()
    write_text(root / "labelmap.txt", LABELMAP)
    for name, colour in (("a", (128, 0, 0)), ("b", (0, 128, 0))):
        Image.new("RGB", (9, 6), colour).save(write_grey(root / "SegmentationClass" / f"{name}.png", [[0]]))
    dataset = open_voc(root, split="train")
    mask = dataset.load_mask(dataset.samples[0])
    assert mask is not None
    assert dataset.classes.names == ("cat", "dog", "cow")
    assert (mask == 2).all()
    assert [dataset.classes.decode(sample.tags) for sample in dataset] == [("dog",), ("cat",)]


def test_a_label_map_is_read_line_by_line(tmp_path: Path) -> None:
    path = write_text(tmp_path / "labelmap.txt", LABELMAP)
    assert read_labelmap(path)["dog"] == (128, 0, 0)
    assert labelmap_classes(path).names == ("cat", "dog", "cow")
    write_text(path, "cat:0,128::\n")
    with pytest.raises(DataError, match=r"expected lines 'name:red,green,blue::', got 'cat:0,128::'"):
        read_labelmap(path)


@pytest.mark.parametrize(
    ("tags", "labels", "words"),
    [
        # The classes in another order.
        ([(1, 0), (0, 1), (1, 0)], [{2}, {1}, {2}], "3 of 3 truth masks show only what their images do not"),
        # One object after the other, whatever its class.
        ([(1, 0), (0, 1), (1, 0), (0, 1)], [{1}, {2}, {3}, {4}], None),
        ([(1, 0), (1, 0), (1, 0), (0, 1)], [{1}, {2}, {3}, {4}], "3 of 4 truth masks"),
        # Object 0, background 1.
        ([(1, 0), (0, 0), (0, 0), (0, 0)], [{0, 1}, {1}, {1}, {1}], "3 of 3 truth masks .* its tags say no class"),
        # Tags that name one of the classes that masks show are no reason.
        ([(1, 0), (1, 0), (1, 0)], [{1, 2}, {1, 2}, {1, 2}], None),
        ([(1, 0), (0, 1)], [{2}, {1}], None),
    ],
)
def test_masks_that_most_tags_contradict_are_not_trusted(
    tags: list[tuple[int, int]], labels: list[set[int]], words: str | None
) -> None:
    samples = [Sample(str(n), Path("x.jpg"), np.array(t, np.uint8), np.ones(2, np.bool_)) for n, t in enumerate(tags)]
    masks = {sample.id: np.array([sorted(shown)], np.uint8) for sample, shown in zip(samples, labels, strict=True)}
    problem = distrust_masks(lambda sample: masks[sample.id], samples, ClassSet(("cat", "dog")))
    assert (problem is None) == (words is None)
    if words is not None:
        assert problem is not None
        assert re.search(words, problem.message)
