"""Data sets that lie elsewhere are read like those that lie here, and what changes there is noticed."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_voc
from tests.data.remote.made_places import in_memory, open_at, open_whole
from tests.elsewhere import fsspec, make_tar, put, read_below
from weakseg.data.coco import open_coco
from weakseg.data.image_facts import inspect_image
from weakseg.data.remote.kept import kept_or, set_max_mb
from weakseg.data.remote.places import lies_elsewhere
from weakseg.data.remote.pointers import read_content
from weakseg.data.voc import open_voc


def zipped(photos: Path) -> str:
    archive = photos.with_name("photos.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in read_below(photos).items():
            file.writestr(f"inner/{name}", content)
    return f"zip://inner::{archive}"


def in_shards(photos: Path) -> dict[str, bytes]:
    """Pack the photographs as two shards, whose keys are their paths."""
    members: dict[str, bytes] = {}
    for row in (photos / "tags.csv").read_text().splitlines()[1:]:
        name, _, tags = row.partition(",")
        members[name] = (photos / name).read_bytes()
        members[f"{os.path.splitext(name)[0]}.cls"] = tags.replace(";", "\n").encode()
        mask = photos / "masks" / f"{os.path.splitext(name)[0]}.png"
        if mask.is_file():
            members[f"{os.path.splitext(name)[0]}.mask.png"] = mask.read_bytes()
    half = len(members) // 2 - 1
    parts = (list(members.items())[:half], list(members.items())[half:])
    return {f"00{at}.tar": make_tar(part) for at, part in enumerate(parts)}


def at_file_url(photos: Path) -> str:
    return f"file://{photos}"


def shards_in_memory(photos: Path) -> str:
    return put(in_shards(photos), "memory://bucket/shards") + "/{000..001}.tar"


def folder_of_shards(photos: Path) -> str:
    return put(in_shards(photos), "memory://bucket/shards")


def shards_here(photos: Path) -> str:
    root = photos.with_name("shards")
    root.mkdir()
    for name, content in in_shards(photos).items():
        (root / name).write_bytes(content)
    return str(root)


@pytest.mark.parametrize("place", [in_memory, at_file_url, zipped, shards_in_memory, folder_of_shards, shards_here])
def test_what_lies_elsewhere_is_read_as_what_lies_here(
    place: Callable[[Path], str], photos: Path, tmp_path: Path, cache: Path
) -> None:
    here, url = open_whole(photos), place(photos)
    assert lies_elsewhere(url)
    there = open_whole(open_at(url, tmp_path))
    assert [sample.id for sample in there] == [sample.id for sample in here]
    assert there.classes == here.classes
    for own, other in zip(here, there, strict=True):
        assert own.tags.tolist() == other.tags.tolist()
        assert inspect_image(own.image_path) == inspect_image(other.image_path)
        assert read_content(other.image_path) == own.image_path.read_bytes()
        assert here.has_mask(own) == there.has_mask(other)
        if here.has_mask(own):
            assert np.array_equal(here.load_mask(own), there.load_mask(other))
    good = [sample for sample in there if inspect_image(sample.image_path).problem is None]
    assert len(good) == 5, "one of them is cut off, wherever it lies"
    assert all(there.load_shrunk(s, 50).pixels.shape[2] == 3 for s in good)
    kept = sum(1 for path in (cache / "contents").rglob("*") if path.is_file())
    assert kept == (0 if place is shards_here else 7), "of a shard on this disk nothing is copied"


def test_voc_and_coco_lie_elsewhere_as_well(tmp_path: Path, cache: Path) -> None:
    voc = write_voc(tmp_path / "voc", {"1": ["cat"], "2": []}, train=["1", "2"])
    write_mask(voc / "SegmentationClass" / "1.png", np.full((6, 9), 8))
    flat = tmp_path / "flat"
    write_image(flat / "images" / "a.jpg", (6, 9))
    write_json(flat / "instances.json", coco_document(["cat"], ["a.jpg"], [(0, 0, square(1, 1, 3))], (6, 9)))
    for name, root in (("voc", voc), ("flat", flat)):
        put(read_below(root), f"memory://bucket/{name}")
        there = open_at(f"memory://bucket/{name}", tmp_path)
        found = open_voc(there, split="train") if name == "voc" else open_coco(there, split="train")
        here = open_voc(root, split="train") if name == "voc" else open_coco(root, split="train")
        assert [(s.id, s.tags.tolist()) for s in found] == [(s.id, s.tags.tolist()) for s in here]
        assert np.array_equal(found.load_mask(found.samples[0]), here.load_mask(here.samples[0]))
        assert np.array_equal(found.load_image(found.samples[0]), here.load_image(here.samples[0]))


def test_what_changes_elsewhere_is_noticed_the_next_time(photos: Path, tmp_path: Path, cache: Path) -> None:
    url = in_memory(photos)
    root = open_at(url, tmp_path)
    states = {path: path.stat().st_mtime_ns for path in root.rglob("photo*")}
    assert open_at(url, tmp_path) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("photo*")} == states, "nothing is written twice"
    changed, gone = "home/garden/photo 02.jpg", "holiday/photo 03.png"
    put({changed: (photos / "holiday/photo 05.jpg").read_bytes()})
    fsspec.filesystem("memory").rm(f"/bucket/photos/{gone}")
    open_at(url, tmp_path)
    assert not (root / gone).exists()
    assert (root / changed).stat().st_mtime_ns != states[root / changed]
    assert read_content(root / changed) == (photos / "holiday/photo 05.jpg").read_bytes()
    assert sum(path.stat().st_mtime_ns != states[path] for path in root.rglob("photo*.*") if path in states) == 1


def test_an_interrupted_tree_is_gone_through_again(photos: Path, tmp_path: Path, cache: Path) -> None:
    url = in_memory(photos)
    root = open_at(url, tmp_path)
    (root.parent / "listing.json").unlink()  # written last
    (root / "stray.jpg").write_bytes(b"left by nobody")
    assert open_at(url, tmp_path) == root
    assert not (root / "stray.jpg").exists()
    assert (root / "tags.csv").read_bytes() == (photos / "tags.csv").read_bytes()


def test_what_is_kept_stays_within_its_bound(cache: Path) -> None:
    set_max_mb(1)
    for number in range(40):
        key = f"{number * 997:08x}{number:016x}"  # small digests look through the folder each time
        assert kept_or(key, lambda: b"x" * 100_000) == b"x" * 100_000
    files = [path for path in (cache / "contents").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 1_000_000
    assert any(path.name == key for path in files), "what was used last stays"
    assert kept_or(key, lambda: pytest.fail("it is kept")) == b"x" * 100_000
    assert kept_or(key, lambda: b"whole", size_bytes=5) == b"whole", "what is kept was cut off"
    assert kept_or(key, lambda: pytest.fail("it is kept"), size_bytes=5) == b"whole"
    set_max_mb(0)
    assert kept_or("ff" * 12, lambda: b"abc") == b"abc"
    assert not (cache / "contents" / "ff").exists()
