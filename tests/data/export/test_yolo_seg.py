from pathlib import Path
from urllib.parse import unquote

import numpy as np
import yaml
from PIL import Image

from tests.data.export.made_split import (
    CASES,
    NAMES,
    fill_even_odd,
    make_instances,
    make_split,
    read_files,
    without_void,
)
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.split import LabelledSplit
from weakseg.data.export.yolo_seg import describe_objects, write_yolo_seg


def export(root: Path, split: LabelledSplit) -> list[str]:
    folder = ExportFolder(root, format="yolo-seg")
    notes = write_yolo_seg(split, folder)
    folder.finish()
    return notes


def read_lines(lines: list[str], size_hw: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Return class index and mask (H, W) of every line, by the rules of the format."""
    found = []
    for line in lines:
        key, *numbers = line.split(" ")
        corners = np.array(numbers, float).reshape(-1, 2)
        assert len(corners) >= 3
        assert corners.min() >= 0
        assert corners.max() <= 1
        found.append((int(key), fill_even_odd(corners * size_hw[::-1], size_hw)))
    return found


def test_polygons_filled_by_another_program_give_every_label_map_back(tmp_path: Path) -> None:
    assert export(tmp_path / "out", make_split(tmp_path / "photos")) == [
        "void pixels of 2 images are written as background"
    ]
    paths = list((tmp_path / "out/labels/train").iterdir())
    assert {unquote(path.stem) for path in paths} == set(CASES)
    for path in paths:
        expected = without_void(CASES[unquote(path.stem)])
        labels = np.zeros_like(expected)
        for key, mask in read_lines(path.read_text().splitlines(), expected.shape):
            assert not labels[mask].any(), "objects overlap"
            labels[mask] = key + 1
        np.testing.assert_array_equal(labels, expected)


def test_labels_lie_where_yolo_looks_for_those_of_an_image(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    files = read_files(tmp_path / "out")
    images = [name for name in files if name.startswith("images/train/")]
    assert len(images) == len(CASES)
    for name in images:
        assert name.count("/") == 2
        label = Path("labels".join(name.rsplit("images", 1))).with_suffix(".txt").as_posix()
        assert label in files
        original = tmp_path / "photos" / unquote(Path(name).name)
        assert files[name] == original.read_bytes()


def test_the_settings_name_classes_with_any_characters(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos", role="val"))
    settings = yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))
    assert settings == {"train": "images/val", "val": "images/val", "names": dict(enumerate(NAMES))}


def test_an_image_without_objects_has_an_empty_file(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    assert (tmp_path / "out/labels/train/empty.txt").read_bytes() == b""
    assert (tmp_path / "out/labels/train/all void.txt").read_bytes() == b""


def test_a_line_is_the_class_and_corners_as_shares_of_width_and_height() -> None:
    labels = np.zeros((4, 8), np.uint8)
    labels[1:3, 2:8] = 80
    (line,) = describe_objects(labels)
    key, *numbers = line.split(" ")
    assert key == "79"
    corners = {(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)}
    assert corners == {(0.25, 0.25), (1.0, 0.25), (1.0, 0.75), (0.25, 0.75)}


def test_an_object_of_two_parts_is_one_line() -> None:
    labels = np.zeros((6, 9), np.uint8)
    labels[1:3, 1:3] = labels[4:6, 6:9] = 1
    assert len(describe_objects(labels)) == 2
    instance = np.zeros((6, 9), bool)
    instance[1:3, 1:3] = True
    (line,) = describe_objects(labels, make_instances(instance, keys=[0], scores=[0.5]))
    ((key, mask),) = read_lines([line], labels.shape)
    assert key == 0
    np.testing.assert_array_equal(mask, labels == 1)


def test_corners_are_exact_in_images_of_many_thousand_pixels() -> None:
    labels = np.zeros((3, 9999), np.uint8)
    labels[1, 1::50] = 1
    lines = describe_objects(labels)
    corners = np.array([line.split(" ")[1:] for line in lines], float).reshape(len(lines), 4, 2) * (9999, 3)
    np.testing.assert_allclose(corners[:, :, 0].min(axis=1), np.arange(1, 9999, 50), atol=1e-3)


def test_images_can_be_linked(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "out", format="yolo-seg", link_images=True)
    write_yolo_seg(make_split(tmp_path / "photos", {"a/b": np.zeros((5, 7), np.uint8)}), folder)
    assert (tmp_path / "out/images/train/a%2Fb.png").readlink() == tmp_path / "photos/a/b.png"
    with Image.open(tmp_path / "out/images/train/a%2Fb.png") as image:
        assert image.size == (7, 5)


def test_80_classes_in_noise() -> None:
    labels = np.random.default_rng(0).integers(0, 81, (19, 12), np.uint8)
    restored = np.zeros_like(labels)
    for key, mask in read_lines(describe_objects(labels), labels.shape):
        restored[mask] = key + 1
    np.testing.assert_array_equal(restored, labels)
