"""The digests of a run's splits: they change with tags, order, content and classes, and with nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_text, write_xml
from tests.pipeline.made_voc import CPU, TAGS, prepare_voc, root
from tests.tiny import with_settings
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import prepare

assert root, "a fixture"


def test_digests_do_not_depend_on_where_the_images_lie(root: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "photos")
    assert prepare_voc(moved).digests == prepare_voc(root).digests


def change_tag(root: Path) -> None:
    write_xml(root, "a", ["dog"])


def forget_tags(root: Path) -> None:
    (root / "Annotations" / "d.xml").unlink()
    write_xml(root, "d", ["cat"])


def leave_out(root: Path) -> None:
    write_text(root / "ImageSets" / "Segmentation" / "train.txt", "a\nb\nc\n")


def reorder(root: Path) -> None:
    write_text(root / "ImageSets" / "Segmentation" / "train.txt", "b\na\nc\nd\n")


def swap_content(root: Path) -> None:
    images = root / "JPEGImages"
    content = (images / "a.jpg").read_bytes(), (images / "b.jpg").read_bytes()
    (images / "b.jpg").write_bytes(content[0])
    (images / "a.jpg").write_bytes(content[1])


def rename_class(root: Path) -> None:
    write_text(root / "classes.txt", "cat\nhound\n")
    for name, tags in TAGS.items():
        write_xml(root, name, [tag.replace("dog", "hound") for tag in tags])


@pytest.mark.parametrize("change", [change_tag, forget_tags, leave_out, reorder, swap_content, rename_class])
def test_digests_depend_on_tags_order_content_and_classes(change: Callable[[Path], None], root: Path) -> None:
    before = prepare_voc(root).digests["train"]
    change(root)
    assert prepare_voc(root).digests["train"] != before


def test_digests_tell_absent_tags_from_unknown_ones(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    digests = []
    for tags in ("cat", "cat;?dog"):
        for shade, name in enumerate(("a.png", "b.png")):
            write_image(root / name, shade=shade)
        write_text(root / "tags.csv", f"image,tags\na.png,{tags}\nb.png,dog\n")
        config = with_settings(
            CPU, ("data.name", "folder"), ("data.root", str(root)), ("data.train", "all"), ("data.val", None)
        )
        context = prepare(config, RunFolder(tmp_path / "run"))
        assert [sample.tags.tolist() for sample in context.train] == [[1, 0], [0, 1]]
        digests.append(context.digests["train"])
    assert digests[0] != digests[1]
