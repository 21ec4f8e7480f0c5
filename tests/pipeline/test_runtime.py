import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from weakseg.errors import ConfigError
from weakseg.pipeline import runtime
from weakseg.pipeline.runtime import (
    choose_device,
    format_duration,
    joined_processes,
    launched_rank,
    make_deterministic,
    make_generator,
    plain_ticker,
    show_progress,
    start_logging,
)


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give logging, torch's settings and the launcher's variables back as they were."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("weakseg")
    before = logger.handlers[:], logger.propagate, logger.level
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> list[torch.device]:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_auto_takes_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")
    chosen = pretend_gpus(monkeypatch, 1)
    assert choose_device("auto") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")
    assert chosen == [torch.device("cuda:0")]


def test_every_process_takes_the_gpu_of_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("cuda") == torch.device("cuda:3")
    assert choose_device("auto") == torch.device("cuda:3")
    assert choose_device("cuda:1") == torch.device("cuda:1")


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="'cuda:1' is one GPU for 2 processes; use cuda, which gives each its own"):
        choose_device("cuda:1")
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "mps", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"runtime\.device: expected auto, cpu, cuda or cuda:N, got '{name}'"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 0)
    with pytest.raises(ConfigError, match="'cuda:1' asked for, but torch sees no CUDA GPU; use auto or cpu"):
        choose_device("cuda:1")
    pretend_gpus(monkeypatch, 2)
    with pytest.raises(ConfigError, match="'cuda:2' asked for, but there are 2 GPUs"):
        choose_device("cuda:2")


@pytest.mark.parametrize("world_size", [None, "1"])
def test_one_process_joins_nothing(world_size: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if world_size is not None:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    with joined_processes(torch.device("cpu")):
        assert not torch.distributed.is_initialized()


def test_the_launchers_rank_is_known_without_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched_rank() == 0
    monkeypatch.setenv("RANK", "5")
    assert launched_rank() == 5


def test_determinism_is_asked_for_and_only_warned_about() -> None:
    make_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_generators_of_one_seed_are_equal_and_independent_of_the_global_one() -> None:
    torch.manual_seed(1)
    first = torch.rand(3, generator=make_generator(7))
    torch.manual_seed(2)
    assert torch.equal(torch.rand(3, generator=make_generator(7)), first)
    assert not torch.equal(torch.rand(3, generator=make_generator(8)), first)


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
    monkeypatch.setattr(runtime.time, "monotonic", lambda: clock[0])
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
    monkeypatch.setattr(runtime, "console", Console(file=io.StringIO(), force_terminal=False))
    start_logging()
    with show_progress("quick") as tick:
        tick(1, 2)
        tick(2, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(runtime, "console", Console(file=terminal, force_terminal=True, width=100))
    with show_progress("localizing") as tick:
        tick(3, 8)
    assert "localizing" in terminal.getvalue()
    assert "3/8" in terminal.getvalue()


def test_only_rank_0_shows_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(runtime, "console", Console(file=terminal, force_terminal=True))
    monkeypatch.setattr(runtime, "rank", lambda: 1)
    with show_progress("localizing") as tick:
        tick(3, 8)
    assert terminal.getvalue() == ""


def test_logging_writes_where_stderr_points_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(runtime, "console", Console(file=io.StringIO(), force_terminal=False))
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
