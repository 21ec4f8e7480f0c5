import builtins
import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_voc
from tests.elsewhere import fsspec, make_tar, put, read_below
from tests.photos import make_photos
from weakseg.data.base import Dataset
from weakseg.data.coco import open_coco
from weakseg.data.folder import open_folder
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import open_picture, read_shrunk
from weakseg.data.mask_colours import find_palette_fault
from weakseg.data.masks import encode_mask
from weakseg.data.regular_files import read_regular
from weakseg.data.remote.kept import kept_or, set_max_mb
from weakseg.data.remote.places import lies_elsewhere, open_place
from weakseg.data.remote.pointers import read_content
from weakseg.data.voc import open_voc
from weakseg.errors import ConfigError, DataError, MissingExtra

BUCKET = "memory://bucket/photos"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    make_photos(root, count=6)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:30, 5:70] = 2
    (root / "masks" / "home" / "garden").mkdir(parents=True)
    (root / "masks" / "home" / "garden" / "photo 00.png").write_bytes(encode_mask(mask))
    return root


def open_at(root: str, tmp_path: Path) -> Path:
    return open_place(root, kept=tmp_path / "run" / "shards.json").root


def open_whole(root: Path) -> Dataset:
    return open_folder(root, split="all", tags=None, val_fraction=0.0)


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


def in_memory(photos: Path) -> str:
    return put(read_below(photos))


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


def test_a_folder_of_photographs_on_this_machine_stays_one(photos: Path) -> None:
    assert not lies_elsewhere(str(photos))
    (photos / "backup.tar").write_bytes(b"")
    assert not lies_elsewhere(str(photos))
    assert not lies_elsewhere(str(photos / "missing"))
    assert not lies_elsewhere(str(photos.rename(photos.with_name("photos.tar"))))


def test_a_folder_that_cannot_be_listed_is_left_to_its_reader(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", refuse)
    assert not lies_elsewhere(str(photos))


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


def test_an_image_that_changed_since_the_listing_is_an_error_and_not_a_damaged_image(
    photos: Path, tmp_path: Path
) -> None:
    root = open_at(in_memory(photos), tmp_path)
    name = "home/garden/photo 02.jpg"
    put({name: b"longer or shorter"})
    expected = (
        f"{BUCKET}/{name}: expected .* bytes, as when the data set was opened, got 17; run the same command again"
    )
    with pytest.raises(DataError, match=expected):
        inspect_image(root / name)
    fsspec.filesystem("memory").rm(f"/bucket/photos/{name}")
    with pytest.raises(DataError, match=f"there is no {BUCKET}/{name}"):
        inspect_image(root / name)
    with pytest.raises(DataError, match=f"cannot read image .*: there is no {BUCKET}/{name}"):
        read_shrunk(root / name, 50)


@pytest.mark.parametrize(
    ("root", "error", "message"),
    [
        ("memory://bucket/nothing", DataError, "^data.root: memory://bucket/nothing holds no files; look after"),
        ("nosuch://bucket/a", ConfigError, "^nosuch://bucket/a: fsspec knows no 'nosuch://'"),
        (
            "smb://host/a",
            MissingExtra,
            "^smb://host/a needs a package that is not installed here .*: pip install smbprotocol$",
        ),
        ("memory://bucket/{000..002}.tar", DataError, "^data.root: there is no shard memory://bucket/000.tar$"),
        ("memory://b/*/{0..1}.tar", DataError, "expected asterisks in the names of shards alone"),
        ("memory://bucket/a.tar.gz", DataError, "a.tar.gz is compressed, so that no single image can be read"),
        ("memory://bucket/{0..9999999}.tar", DataError, "expected at most 1000000 shards"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(root: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message) as raised:
        open_place(root, kept=tmp_path / "shards.json")
    assert "\n" not in str(raised.value)


def refuse(*_: Any, **__: Any) -> Any:
    raise PermissionError("Forbidden")


class NoCredentialsError(Exception):
    """As botocore calls it."""


def lack_credentials(*_: Any, **__: Any) -> Any:
    raise NoCredentialsError("Unable to locate credentials")


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        (refuse, r"^memory://bucket/photos: access is denied \(Forbidden\); look after the credentials"),
        (lack_credentials, "^memory://bucket/photos: there are no credentials; set AWS_ACCESS_KEY_ID or AWS_PROFILE"),
    ],
)
def test_denied_access_is_said_in_a_line(
    failing: Callable[..., Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", failing)
    with pytest.raises(DataError, match=message):
        open_place(BUCKET, kept=tmp_path / "shards.json")


def test_names_that_no_disk_can_hold_are_left_out(photos: Path, tmp_path: Path, told: list[str]) -> None:
    put({**read_below(photos), "a/../b.jpg": b"x", "empty/": b"", "holiday": b"a file called like a folder"})
    root = open_at(BUCKET, tmp_path)
    assert len(open_whole(root)) == 6
    assert not (root / "b.jpg").exists()
    assert told[0].startswith(f"{BUCKET}: 2 names cannot be those of files: ")


def test_files_of_this_machine_are_read_by_as_many_calls_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at its state and one opening; what lies elsewhere is found out by files that are no pictures alone."""
    image = write_image(tmp_path / "a.png")
    mask = tmp_path / "mask.png"
    mask.write_bytes(encode_mask(np.zeros((5, 7), np.uint8)))
    calls: Counter[str] = Counter()
    Image.init()

    def count(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls[name] += str(tmp_path) in str(arguments[0])
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    for module, name in ((os, "stat"), (builtins, "open"), (io, "open")):
        count(module, name)
    for read, path, expected in (
        (lambda path: read_shrunk(path, 3), image, {"stat": 1, "open": 1}),
        (inspect_image, image, {"stat": 1, "open": 1}),
        (read_regular, mask, {"stat": 1, "open": 1}),
        (find_palette_fault, mask, {"stat": 0, "open": 1}),
        (lambda path: open_picture(path).close(), image, {"stat": 0, "open": 1}),
    ):
        calls.clear()
        read(path)
        assert {name: calls[name] for name in expected} == expected


def test_a_file_among_photographs_that_looks_like_a_pointer_is_none(photos: Path, tmp_path: Path, cache: Path) -> None:
    root = open_at(in_memory(photos), tmp_path)
    pointer = next(path for path in root.rglob("photo*.jpg"))
    forged = photos / "forged.jpg"
    forged.write_bytes(pointer.read_bytes())
    assert read_content(pointer) != forged.read_bytes()
    assert read_content(forged) == forged.read_bytes()
    assert inspect_image(forged).problem is not None
