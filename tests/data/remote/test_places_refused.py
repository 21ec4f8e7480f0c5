"""What cannot be read elsewhere, or has changed since it was listed: each is said in a line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.remote.made_places import BUCKET, in_memory, open_at, open_whole
from tests.elsewhere import fsspec, put, read_below
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import read_shrunk
from weakseg.data.remote.places import lies_elsewhere, open_place
from weakseg.errors import ConfigError, DataError, MissingExtra


def test_a_folder_that_cannot_be_listed_is_left_to_its_reader(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", refuse)
    assert not lies_elsewhere(str(photos))


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
