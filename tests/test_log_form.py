import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from weakseg.cli import main
from weakseg.log_form import (
    JsonFormatter,
    TimedFormatter,
    choose_form,
    format_time,
    is_json,
    progress_event,
    stage_event,
    within_stage,
)
from weakseg.pipeline import telling
from weakseg.pipeline.telling import json_ticker, keep_log, show_progress, start_logging

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("weakseg")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    choose_form("text")
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


def record(text: str, extra: dict[str, object] | None = None, *, level: int = logging.INFO) -> logging.LogRecord:
    return logging.getLogger("weakseg").makeRecord("weakseg", level, "", 0, text, (), None, extra=extra)


def read(lines: str) -> list[dict[str, object]]:
    events = [json.loads(line) for line in lines.splitlines()]
    assert all(re.fullmatch(ISO, str(event.pop("time"))) for event in events)
    return events


def test_moments_have_the_offset_of_the_machine() -> None:
    assert re.fullmatch(ISO, format_time(0))


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (None, {"event": "message", "level": "info", "message": "epoch 1: \u00e9"}),
        (stage_event("refine", "started"), {"event": "stage", "stage": "refine", "state": "started"}),
        (
            stage_event("refine", "finished", seconds=1.26, summary="masks"),
            {"event": "stage", "stage": "refine", "state": "finished", "seconds": 1.3, "summary": "masks"},
        ),
        (
            progress_event(" localizing", done=7, total=17, begun_at=2, seconds=2.0),
            {
                "event": "progress",
                "stage": None,
                "label": "localizing",
                "done": 7,
                "total": 17,
                "seconds": 2.0,
                "rate": 2.5,
                "left_seconds": 4.0,
            },
        ),
    ],
)
def test_a_message_is_one_line_of_json(extra: dict[str, object] | None, expected: dict[str, object]) -> None:
    line = JsonFormatter().format(record("  epoch 1: \u00e9\n", extra))
    assert line.isascii()
    assert read(line) == [expected]


def test_the_log_file_has_time_and_level() -> None:
    line = TimedFormatter().format(record("  epoch 1", level=logging.WARNING))
    assert re.fullmatch(rf"{ISO} warning   epoch 1", line)


def test_progress_names_its_stage_and_is_told_at_intervals_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    choose_form("json")
    start_logging()
    with within_stage("localize"):
        tick = json_ticker("localizing", interval_s=1000, note=lambda: " (2 stopped)")
        for done in range(1, 4):
            tick(done, 3)
    (event,) = read(capsys.readouterr().err)
    assert (event["stage"], event["label"], event["done"], event["total"]) == ("localize", "localizing", 3, 3)
    with show_progress("quick") as tick:
        tick(1, 1)
    assert read(capsys.readouterr().err)[0]["stage"] is None


def test_the_form_holds_for_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log", "json", "run", "no/such.yaml"]) == 1
    *_, end = read(capsys.readouterr().err)
    assert (end["event"], end["exit_code"], end["error"]) == ("end", 1, "ConfigError")
    assert "no/such.yaml" in str(end["message"])
    assert is_json()
    assert main(["run", "no/such.yaml"]) == 1
    assert capsys.readouterr().err.startswith("weakseg: ")
    assert main(["list", "--log=json"]) == 0
    assert read(capsys.readouterr().err) == [{"event": "end", "exit_code": 0}]


@pytest.mark.parametrize(("words", "got"), [(["--log", "xml"], "xml"), (["--log=csv"], "csv"), (["--log"], "")])
def test_another_form_is_refused(words: list[str], got: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *words]) == 2
    assert capsys.readouterr().err == f"weakseg: --log: expected one of text, json, got '{got}'\n"


def test_a_run_keeps_what_was_told_once_its_folder_is_there(tmp_path: Path) -> None:
    logger = logging.getLogger("weakseg")
    logger.setLevel(logging.INFO)
    # The processes of pytest-xdist cannot tell one another of half a character, wherever it was caught.
    logger.handlers[:], logger.propagate = [], False
    log = tmp_path / "run" / "weakseg.log"
    with keep_log(log):
        logger.warning("before the folder")
        assert not log.exists()
        log.parent.mkdir()
        logger.info("two \udce9")
    with pytest.raises(ZeroDivisionError), keep_log(log):
        raise ZeroDivisionError("by\n0")
    lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    assert lines == ["warning before the folder", r"info    two \udce9", "error   ZeroDivisionError: by 0"]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "weakseg.log").mkdir()
    with keep_log(tmp_path / "weakseg.log"):
        logging.getLogger("weakseg").warning("lost")


def test_only_the_first_process_keeps_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "launched_rank", lambda: 1)
    with keep_log(tmp_path / "weakseg.log"):
        logging.getLogger("weakseg").warning("told by the first")
    assert not list(tmp_path.iterdir())
