import errno
import json
import math
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from weakseg import files
from weakseg.errors import ArtifactError
from weakseg.files import (
    absolute_path,
    advise_on,
    atomic_open,
    partial_path,
    write_bytes,
    write_json,
    write_text,
)


def test_half_written_files_of_two_machines_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers, processes of the same job often have the same number."""
    names = []
    for host in ("pod-a", "pod-b", "pod-a"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        files._digest_host.cache_clear()
        names.append(partial_path(tmp_path / "x").name)
    files._digest_host.cache_clear()
    assert names[0] == names[2] != names[1]


def test_a_file_appears_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "file.bin"
    with atomic_open(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        (partial,) = path.parent.iterdir()
        assert re.fullmatch(rf"\.file\.bin\.{os.getpid()}-[0-9a-f]{{4}}\.partial", partial.name)
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_only_what_is_durable_waits_for_the_disk_once_it_is_whole(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[int, bool]] = []
    path = tmp_path / "file.bin"
    monkeypatch.setattr("os.fsync", lambda file: waits.append((os.fstat(file).st_size, path.exists())))
    with atomic_open(path, durable=durable) as file:
        file.write(b"four")
    assert waits == ([(4, False)] if durable else [])
    assert path.read_bytes() == b"four"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_halfway() -> None:
        with atomic_open(path) as file:
            file.write(b"new, but")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"longer than the next")
    write_bytes(path, b"next")
    assert path.read_bytes() == b"next"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    path = tmp_path / "taken" / "file.txt"
    with pytest.raises(ArtifactError, match=rf"cannot write {path}: (Not a directory|File exists); "):
        write_text(path, "text")


def test_a_folder_in_the_place_of_a_file_is_named_and_no_partial_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.mkdir()
    with pytest.raises(ArtifactError, match=rf"cannot write {path}: Is a directory; a folder is where the file"):
        write_json(path, {})
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "Füchse – 狐\n")
    assert path.read_bytes() == "Füchse – 狐\n".encode()


def test_json_has_sorted_keys_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"b": [1, None], "a": {"y": 0.1, "x": True}})
    assert path.read_text() == '{\n "a": {\n  "x": true,\n  "y": 0.1\n },\n "b": [\n  1,\n  null\n ]\n}\n'
    assert json.loads(path.read_text()) == {"a": {"x": True, "y": 0.1}, "b": [1, None]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_without_nan_or_infinity(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "file.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_an_absolute_path_takes_the_steps_up_from_the_working_folder_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert str(absolute_path("../../photos")) == f"{tmp_path}/photos"
    assert str(absolute_path("..")) == f"{tmp_path}/a"
    assert str(absolute_path("link/../w.pth")) == f"{here}/link/../w.pth", "link may point anywhere"
    assert str(absolute_path("/a/../b")) == "/a/../b"
    assert str(absolute_path("../" * 50 + "etc")) == "/etc", "the root is its own parent"
    assert absolute_path("~/w.pth") == Path.home() / "w.pth"


@pytest.mark.parametrize("length", [200, 231, 232, 255])
def test_every_name_that_a_file_may_have_can_be_written(length: int, tmp_path: Path) -> None:
    path = tmp_path / ("é" * (length // 2) + "x" * (length % 2))
    write_bytes(path, b"whole")
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "your quota is used up"),
        (errno.ENAMETOOLONG, "choose a shorter place"),
        (errno.EROFS, "mounted for reading only"),
        (errno.EACCES, "change the permissions"),
        (errno.ENOENT, "a link that leads nowhere"),
        (errno.ENOTDIR, "a file is where a folder should be"),
        (errno.EBADMSG, "choose another place"),
    ],
)
def test_the_advice_fits_the_error(number: int, advice: str) -> None:
    text = advise_on(OSError(number, os.strerror(number)))
    assert text.startswith(f"{os.strerror(number)}; ")
    assert advice in text
    assert ("make room" in text) == (number in (errno.ENOSPC, errno.EDQUOT)), "room helps against nothing else"
    assert advise_on(OSError("broken")) == "broken; choose another place"


def test_a_name_too_long_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"File name too long; .*choose a shorter place"):
        write_text(tmp_path / ("x" * 256), "text")


def test_text_with_bytes_that_are_no_text_is_written_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "names.txt", "caf\udce9\n")
    assert (tmp_path / "names.txt").read_bytes() == b"caf\\udce9\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_a_pipe_or_device_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text(tmp_path / "pipe", "a line\n")
    reader.join(10)
    assert read == ["a line\n"]
    (tmp_path / "nowhere").symlink_to(os.devnull)
    write_text(tmp_path / "nowhere", "a line\n")
    assert (tmp_path / "nowhere").is_symlink()
    assert Path(os.devnull).is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nowhere", "pipe"]


def test_a_home_folder_that_nobody_has_is_a_name_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_path("~no-such-user/photos") == tmp_path / "~no-such-user" / "photos"
