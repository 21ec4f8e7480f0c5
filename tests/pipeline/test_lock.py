import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from weakseg.errors import ArtifactError
from weakseg.pipeline import lock
from weakseg.pipeline.lock import LOCK_NAME, hold_folder, release_folder, take_folder

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+b")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(sys.argv[2].encode())
file.flush()
print("held", flush=True)
time.sleep(600)
"""

OWNER = '{"user": "ana", "process": 77, "host": "box", "since": "2026-05-01 10:00:00 +0000"}'


@contextmanager
def held_by_another(folder: Path, content: str = OWNER) -> Iterator[None]:
    """Hold a folder's lock in a process that starts without the package, which takes seconds."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", HOLD, str(folder / LOCK_NAME), content]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_the_lock_holds_its_owners_name_and_goes_with_it(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "run"):
        owner = json.loads((tmp_path / "run" / LOCK_NAME).read_text())
        (tmp_path / "run" / "made").touch()
    assert (owner["process"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert owner["user"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", owner["since"])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["made"]


@pytest.mark.parametrize(
    ("content", "who"),
    [
        (OWNER, "process 77 of ana on box since 2026-05-01 10:00:00 +0000"),
        ("", "another process"),  # it has not written its name yet
        ("[1]", "another process"),
    ],
)
def test_a_second_process_is_refused_by_the_name_of_the_first(content: str, who: str, tmp_path: Path) -> None:
    with held_by_another(tmp_path, content):
        with pytest.raises(ArtifactError) as raised, hold_folder(tmp_path):
            pytest.fail("two at once")
        expected = f"{tmp_path} is in use by {who}; wait until it has ended, stop it, or choose another folder"
        assert str(raised.value) == expected
    with hold_folder(tmp_path):
        pass  # the kernel has given up the lock of the process that was killed


def test_a_process_may_hold_a_folder_several_times_over(tmp_path: Path) -> None:
    with hold_folder(tmp_path):
        with hold_folder(tmp_path):
            pass
        assert (tmp_path / LOCK_NAME).exists(), "the outer block goes on"
        assert not take_folder(tmp_path)
    assert not list(tmp_path.iterdir())
    release_folder(tmp_path)  # nothing is held, nothing happens


def test_folders_made_for_a_lock_alone_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_folder(tmp_path / "runs" / "new"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_file_removed_by_its_owner_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner ends between our opening the file and locking it."""
    plain, calls = lock._lock, []

    def remove_first(file: object) -> None:
        calls.append(file)
        if len(calls) == 1:
            (tmp_path / LOCK_NAME).unlink()
        plain(file)  # type: ignore[arg-type]

    monkeypatch.setattr(lock, "_lock", remove_first)
    with hold_folder(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
    assert len(calls) == 2


def test_a_file_system_without_locks_keeps_nobody_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    def refuse(file: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock, "_lock", refuse)
    with hold_folder(tmp_path):
        pass
    assert told == [f"{tmp_path}: this file system has no locks; start no second process there"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"cannot write .*file.*weakseg\.lock: .*file is where a folder should be"):
        take_folder(tmp_path / "file" / "run")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_worker_does_not_hold_the_lock_of_a_parent_that_has_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with hold_folder(tmp_path):
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            os._exit(0)
    again = take_folder(tmp_path)
    os.write(writing, b"x")
    os.waitpid(child, 0)
    release_folder(tmp_path)
    assert again
