"""What a run works on: the splits it opens, what it leaves out of them, and what it says of that."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_text, write_xml
from tests.pipeline.made_voc import CPU, ids, prepare_voc, root, truncate
from tests.tiny import with_settings
from weakseg.errors import ConfigError, DataError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import open_splits, prepare

assert root, "a fixture"


def test_both_splits_are_opened_with_their_digests(root: Path, told: list[str]) -> None:
    context = prepare_voc(root)
    assert ids(context) == ("abcd", "vw")
    assert sorted(context.digests) == ["train", "val"]
    assert context.device.type == "cpu"
    assert context.folder.root == root.parent / "run"
    assert told == []


def test_without_a_validation_split_there_is_none(root: Path) -> None:
    context = prepare_voc(root, ("data.val", None))
    assert ids(context) == ("abcd", "")
    assert context.val is None
    assert list(context.digests) == ["train"]


def test_an_unreadable_image_is_named_and_left_out(root: Path, told: list[str]) -> None:
    images = root / "JPEGImages"
    truncate(images / "b.jpg")
    (images / "w.jpg").write_text("not an image")
    context = prepare_voc(root)
    assert ids(context) == ("acd", "v")
    assert [line.split(":")[0] for line in told] == ["voc train", "voc val"]
    assert told[0].startswith(f"voc train: b: {images / 'b.jpg'}: ")
    assert told[0].endswith("; left out")
    assert told[1] == f"voc val: w: {images / 'w.jpg'}: not an image, or of a format that Pillow cannot read; left out"
    assert [(problem.kind, problem.where) for problem in context.train.problems] == [("unreadable", "b")]


def test_many_problems_of_one_kind_are_counted(root: Path, told: list[str]) -> None:
    names = [f"x{index}" for index in range(8)]
    write_text(root / "ImageSets" / "Segmentation" / "train.txt", "\n".join(["a", *names]))
    for name in names:
        write_text(root / "JPEGImages" / f"{name}.jpg", "no image")
        write_xml(root, name, ["cat"])
    assert ids(prepare_voc(root)) == ("a", "vw")
    assert len([line for line in told if "unreadable" in line or "left out" in line]) == 6
    assert told[5] == "voc train: and 3 more of kind 'unreadable'; 'weakseg check' counts them all"


def test_an_image_of_which_no_tag_is_known_is_not_trained_on_but_may_be_predicted(root: Path, told: list[str]) -> None:
    for name in ("c", "v"):
        (root / "Annotations" / f"{name}.xml").unlink()
    assert ids(prepare_voc(root)) == ("abd", "vw")
    assert len(told) == 2
    assert all("gives its tags; all are unknown" in line for line in told)


def test_nothing_left_to_train_on_is_an_error(root: Path) -> None:
    for name in "abcd":
        truncate(root / "JPEGImages" / f"{name}.jpg")
    with pytest.raises(DataError, match="voc train: no readable image with known tags is left; run 'weakseg check'"):
        prepare_voc(root)


def test_nothing_left_to_validate_on_is_told(root: Path, told: list[str]) -> None:
    for name in "vw":
        truncate(root / "JPEGImages" / f"{name}.jpg")
    context = prepare_voc(root)
    assert context.val is None
    assert list(context.digests) == ["train"]
    assert told[-1] == "voc val: no readable image is left, so there is no validation"


def test_splits_of_different_classes_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    for split, names in (("train2017", ["cat", "dog"]), ("val2017", ["cat", "fox"])):
        document = coco_document(names, [f"{split}.jpg"], [(0, 0, square(1, 1, 3))], (6, 9))
        write_json(root / "annotations" / f"instances_{split}.json", document)
        write_image(root / split / f"{split}.jpg")
    config = with_settings(
        CPU, ("data.name", "coco"), ("data.root", str(root)), ("data.train", "train2017"), ("data.val", "val2017")
    )
    with pytest.raises(DataError, match=r"train2017 and val2017 must be the same, but .* differ: dog, fox"):
        prepare(config, RunFolder(tmp_path / "run"))


@pytest.mark.parametrize("name", ["voc", "coco", "folder"])
def test_a_missing_root_says_what_to_add(name: str, tmp_path: Path) -> None:
    config = with_settings(CPU, ("data.name", name))
    with pytest.raises(ConfigError, match=f"expected the folder of the {name} data set, got null; add --data"):
        open_splits(config.data, RunFolder(tmp_path))
    config = with_settings(config, ("data.root", str(tmp_path / "gone")))
    with pytest.raises(DataError, match=f"data.root: there is no folder {tmp_path / 'gone'}"):
        open_splits(config.data, RunFolder(tmp_path))


def test_a_folder_of_photographs_is_opened_with_its_tag_file(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in "abcdef":
        write_image(root / f"{name}.png", shade=ord(name))
    rows = "".join(f"{name}.png,cat\n" for name in "abcdef")
    tags = write_text(tmp_path / "other.csv", f"image,tags\n{rows}")
    config = with_settings(
        CPU,
        ("data.name", "folder"),
        ("data.root", str(root)),
        ("data.tags", str(tags)),
        ("data.val_fraction", 0.34),
    )
    train, val = open_splits(config.data, RunFolder(tmp_path / "run"))
    assert (train.name, len(train), len(val)) == ("folder", 4, 2)


def test_what_is_wrong_with_the_folder_is_told_for_one_split_only(tmp_path: Path, told: list[str]) -> None:
    root = tmp_path / "photos"
    for name in "abcdef":
        write_image(root / f"{name}.png", shade=ord(name))
    (root / "a.png").write_text("no image")
    write_text(root / "tags.csv", "image,tags\na,cat\nb,cat\nc,\nd,\ne,cat\nf,cat\ngone,cat\n")
    settings = (("data.name", "folder"), ("data.root", str(root)), ("data.val_fraction", 0.5))
    prepare(with_settings(CPU, *settings), RunFolder(tmp_path / "run"))
    assert len([line for line in told if "gone" in line]) == 1
    assert len([line for line in told if f"{root / 'a.png'}: not an image" in line]) == 1


def test_critters_are_drawn_into_the_run_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    critters = replace(CPU.data.critters, images=2, val_images=1, size_px=48)
    config = with_settings(CPU, ("data.critters", critters))
    context = prepare(config, folder)
    assert (context.train.name, len(context.train), len(context.val)) == ("critters", 2, 1)
    assert context.train.load_mask(context.train.samples[0]).shape == (48, 48)
    before = {path: path.stat().st_mtime_ns for path in (folder.generated_data / "JPEGImages").iterdir()}
    assert len(before) == 3
    assert prepare(config, folder).digests == context.digests
    assert before == {path: path.stat().st_mtime_ns for path in (folder.generated_data / "JPEGImages").iterdir()}


def test_critters_may_lie_elsewhere(tmp_path: Path) -> None:
    critters = replace(CPU.data.critters, images=1, val_images=0, size_px=48)
    config = with_settings(
        CPU, ("data.critters", critters), ("data.root", str(tmp_path / "shared")), ("data.val", None)
    )
    (train,) = open_splits(config.data, RunFolder(tmp_path / "run"))
    assert train.samples[0].image_path.is_relative_to(tmp_path / "shared")
    assert not (tmp_path / "run").exists()


def test_classes_that_cannot_be_learnt_are_named_and_the_rest_goes_on(tmp_path: Path, told: list[str]) -> None:
    root = tmp_path / "photos"
    for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
        write_image(root / f"{name}.png", shade=len(name))
    config = with_settings(
        CPU, ("data.name", "folder"), ("data.root", str(root)), ("data.val", None), ("data.val_fraction", 0.0)
    )
    context = prepare(config, RunFolder(tmp_path / "run"))
    assert len(context.train) == 4
    assert any("2 of 2 classes cannot be learnt (cat, dog)" in line for line in told)
    write_image(root / "_none" / "1.png", shade=200)
    told.clear()
    prepare(config, RunFolder(tmp_path / "run"))
    assert not any("cannot be learnt" in line for line in told)


def test_a_run_on_files_of_this_machine_needs_no_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers and on clusters the home is often not there, or for reading only."""
    (tmp_path / "home").write_bytes(b"a file where the folder should be")
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "home" / "cache"))
    config = with_settings(CPU, ("data.name", "voc"), ("data.root", str(root)))
    assert len(prepare(config, RunFolder(tmp_path / "run")).train) == 4
