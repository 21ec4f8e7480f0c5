import os
from pathlib import Path

import pytest

from weakseg.data.grey import read_grey
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.data.regular_files import is_regular, read_regular
from weakseg.errors import DataError


def make_trap(path: Path, kind: str) -> Path:
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_would_be_read_for_ever_is_named_by_every_reader(kind: str, tmp_path: Path) -> None:
    trap = make_trap(tmp_path / "a.png", kind)
    assert not is_regular(trap)
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(trap)
    for read in (read_image, read_mask, read_grey):
        with pytest.raises(DataError, match=r"a\.png: not a regular file"):
            read(trap)
    assert "not a regular file" in (inspect_image(trap).problem or "")


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "gone")
    assert is_regular(tmp_path / "b")
    assert read_regular(tmp_path / "b") == b"abc"
    assert not is_regular(tmp_path / "c")
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "c")
