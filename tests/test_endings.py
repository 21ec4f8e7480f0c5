import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weakseg import endings
from weakseg.endings import allow_grace, end_well, explain_unforeseen
from weakseg.errors import DataError, PeerFailed, UsageError

OUT_OF_MEMORY = type("OutOfMemoryError", (RuntimeError,), {})
"""Stands for torch's, of which the command line knows only the name."""


def end_by(error: BaseException) -> int:
    def work() -> int:
        raise error

    return end_well(work, debug=False)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("unknown verb 'x'"), 2, "weakseg: unknown verb 'x'\n"),
        (DataError("two\nlines"), 1, "weakseg: two lines\n"),
        (PeerFailed("another says why"), 1, ""),
        (KeyboardInterrupt(), 130, "weakseg: interrupted; start the same command again to go on\n"),
    ],
)
def test_what_is_foreseen_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_by(error) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ZeroDivisionError("by zero"), 3, "an error that nobody foresaw, ZeroDivisionError: by zero; "),
        (RecursionError("maximum depth"), 3, "something is nested too deeply; "),
        (OUT_OF_MEMORY("CUDA out of memory"), 1, "the memory does not suffice (CUDA out of memory): lower batch sizes"),
        (MemoryError(), 1, "the memory does not suffice (MemoryError): lower batch sizes"),
        (PermissionError(errno.EACCES, "Not allowed", "a.jpg"), 1, "the system refuses a.jpg: Not allowed; "),
        (OSError(errno.EIO, "Input/output error"), 1, "the system refuses: Input/output error; "),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_anything_else_is_one_line_and_a_file_for_the_traceback(
    error: Exception, code: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert end_by(error) == code
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"weakseg: {line}")
    (kept,) = tmp_path.iterdir()
    assert f"{kept} tells where" in told
    assert "Traceback (most recent call last)" in kept.read_text()
    assert "in work" in kept.read_text()


def test_a_number_too_long_to_be_printed_still_ends_in_one_line() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            return str(10**5000)

    assert explain_unforeseen(Unprintable()) == ("an error that nobody foresaw, Unprintable: ", 3)
    assert len(explain_unforeseen(ValueError("x" * 10**6))[0]) < 1000
    assert explain_unforeseen(ValueError("Exceeds the limit (4300 digits) for integer string conversion"))[1] == 1


def test_the_middle_of_a_very_long_line_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    end_by(DataError(f"expected a number, got {'9' * 10**5}; choose another"))
    line = capsys.readouterr().err
    assert line.startswith("weakseg: expected a number, got 9999")
    assert line.endswith("9999; choose another\n")
    assert len(line) < 1300


def test_without_a_place_for_the_traceback_the_line_says_how_to_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert end_by(ZeroDivisionError("x")) == 3
    assert capsys.readouterr().err.endswith("ZeroDivisionError: x; add --debug to see where\n")


def test_the_launcher_gets_the_line_of_the_process_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`torchrun` prints `py_callstack` at the end of its summary, and calls the earliest `timestamp` the root cause."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    end_by(PeerFailed("silent"))
    assert not (tmp_path / "error.json").exists()
    end_by(DataError("image 'x' is damaged"))
    told = json.loads((tmp_path / "error.json").read_text())["message"]
    assert told["extraInfo"]["py_callstack"] == "weakseg: image 'x' is damaged"
    assert re.fullmatch(r"\d+", told["extraInfo"]["timestamp"])
    assert capsys.readouterr().err == "weakseg: image 'x' is damaged\n"


def test_handlers_of_signals_are_those_from_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert end_well(lambda: 5, debug=False) == 5
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows sends none")
def test_a_closed_terminal_ends_a_command_unless_nohup_has_asked_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def hang_up() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 0

    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert end_well(hang_up, debug=False) == 0
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert end_well(hang_up, debug=False) == 129
    finally:
        signal.signal(signal.SIGHUP, before)
    assert capsys.readouterr().err.startswith("weakseg: ended as its terminal has gone; ")


def test_control_characters_of_a_name_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert end_by(DataError("a\x1b[2J\u202e.jpg is damaged")) == 1
    assert capsys.readouterr().err == "weakseg: a\\x1b[2J\\u202e.jpg is damaged\n"


SCRIPT = """
import multiprocessing, os, signal, sys, time
from weakseg.endings import end_well

if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup

def wait():
    print("ready", os.getpid(), flush=True)
    time.sleep(600)

def swallow():
    print("ready", os.getpid(), flush=True)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def misread():
    print("ready", os.getpid(), flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        raise RecursionError("from an import")

def parent():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    print("ready", child.pid, flush=True)  # only now is it known as a child
    child.join()

def importing():
    folder = sys.argv[2]
    open(folder + "/slow.py", "w").write(
        "import os, time\\nprint('ready', os.getpid(), flush=True)\\n"
        "try: time.sleep(600)\\nexcept: pass\\ntime.sleep(600)"
    )
    sys.path.insert(0, folder)
    import slow

sys.exit(end_well(lambda: globals()[sys.argv[1]](), debug=False))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here, nor SIGTERM to heed")
@pytest.mark.parametrize("deed", ["wait", "swallow", "misread", "parent", "importing"])
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "interrupted; start the same command again to go on"),
        (signal.SIGTERM, 143, "ended by SIGTERM; what is finished is kept, start the same command again to go on"),
        (1, 129, "ended as its terminal has gone; what is finished is kept, start the same command again"),
    ],
)
def test_a_signal_ends_whatever_goes_on_with_one_line_and_all_children(
    number: int, code: int, line: str, deed: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SCRIPT, deed, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready, sleeper = process.stdout.readline().split()
    assert ready == "ready"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, f"weakseg: {line}\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(sleeper), 0)


def test_a_command_that_ends_just_as_its_grace_does_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("weakseg.endings._end_at_once", ended.append)
    for is_told in (False, True):
        watch = endings._Watch(os.getpid(), grace_s=0)
        assert not is_told or watch.teller.acquire(blocking=False)
        reading, writing = os.pipe()
        os.write(writing, bytes([signal.SIGINT]))
        os.close(writing)
        endings._end_after_grace(reading, watch)
    assert ended == [signal.SIGINT]


@pytest.mark.parametrize(
    ("environment", "number", "told"),
    [
        ({}, signal.SIGTERM, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, signal.SIGINT, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, signal.SIGINT, False),
        ({"WORLD_SIZE": "2", "RANK": "0"}, signal.SIGTERM, False),  # the launcher, since another rank has failed
    ],
)
def test_of_several_ranks_one_speaks(
    environment: dict[str, str], number: int, told: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert end_well(lambda: os.kill(os.getpid(), number) or 0, debug=False) == 128 + number
    assert bool(capsys.readouterr().err) == told


def test_a_command_may_be_given_more_time_to_end() -> None:
    def work() -> int:
        allow_grace(9.5)
        assert endings._watch is not None
        return 0 if endings._watch.grace_s == 9.5 else 3

    assert end_well(work, debug=False) == 0
    allow_grace(1.0)  # no command runs
