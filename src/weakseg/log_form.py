"""How a command's messages are written: as lines for people, or as JSON, one event a line, for programs (`--log json`).

An event is an object with `time` (ISO 8601 with offset) and `event`, its kind:

- `message`: `level`, `message`; whatever is told to people.
- `stage`: `stage`, `state` (`started`, `resumed`, `finished`, `skipped`), `seconds`, `images_per_s` and `summary`
  where they are known.
- `progress`: `stage`, `label`, `done`, `total`, `seconds` since it began, `rate` (done a second), `left_seconds`.
- `end`, the last one: `exit_code`, and `error` (the class) and `message` where it is not 0.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from weakseg.files import JsonValue

FORMS = ("text", "json")
"""What `--log` may be."""

_form = "text"
_stage: str | None = None


def choose_form(form: str) -> None:
    """Choose how messages are written from here on, one of `FORMS`."""
    global _form
    _form = form


def is_json() -> bool:
    """Say whether messages are written as JSON."""
    return _form == "json"


@contextmanager
def within_stage(name: str) -> Iterator[None]:
    """Name the stage whose progress is told meanwhile."""
    global _stage
    before, _stage = _stage, name
    try:
        yield
    finally:
        _stage = before


def render_event(kind: str, fields: Mapping[str, JsonValue]) -> str:
    """Return an event as a line of JSON, without its end."""
    return json.dumps({"time": format_time(time.time()), "event": kind, **fields}, ensure_ascii=True)


def progress_event(label: str, *, done: int, total: int, begun_at: int, seconds: float) -> dict[str, object]:
    """Return what a message tells programs of a loop, as `extra` of a call of `logging`.

    Args:
        label: What is being done.
        done: How much of it is.
        total: Of how much.
        begun_at: How much was done when the loop began.
        seconds: How long ago that was.
    """
    rate = (done - begun_at) / seconds if seconds > 0 else 0.0
    left = round((total - done) / rate, 1) if rate > 0 else None
    numbers = {"done": done, "total": total, "seconds": round(seconds, 1), "rate": round(rate, 4), "left_seconds": left}
    return {"event": ("progress", {"stage": _stage, "label": label.strip(), **numbers})}


def format_time(time_s: float) -> str:
    """Return a moment, in seconds since 1970, as ISO 8601 with this machine's offset: `2026-05-01T10:00:00+0200`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time_s))


def stage_event(
    name: str, state: str, *, seconds: float | None = None, rate: float | None = None, summary: str = ""
) -> dict[str, object]:
    """Return what a message tells programs of a stage, as `extra` of a call of `logging`."""
    known: dict[str, JsonValue] = {} if seconds is None else {"seconds": round(seconds, 1)}
    known |= {} if rate is None else {"images_per_s": round(rate, 4)}
    return {"event": ("stage", {"stage": name, "state": state, **known, **({"summary": summary} if summary else {})})}


class JsonFormatter(logging.Formatter):
    """Writes messages as events; those with `stage_event` or `progress_event` as events of that kind."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        event = getattr(record, "event", None)
        if isinstance(event, tuple):
            return render_event(*event)
        return render_event("message", {"level": record.levelname.lower(), "message": record.getMessage().strip()})


class TimedFormatter(logging.Formatter):
    """Writes messages for people with their time and level, as the log file has them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        return f"{format_time(record.created)} {record.levelname.lower():<7} {record.getMessage()}"
