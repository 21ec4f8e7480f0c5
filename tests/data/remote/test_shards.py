import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.elsewhere import fsspec, make_tar, put
from weakseg.data.base import Dataset
from weakseg.data.folder import open_folder
from weakseg.data.masks import encode_mask
from weakseg.data.remote import shard_tree
from weakseg.data.remote.places import open_place
from weakseg.data.remote.shards import expand_braces
from weakseg.errors import DataError

SHARDS = "memory://bucket/shards"


def picture(shade: int = 90, format: str = "JPEG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((6, 9, 3), shade, np.uint8)).save(content, format)
    return content.getvalue()


def open_shards(root: str, tmp_path: Path, split: str = "all", val_fraction: float = 0.0) -> Dataset:
    place = open_place(root, kept=tmp_path / "run" / "shards.json")
    return open_folder(place.root, split=split, tags=None, val_fraction=val_fraction)


def shown_by(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id: dataset.classes.decode(sample.tags) for sample in dataset}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{2..1}", ["2", "1"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
    ],
)
def test_braces_are_written_out_as_shells_do(pattern: str, expected: list[str]) -> None:
    assert sorted(expand_braces(pattern)) == sorted(expected)


TAGS = {
    "cat.json": b'["cat"]',
    "object.json": b'{"width": 9, "labels": ["cat"]}',
    "word.json": b'{"label": "dog"}',
    "number.json": b'{"cls": 1}',
    "numbers.json": b"[0, 1]",
    "none.json": b"[]",
    "class.cls": b"1\n",
    "name.cls": b"dog",
    "empty.cls": b"",
    "text.txt": b"cat; dog\nfox",
    "width.json": b'{"width": 9}',
    "width.txt": b"fox",
}


def test_tags_are_json_class_numbers_or_words(tmp_path: Path, told: list[str]) -> None:
    members = {f"{name.partition('.')[0]}.jpg": picture() for name in (*TAGS, "untold.x")}
    shards = {"0.tar": make_tar({**members, **TAGS, "._a.jpg": b""}), "classes.txt": b"cat\ndog\nfox\n"}
    found = open_shards(put(shards, SHARDS), tmp_path)
    assert shown_by(found) == {
        "cat": ("cat",),
        "class": ("dog",),
        "empty": (),
        "name": ("dog",),
        "none": (),
        "number": ("dog",),
        "numbers": ("cat", "dog"),
        "object": ("cat",),
        "text": ("cat", "dog", "fox"),
        "width": ("fox",),
        "word": ("dog",),
    }
    assert told == [f"1 of 12 images have no tags: {SHARDS}/0.tar: untold; each needs a .json, .cls or .txt beside it"]
    assert [problem.where for problem in found.problems if problem.kind == "untagged"] == ["untold"]


def test_numbers_without_names_stand_for_themselves(tmp_path: Path) -> None:
    put({"0.tar": make_tar({"a.jpg": picture(), "a.cls": b"7", "b.jpg": picture(), "b.cls": b"11"})}, SHARDS)
    assert shown_by(open_shards(f"{SHARDS}/0.tar", tmp_path)) == {"a": ("7",), "b": ("11",)}


def test_shards_called_train_and_val_are_the_splits(tmp_path: Path) -> None:
    put(
        {"set-train-000.tar": make_tar({"a.jpg": picture(), "a.txt": b"cat", "b.jpg": picture(), "b.txt": b""})}, SHARDS
    )
    put({"val/000.tar": make_tar({"c.jpg": picture(), "c.txt": b"cat"})}, SHARDS)
    assert shown_by(open_shards(SHARDS, tmp_path, "train")) == {"train/a": ("cat",), "train/b": ()}
    assert shown_by(open_shards(SHARDS, tmp_path, "val")) == {"val/c": ("cat",)}


def test_a_png_beside_an_image_is_its_mask(tmp_path: Path) -> None:
    mask = encode_mask(np.ones((6, 9), np.uint8))
    members = {
        **{"a.jpg": picture(), "a.png": mask, "a.txt": b"cat"},
        **{"b.png": picture(60, "PNG"), "b.txt": b"cat"},
        **{"c.png": picture(30, "PNG"), "c.seg.png": mask, "c.txt": b""},
    }
    found = open_shards(put({"0.tar": make_tar(members)}, SHARDS), tmp_path)
    assert [found.has_mask(sample) for sample in found] == [True, False, True]
    assert found.load_image(found.samples[2])[0, 0].tolist() == [30, 30, 30]
    assert all(np.array_equal(found.load_mask(found.samples[at]), np.ones((6, 9))) for at in (0, 2))


def test_an_index_is_made_once_and_serves_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put({f"{at}.tar": make_tar({f"{at}.jpg": picture(at), f"{at}.txt": b"cat"}) for at in range(3)}, SHARDS)
    place = open_place(SHARDS, kept=tmp_path / "none")
    assert place.index is not None
    kept = tmp_path / "shards.json"
    kept.write_bytes(place.index.read_bytes())
    indexed: list[str] = []
    real = shard_tree.index_shard
    monkeypatch.setattr(shard_tree, "index_shard", lambda shard: indexed.append(shard.location) or real(shard))
    open_place(SHARDS, kept=tmp_path / "none")
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "other machine"))
    other = open_place(SHARDS, kept=kept)
    assert indexed == []
    assert sorted(path.name for path in other.root.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "tags.json"]
    put({"1.tar": make_tar({"new.jpg": picture(), "new.txt": b"dog"})}, SHARDS)
    assert sorted(shown_by(open_shards(SHARDS, tmp_path))) == ["0", "2", "new"]
    assert indexed == [f"{SHARDS}/1.tar"], "the one that has changed"


@pytest.mark.parametrize("name", ["", "[a]-0.tar", "*.tar"])
def test_brackets_in_names_are_no_patterns(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "[old] shards"
    folder.mkdir()
    (folder / "[a]-0.tar").write_bytes(make_tar({"a.jpg": picture(), "a.txt": b"cat"}))
    root = folder / name if name != "*.tar" else tmp_path / "?old? shards" / name
    assert shown_by(open_shards(str(root), tmp_path)) == {"a": ("cat",)}


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    return buffer.getvalue()


GOOD = {"a.jpg": picture(), "a.txt": b"cat"}
ENDLESS = make_tar(GOOD).rstrip(b"\0") + bytes(509)
"""Whole members, and then nothing."""


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([make_tar(GOOD)[:700]], r"^shard .*/0.tar is cut off, damaged or no tar file \(unexpected end of data\)"),
        ([ENDLESS], r"^shard .*/0.tar is cut off after \d+ bytes: a tar file ends with zeros"),
        ([b"no tar file at all, but a text of some length" * 20], "^shard .*/0.tar is cut off, damaged or no tar file"),
        ([make_tar({"../a.jpg": b"x"})], r"^shard .*: the member '\.\./a.jpg' leads out of its folder; make"),
        ([make_tar({"/etc/a.jpg": b"x"})], "leads out of its folder|hold no images"),
        ([linked()], "the member 'a.jpg' is no file but a link or a device"),
        ([make_tar([("a.jpg", b"x"), ("a.jpg", b"y")])], "the member 'a.jpg' is there twice; make the shard anew"),
        ([make_tar(GOOD), make_tar(GOOD)], "^shard .*/1.tar: 'a' is in .*/0.tar as well; give each image a key"),
        ([make_tar({**GOOD, "a.webp": b"x"})], "'a' has several images"),
        ([make_tar({"a.txt": b"cat"})], r"^the 1 shards \(.*/0.tar, ...\) hold no images such as key.jpg$"),
        ([make_tar({**GOOD, "a.json": b"{"})], "^shard .*/0.tar: 'a': its .json is no JSON"),
        ([make_tar({**GOOD, "a.json": b'{"tags": [1.5]}'})], "expected a list of names or of class numbers"),
        ([make_tar({**GOOD, "a.json": b'{"tags": {"cat": 1}}'})], "expected a list of names or of class numbers"),
        ([make_tar({**GOOD, "a.txt": b"\xff\xfe\xfa"})], "the tags 'a.txt' are no UTF-8"),
    ],
)
def test_what_is_wrong_with_a_shard_is_said_in_a_line(shards: list[bytes], message: str, tmp_path: Path) -> None:
    put({f"{at}.tar": content for at, content in enumerate(shards)}, SHARDS)
    with pytest.raises(DataError, match=message) as raised:
        open_shards(SHARDS, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_class_number_that_no_list_names_is_an_error(tmp_path: Path) -> None:
    put({"0.tar": make_tar({"a.jpg": picture(), "a.cls": b"2"}), "classes.txt": b"cat\ndog\n"}, SHARDS)
    with pytest.raises(DataError, match=r"'a': the class number 2 is none of 0\.\.1, which classes.txt names"):
        open_shards(SHARDS, tmp_path)


def test_tags_beside_the_shards_take_the_place_of_those_in_them(tmp_path: Path) -> None:
    put({"0.tar": make_tar(GOOD), "tags.csv": b"image,tags\na.jpg,dog\n"}, SHARDS)
    assert shown_by(open_shards(SHARDS, tmp_path)) == {"a": ("dog",)}


def test_a_member_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = open_shards(put({"0.tar": make_tar(GOOD)}, SHARDS), tmp_path)
    asked: list[tuple[int, int]] = []
    memory = type(fsspec.filesystem("memory"))
    real = memory.cat_file

    def read(self: object, path: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        content: bytes = real(self, path, start=start, end=end)
        return content

    monkeypatch.setattr(memory, "cat_file", read)
    assert found.load_image(found.samples[0]).shape == (6, 9, 3)
    assert asked == [(512, 512 + len(GOOD["a.jpg"]))]
    pointer = found.samples[0].image_path.read_text().splitlines()[1]
    assert json.loads(pointer)["name"] == "a.jpg"
