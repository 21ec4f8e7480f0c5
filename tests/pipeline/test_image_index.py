"""The index of images in a run's folder: each is looked at once, and again when its file has changed."""

import json
import os
from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_text
from tests.pipeline.made_voc import ids, inspected, prepare_voc, root, truncate
from tests.tiny import make_dataset
from weakseg.pipeline.file_index import find_changed
from weakseg.pipeline.inputs import index_images

assert all((inspected, root)), "fixtures"


def test_images_are_looked_at_once(root: Path, inspected: list[str]) -> None:
    first = prepare_voc(root)
    assert sorted(inspected) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "v.jpg", "w.jpg"]
    inspected.clear()
    cache = root.parent / "run" / "images.json"
    before = cache.stat().st_mtime_ns
    assert prepare_voc(root).digests == first.digests
    assert inspected == []
    assert cache.stat().st_mtime_ns == before


def test_bad_images_are_remembered_too(root: Path, inspected: list[str]) -> None:
    truncate(root / "JPEGImages" / "b.jpg")
    first = prepare_voc(root)
    inspected.clear()
    again = prepare_voc(root)
    assert inspected == []
    assert again.train.problems == first.train.problems


def test_a_changed_file_is_looked_at_again(root: Path, inspected: list[str]) -> None:
    first = prepare_voc(root)
    inspected.clear()
    write_image(root / "JPEGImages" / "b.jpg", (7, 8), shade=99)
    again = prepare_voc(root)
    assert inspected == ["b.jpg"]
    assert again.digests["train"] != first.digests["train"]
    assert again.digests["val"] == first.digests["val"]


def test_a_file_of_the_same_size_and_another_time_is_looked_at_again(root: Path, inspected: list[str]) -> None:
    first = prepare_voc(root)
    inspected.clear()
    path = root / "JPEGImages" / "b.jpg"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert prepare_voc(root).digests == first.digests
    assert inspected == ["b.jpg"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}', '{"a": {"size": 3}}', "null"])
def test_a_damaged_index_is_made_anew(content: str, root: Path, inspected: list[str]) -> None:
    first = prepare_voc(root)
    inspected.clear()
    write_text(root.parent / "run" / "images.json", content)
    assert prepare_voc(root).digests == first.digests
    assert len(inspected) == 6
    assert len(json.loads((root.parent / "run" / "images.json").read_text())) == 6


def test_an_image_in_both_splits_is_looked_at_once(root: Path, inspected: list[str]) -> None:
    write_text(root / "ImageSets" / "Segmentation" / "val.txt", "a\nv\n")
    assert ids(prepare_voc(root)) == ("abcd", "av")
    assert sorted(inspected) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "v.jpg"]


def test_other_ranks_take_over_what_rank_0_found(
    root: Path, inspected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    truncate(root / "JPEGImages" / "b.jpg")
    first = prepare_voc(root)
    inspected.clear()
    (root / "JPEGImages" / "b.jpg").write_bytes((root / "JPEGImages" / "a.jpg").read_bytes())
    monkeypatch.setattr("weakseg.pipeline.file_index.rank", lambda: 1)
    again = prepare_voc(root)
    assert inspected == []
    assert ids(again) == ids(first) == ("acd", "vw")
    assert again.digests == first.digests


def test_a_file_that_vanishes_is_a_problem_and_no_crash(root: Path, tmp_path: Path) -> None:
    context = prepare_voc(root)
    sample = context.train.samples[0]
    sample.image_path.unlink()
    facts = index_images([sample], tmp_path / "cache.json")
    assert facts[sample.image_path].problem == "No such file or directory"


def test_an_image_that_was_only_touched_has_not_changed(tmp_path: Path) -> None:
    """The digests of images are longer than those of other files."""
    dataset = make_dataset(tmp_path / "images", ((0,),))
    facts = index_images(dataset.samples, tmp_path / "images.json")
    path = dataset.samples[0].image_path
    os.utime(path, ns=(1, 1))
    assert find_changed(facts) == []
    path.write_bytes(path.read_bytes() + b" ")
    assert find_changed(facts) == [path]
