import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from weakseg.pipeline import telling
from weakseg.pipeline.telling import format_duration, plain_ticker, show_progress, start_logging


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give logging and the launcher's variables back as they were."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("weakseg")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_as_people_say_them(time_s: float, text: str) -> None:
    assert format_duration(time_s) == text


def test_messages_are_plain_lines_on_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging()
    start_logging()
    logging.getLogger("weakseg").info("done in %s", "3 s")
    logging.getLogger("weakseg").debug("not shown")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "done in 3 s\n")


def test_other_loggers_of_the_process_do_not_repeat_a_message() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    start_logging()
    logging.getLogger("weakseg").warning("once")
    logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == ""


def test_debug_messages_are_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(verbose=True)
    logging.getLogger("weakseg").debug("shown")
    assert capsys.readouterr().err == "shown\n"


def test_other_ranks_only_tell_errors(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    start_logging()
    logging.getLogger("weakseg").warning("told by rank 0")
    logging.getLogger("weakseg").error("told by all")
    assert capsys.readouterr().err == "told by all\n"


def make_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(telling.time, "monotonic", lambda: clock[0])
    return clock


def test_plain_progress_tells_the_remaining_time_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = make_clock(monkeypatch), []
    tick = plain_ticker("refining", write=lines.append, interval_s=10)
    for done in range(1, 31):
        clock[0] += 1
        tick(done, 30)
    assert lines == ["  refining: 10/30, about 20 s left", "  refining: 20/30, about 10 s left"]


def test_plain_progress_says_what_else_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines, counts = make_clock(monkeypatch), [], []
    tick = plain_ticker("adapting", write=lines.append, interval_s=10, note=lambda: f" ({len(counts)} stopped)")
    for done in range(1, 11):
        counts.append(done)
        clock[0] += 1
        tick(done, 30)
    assert lines == ["  adapting (10 stopped): 10/30, about 20 s left"]


def test_plain_progress_of_a_resumed_loop_does_not_count_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = make_clock(monkeypatch), []
    tick = plain_ticker("training", write=lines.append, interval_s=10)
    for done in (91, 92):
        clock[0] += 5
        tick(done, 100)
    assert lines == ["  training: 92/100, about 40 s left"]


def test_plain_progress_does_not_take_the_preparation_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = make_clock(monkeypatch), []
    tick = plain_ticker("localizing", write=lines.append, interval_s=10)
    for done, lasts_s in ((1, 33), (2, 4), (4, 8)):
        clock[0] += lasts_s
        tick(done, 437)
    assert lines == ["  localizing: 1/437", "  localizing: 4/437, about 28 min 52 s left"]


def test_a_short_loop_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "console", Console(file=io.StringIO(), force_terminal=False))
    start_logging()
    with show_progress("quick") as tick:
        tick(1, 2)
        tick(2, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(telling, "console", Console(file=terminal, force_terminal=True, width=100))
    with show_progress("localizing") as tick:
        tick(3, 8)
    assert "localizing" in terminal.getvalue()
    assert "3/8" in terminal.getvalue()


def test_only_rank_0_shows_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(telling, "console", Console(file=terminal, force_terminal=True))
    monkeypatch.setattr(telling, "rank", lambda: 1)
    with show_progress("localizing") as tick:
        tick(3, 8)
    assert terminal.getvalue() == ""


def test_logging_writes_where_stderr_points_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(telling, "console", Console(file=io.StringIO(), force_terminal=False))
    monkeypatch.setattr(sys, "stderr", stream)
    start_logging()
    logging.getLogger("weakseg").info("here")
    assert stream.getvalue() == "here\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("new\nline.jpg", "new\\nline.jpg"), (Path("a\x1b[2J.jpg"), "a\\x1b[2J.jpg"), ("a\u202e", "a\\u202e")],
)
def test_a_name_breaks_no_line_and_gives_the_terminal_no_command(
    name: str | Path, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging()
    logging.getLogger("weakseg").warning("%s: damaged, %d of %s\n  second line", name, 1, [2])
    assert capsys.readouterr().err == f"{shown}: damaged, 1 of [2]\n  second line\n"
