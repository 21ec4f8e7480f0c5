import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_text, write_voc
from weakseg.checks.dataset import CheckReport, check_dataset
from weakseg.data.base import Dataset, Problem
from weakseg.data.coco import open_coco
from weakseg.data.folder import open_folder
from weakseg.data.voc import open_voc
from weakseg.errors import DataError

LARGE = (40, 50)
"""Large enough not to be reported as tiny."""


def write_folder(root: Path, rows: dict[str, str]) -> Path:
    """Write one image per row, each of another shade, and `tags.csv`."""
    for shade, name in enumerate(rows):
        write_image(root / name, LARGE, shade=shade)
    write_text(root / "tags.csv", "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in rows.items()))
    return root


def open_all(root: Path) -> Dataset:
    return open_folder(root, split="all", tags=None, val_fraction=0.0)


def found(report: CheckReport, kind: str) -> list[Problem]:
    return [problem for problem in report.problems if problem.kind == kind]


def where(report: CheckReport, kind: str) -> list[str]:
    return [problem.where for problem in found(report, kind)]


def test_a_sound_data_set_is_counted_and_has_no_problem(tmp_path: Path) -> None:
    report = check_dataset([open_all(write_folder(tmp_path, {"a.jpg": "cat;dog", "b.png": "dog", "c.png": ""}))])
    (split,) = report.splits
    assert report.problems == ()
    assert not report.fails
    assert (split.name, split.split, split.num_images, split.num_readable, split.num_masks) == (
        "folder",
        "all",
        3,
        3,
        0,
    )
    assert (split.positives.tolist(), split.negatives.tolist(), split.unknown.tolist()) == ([1, 2], [2, 1], [0, 0])
    assert split.cooccurrence.tolist() == [[1, 1], [1, 2]]
    assert split.formats == (("PNG", 2), ("JPEG", 1))
    assert split.modes == (("RGB", 3),)


def test_odd_images_are_noted_and_bad_ones_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{name}.png": "cat" for name in ("grey", "alpha", "deep", "small", "plain", "cut")})
    noise = np.random.default_rng(0).integers(0, 256, (*LARGE, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(root / "turned.jpg", exif=exif.tobytes())
    Image.fromarray(noise).convert("CMYK").save(root / "print.jpg")
    Image.fromarray(noise[..., 0]).save(root / "grey.png")
    Image.fromarray(noise).convert("RGBA").save(root / "alpha.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(root / "deep.png")
    Image.fromarray(noise[:1, :1]).save(root / "small.png")
    Image.fromarray(noise).save(root / "cut.png")
    (root / "cut.png").write_bytes((root / "cut.png").read_bytes()[:900])
    (root / "empty.jpg").touch()
    rows = ["turned", "print", "empty", *(f"{path.stem}" for path in root.glob("*.png"))]
    write_text(root / "tags.csv", "image,tags\n" + "".join(f"{row},{'cat' * (row != 'plain')}\n" for row in rows))
    report = check_dataset([open_all(root)])
    assert {kind: where(report, kind) for kind in sorted({p.kind for p in report.problems})} == {
        "16-bit": ["deep"],
        "alpha": ["alpha"],
        "cmyk": ["print"],
        "exif-rotated": ["turned"],
        "greyscale": ["deep", "grey"],
        "pixel-range": ["folder"],
        "tiny": ["small"],
        "unreadable": ["cut", "empty"],
    }
    assert {p.kind for p in report.problems if p.severity == "warning"} == {"unreadable"}
    assert [("truncated" in p.message, "empty" in p.message) for p in found(report, "unreadable")] == [
        (True, False),
        (False, True),
    ]
    assert report.splits[0].num_readable == 7
    assert report.splits[0].positives.tolist() == [6]  # unreadable images do not count
    assert not report.fails


def test_equal_files_are_found_within_and_across_splits(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": "cat", "c.png": "dog", "d.png": "", "e.png": "cat"})
    for copy in ("b", "c", "e"):
        (root / f"{copy}.png").write_bytes((root / "a.png").read_bytes())
    for name, ids in (("train", "abcd"), ("val", "de")):
        write_text(root / f"{name}.txt", "\n".join(ids))
    train, val = (open_folder(root, split=f"{s}.txt", tags=None, val_fraction=0.5) for s in ("train", "val"))
    report = check_dataset([train, val])
    inside, across = found(report, "same-content"), found(report, "shared-image")
    assert [problem.where for problem in inside] == ["b", "c"]
    assert "'a' of split 'train', with the same tags" in inside[0].message
    assert "OTHER TAGS" in inside[1].message
    assert [problem.where for problem in across] == ["e", "d"]
    assert all("scores on 'val' will be too good" in problem.message for problem in across)


def test_empty_files_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": "", "c.png": "cat"})
    for name in "ac":
        (root / f"{name}.png").write_bytes(b"")
    assert found(check_dataset([open_all(root)]), "same-content") == []


def test_different_images_with_one_id_in_two_splits_are_found(tmp_path: Path) -> None:
    one, two = (write_folder(tmp_path / name, {"x.png": "cat", "y.png": ""}) for name in ("one", "two"))
    write_image(two / "x.png", LARGE, shade=200)
    assert where(check_dataset([open_all(one), open_all(two)]), "same-id") == ["x", "y"]


def test_findings_of_the_reader_come_through_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": ""})
    write_image(root / "new.png", LARGE)
    (root / "phone.heic").touch()
    report = check_dataset([open_all(root), open_all(root)])
    assert where(report, "untagged") == ["new"]
    assert len(found(report, "other-format")) == 1


def test_a_class_nobody_can_learn_is_a_warning_beside_others(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat;pet", "b.png": "pet"})
    write_text(root / "classes.txt", "cat\npet\nunicorn\n")
    report = check_dataset([open_all(root)])
    assert [(p.severity, p.where) for p in found(report, "no-positives")] == [("warning", "unicorn")]
    assert [(p.severity, p.where) for p in found(report, "no-negatives")] == [("warning", "pet")]
    assert not report.fails


def test_a_class_of_a_single_image_is_pointed_out_where_there_are_others(tmp_path: Path) -> None:
    rows = {f"{name}.png": "cat" for name in "abcdefgh"} | {"i.png": "unicorn"}
    assert found(check_dataset([open_all(write_folder(tmp_path / "nine", rows))]), "one-positive") == []
    report = check_dataset([open_all(write_folder(tmp_path / "ten", rows | {"j.png": ""}))])
    assert [(p.severity, p.where) for p in found(report, "one-positive")] == [("warning", "unicorn")]


def test_a_folder_per_class_fails_without_counterexamples_and_passes_with_them(tmp_path: Path) -> None:
    for shade, name in enumerate(("cat/1.png", "dog/1.png")):
        write_image(tmp_path / name, LARGE, shade=shade)
    report = check_dataset([open_all(tmp_path)])
    assert report.fails
    assert [(p.severity, p.where) for p in found(report, "no-negatives")] == [("error", "cat"), ("error", "dog")]
    assert "_none/" in found(report, "no-negatives")[0].message
    assert report.splits[0].unknown.tolist() == [1, 1]
    write_image(tmp_path / "_none" / "street.png", LARGE, shade=9)
    assert not check_dataset([open_all(tmp_path)]).fails


def test_training_without_any_readable_image_fails(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": ""})
    for name in "ab":
        (root / f"{name}.png").write_text("no image")
    report = check_dataset([open_all(root)])
    assert report.fails
    assert [p.severity for p in found(report, "no-images")] == ["error"]
    assert report.splits[0].positives.tolist() == [0]


def test_an_unreadable_split_for_evaluation_is_a_warning(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", {"a.png": "cat", "b.png": ""})
    val = write_folder(tmp_path / "val", {"c.png": "cat", "d.png": "cat"})
    for name in "cd":
        (val / f"{name}.png").write_text("no image")
    report = check_dataset([open_all(train), open_all(val)])
    assert [(p.severity, p.where) for p in found(report, "no-images")] == [("warning", "split 'all'")]
    assert not report.fails


def test_splits_with_other_classes_fail_and_missing_ones_are_noted(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", {"a.png": "cat", "b.png": "dog"})
    val = write_folder(tmp_path / "val", {"c.png": "cat"})
    report = check_dataset([open_all(train), open_all(val)])
    assert report.fails
    assert [p.severity for p in found(report, "classes-differ")] == ["error"]
    write_text(val / "classes.txt", "cat\ndog\n")
    report = check_dataset([open_all(train), open_all(val)])
    assert not report.fails
    assert [(p.severity, p.where) for p in found(report, "no-positives")] == [("note", "dog")]


def test_masks_are_compared_with_image_classes_and_tags(tmp_path: Path) -> None:
    names = ("fits", "size", "label", "more", "less", "void", "bad", "grey", "none")
    root = write_folder(tmp_path, {f"{name}.png": "cat" for name in names} | {"empty.png": ""})
    write_text(root / "classes.txt", "cat\ndog\n")
    values = {"fits": [0, 1], "label": [1, 3], "more": [1, 2], "less": [0, 0], "void": [0, 255], "grey": [0, 1]}
    for name, (left, right) in values.items():
        labels = np.full(LARGE, left, np.uint8)
        labels[:, 20:] = right
        write_mask(root / "masks" / f"{name}.png", labels)
    Image.fromarray(np.ones(LARGE, np.uint8)).save(root / "masks" / "grey.png")
    write_mask(root / "masks" / "size.png", np.ones(LARGE[::-1], np.uint8))
    write_text(root / "masks" / "bad.png", "no image")
    report = check_dataset([open_all(root)])
    assert {kind: where(report, kind) for kind in sorted({p.kind for p in report.problems})} == {
        "bad-mask": ["bad"],
        "mask-label": ["label"],
        "mask-not-tagged": ["more"],
        "mask-palette": ["grey"],
        "mask-size": ["size"],
        "no-positives": ["dog"],
        "tag-not-in-mask": ["less"],
    }
    assert "labels [3]; 2 classes have the labels 1 to 2" in found(report, "mask-label")[0].message
    assert "40 x 50 pixels, the image 50 x 40" in found(report, "mask-size")[0].message
    assert "shows dog" in found(report, "mask-not-tagged")[0].message
    assert report.splits[0].num_masks == 7
    assert not report.fails


def test_a_mask_may_show_a_class_that_is_not_known(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "?cat;dog", "b.png": "cat", "c.png": ""})
    write_mask(root / "masks" / "a.png", np.repeat(np.array([[1, 2]], np.uint8), 25, axis=1).repeat(40, axis=0))
    assert check_dataset([open_all(root)]).problems == ()


def test_a_mask_for_the_unturned_image_is_explained(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": ""})
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", LARGE[::-1]).save(root / "a.png", exif=exif.tobytes())
    write_mask(root / "masks" / "a.png", np.ones(LARGE, np.uint8))
    (problem,) = found(check_dataset([open_all(root)]), "mask-size")
    assert "made for the image as stored" in problem.message


def test_a_folder_of_masks_without_any_that_fits_is_pointed_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat", "b.png": ""})
    write_mask(root / "masks" / "other.png", np.ones(LARGE, np.uint8))
    assert len(found(check_dataset([open_all(root)]), "no-masks")) == 1


def test_voc_test_images_may_lack_tags_unless_they_are_trained_on(tmp_path: Path) -> None:
    write_voc(tmp_path, {"a": ["cat"], "b": ["dog"]}, train=["a", "b"], test=["t"])
    for name in "ab":
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg", LARGE, shade=ord(name))
    write_image(tmp_path / "JPEGImages" / "t.jpg", LARGE, shade=3)
    train, test = (open_voc(tmp_path, split=split) for split in ("train", "test"))
    assert where(check_dataset([train, test]), "untagged") == []
    report = check_dataset([test])
    assert where(report, "untagged") == ["t"]
    assert report.fails


def test_coco_masks_are_compared_by_size_only(tmp_path: Path) -> None:
    document = coco_document(["cat"], ["a.png", "b.png"], [(0, 0, square(0, 0, 2))], LARGE)
    document["images"][1]["height"] = 99
    write_json(tmp_path / "instances.json", document)
    for shade, name in enumerate(("a", "b")):
        write_image(tmp_path / "images" / f"{name}.png", LARGE, shade=shade)
    report = check_dataset([open_coco(tmp_path, split="train")])
    assert [(p.kind, p.where) for p in report.problems] == [("mask-size", "b")]
    assert report.splits[0].num_masks == 2


def test_progress_counts_every_image_of_all_splits(tmp_path: Path) -> None:
    data = open_all(write_folder(tmp_path, {"a.png": "cat", "b.png": "", "c.png": ""}))
    calls: list[tuple[int, int]] = []
    check_dataset([data, data.keep(["a"])], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_interrupted_check_leaves_no_thread_behind(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    data = open_all(write_folder(tmp_path, {f"{n}.png": "cat" for n in range(40)}))
    with pytest.raises(KeyboardInterrupt) as caught:
        check_dataset([data], progress=interrupt)
    assert caught.traceback  # as in a real interrupt it is still held, and with it the frames of the check
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("weakseg-check")] == []


def test_the_handbook_explains_every_kind_of_problem() -> None:
    """`docs/data.md` lists the kinds; one that is added later must be added there too."""
    root = Path(__file__).parents[2]
    kinds = set()
    for path in [*(root / "src/weakseg/data").glob("*.py"), *(root / "src/weakseg/checks").glob("*.py")]:
        kinds |= set(re.findall(r"""(?:Problem\([^,]+, |_warn\(|notes\[)"([a-z0-9-]+)\"""", path.read_text()))
    handbook = (root / "docs" / "data.md").read_text()
    assert len(kinds) > 30
    assert {kind for kind in kinds if f"`{kind}`" not in handbook} == set()


def test_nothing_to_check_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one split"):
        check_dataset([])
