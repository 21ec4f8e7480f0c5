"""Writing critters: the layout, resuming, and refusing to mix data sets."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from weakseg.data.masks import read_mask
from weakseg.data.synthetic import CRITTER_CLASSES, CritterSettings, generate_scene, write_critters
from weakseg.data.synthetic import writer as writer_module
from weakseg.errors import ConfigError, DataError

SETTINGS = CritterSettings(size_px=48, p_empty=0.3)
VAL_OFFSET = 2**31


def write(
    root: Path, *, images: int = 4, val_images: int = 2, seed: int = 0, settings: CritterSettings = SETTINGS
) -> int:
    return write_critters(root, settings, images=images, val_images=val_images, seed=seed)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_layout_is_that_of_voc(tmp_path: Path) -> None:
    assert write(tmp_path / "critters") == 6
    ids = [*(f"train_{number:05d}" for number in range(4)), "val_00000", "val_00001"]
    expected = {
        *(f"JPEGImages/{name}.png" for name in ids),
        *(f"Annotations/{name}.xml" for name in ids),
        *(f"{folder}/{name}.png" for folder in ("SegmentationClass", "SegmentationObject") for name in ids),
        *(f"SegmentationParts/{name}.png" for name in ids),
        "ImageSets/Segmentation/train.txt",
        "ImageSets/Segmentation/val.txt",
        "classes.txt",
        "critters.json",
    }
    written = contents(tmp_path / "critters")
    assert set(written) == expected
    assert written["classes.txt"].decode().split() == list(CRITTER_CLASSES)
    assert written["ImageSets/Segmentation/train.txt"].decode().splitlines() == ids[:4]
    assert written["ImageSets/Segmentation/val.txt"].decode().splitlines() == ids[4:]


def test_files_hold_the_generated_scenes(tmp_path: Path) -> None:
    write(tmp_path, seed=9)
    for name, index in (("train_00003", 3), ("val_00001", VAL_OFFSET + 1)):
        scene = generate_scene(SETTINGS, seed=9, index=index)
        with Image.open(tmp_path / "JPEGImages" / f"{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), scene.image)
        np.testing.assert_array_equal(read_mask(tmp_path / "SegmentationClass" / f"{name}.png"), scene.mask)
        np.testing.assert_array_equal(read_mask(tmp_path / "SegmentationObject" / f"{name}.png"), scene.instances)
        np.testing.assert_array_equal(read_mask(tmp_path / "SegmentationParts" / f"{name}.png"), scene.parts)


def test_annotations_name_and_frame_every_labelled_animal(tmp_path: Path) -> None:
    crowd = CritterSettings(size_px=48, p_animals=(0, 0, 1), p_empty=0)
    write(tmp_path, settings=crowd, images=4)
    for index in range(4):
        scene = generate_scene(crowd, seed=0, index=index)
        annotation = ElementTree.parse(tmp_path / "Annotations" / f"train_{index:05d}.xml").getroot()
        assert annotation.findtext("filename") == f"train_{index:05d}.png"
        assert [annotation.findtext(f"size/{key}") for key in ("width", "height", "depth")] == ["48", "48", "3"]
        animals = annotation.findall("object")
        assert [animal.findtext("name") for animal in animals] == [CRITTER_CLASSES[k] for k in scene.instance_classes]
        for number, animal in enumerate(animals, start=1):
            left, top, right, bottom = (
                int(animal.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
            inside = scene.instances == number
            # VOC counts pixels from 1 and includes the last: the box holds the animal and is not too large.
            assert inside[top - 1 : bottom, left - 1 : right].sum() == inside.sum()
            assert all(edge.any() for edge in (inside[top - 1], inside[bottom - 1]))
            assert all(edge.any() for edge in (inside[:, left - 1], inside[:, right - 1]))
            touches = top == 1 or left == 1 or bottom == 48 or right == 48
            assert animal.findtext("truncated") == str(int(touches))


def test_an_empty_image_has_an_annotation_without_objects(tmp_path: Path) -> None:
    write(tmp_path, images=1, val_images=0, settings=CritterSettings(size_px=48, p_empty=1))
    annotation = ElementTree.parse(tmp_path / "Annotations" / "train_00000.xml").getroot()
    assert annotation.findall("object") == []
    assert annotation.findtext("filename") == "train_00000.png"


def test_without_validation_images_there_is_no_validation_list(tmp_path: Path) -> None:
    write(tmp_path, images=1, val_images=0)
    assert (tmp_path / "ImageSets/Segmentation/train.txt").is_file()
    assert not (tmp_path / "ImageSets/Segmentation/val.txt").exists()


def test_train_and_validation_share_no_image_and_do_not_depend_on_each_other(tmp_path: Path) -> None:
    write(tmp_path / "few", images=3, val_images=3)
    write(tmp_path / "many", images=5, val_images=4)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    images = [content for name, content in many.items() if name.startswith("JPEGImages")]
    assert len(set(images)) == 9
    for name, content in few.items():
        if name.startswith(("JPEGImages", "SegmentationClass", "Annotations")):
            assert many[name] == content


def test_a_complete_folder_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr(writer_module, "generate_scene", lambda *_, **__: pytest.fail("an image was generated"))
    assert write(tmp_path) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("finished_images", [0, 1, 5])
def test_an_interrupted_folder_goes_on_and_ends_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished_images: int
) -> None:
    drawn: list[int] = []

    def interrupt(done: int, _: int) -> None:
        if done > finished_images:
            raise KeyboardInterrupt

    def record(settings: CritterSettings, *, seed: int, index: int) -> object:
        drawn.append(index)
        return generate_scene(settings, seed=seed, index=index)

    with pytest.raises(KeyboardInterrupt):
        write_critters(tmp_path / "broken", SETTINGS, images=4, val_images=2, seed=0, progress=interrupt)
    assert not (tmp_path / "broken" / "critters.json").exists()
    monkeypatch.setattr(writer_module, "generate_scene", record)
    assert write(tmp_path / "broken") == 5 - finished_images
    assert drawn == [0, 1, 2, 3, VAL_OFFSET, VAL_OFFSET + 1][finished_images + 1 :]
    write(tmp_path / "whole")
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    partial = tmp_path / "JPEGImages" / ".train_00001.png.123.partial"
    write(tmp_path)
    (tmp_path / "critters.json").rename(tmp_path / "critters.unfinished.json")
    partial.write_bytes(b"half")
    assert write(tmp_path) == 0
    assert not partial.exists()


def test_an_image_with_a_missing_file_is_generated_again(tmp_path: Path) -> None:
    write(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "critters.json").rename(tmp_path / "critters.unfinished.json")
    (tmp_path / "SegmentationObject" / "train_00002.png").unlink()
    assert write(tmp_path) == 1
    assert contents(tmp_path) == before


def test_progress_counts_every_image_found_or_made(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write(tmp_path, images=2, val_images=1)
    (tmp_path / "critters.json").rename(tmp_path / "critters.unfinished.json")
    write_critters(
        tmp_path, SETTINGS, images=2, val_images=1, seed=0, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("stamp", ["critters.json", "critters.unfinished.json"])
def test_other_settings_are_refused_by_name_also_in_an_unfinished_folder(tmp_path: Path, stamp: str) -> None:
    write(tmp_path, images=1, val_images=0)
    (tmp_path / "critters.json").rename(tmp_path / stamp)
    before = contents(tmp_path)
    other = CritterSettings(size_px=48, p_empty=0.3, p_coat=0.25)
    with pytest.raises(
        DataError, match=r"seed is 0 there and 1 here; settings\.p_coat is 0\.7 there and 0\.25 here"
    ) as info:
        write(tmp_path, images=1, val_images=0, seed=1, settings=other)
    assert "another folder" in str(info.value)
    assert "p_empty" not in str(info.value)
    assert contents(tmp_path) == before


def test_an_older_generator_is_refused(tmp_path: Path) -> None:
    write(tmp_path, images=1, val_images=0)
    stamp = json.loads((tmp_path / "critters.json").read_text())
    (tmp_path / "critters.json").write_text(json.dumps(stamp | {"version": 0}))
    with pytest.raises(DataError, match="version is 0 there and 1 here"):
        write(tmp_path, images=1, val_images=0)


def test_a_folder_of_other_origin_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages" / "2007_000027.jpg").write_bytes(b"a photograph")
    with pytest.raises(DataError, match=r"already holds JPEGImages, but no critters\.json"):
        write(tmp_path)
    assert set(contents(tmp_path)) == {"JPEGImages/2007_000027.jpg"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="out is a file"):
        write(tmp_path / "out")


@pytest.mark.parametrize(("content", "message"), [("{", "cannot read"), ("[]", "not a JSON object")])
def test_a_damaged_stamp_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "critters.json").write_text(content)
    with pytest.raises(DataError, match=message):
        write(tmp_path)


@pytest.mark.parametrize(("images", "val_images", "seed"), [(0, 1, 0), (1, -1, 0), (1, 0, -1)])
def test_numbers_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, images: int, val_images: int, seed: int
) -> None:
    with pytest.raises(ConfigError, match=f"got images {images}, val_images {val_images}, seed {seed}"):
        write(tmp_path / "out", images=images, val_images=val_images, seed=seed)
    assert not (tmp_path / "out").exists()
