"""How a command ends: with one line whatever happens, its exit code, and no process left behind.

Ctrl-C, SIGTERM and SIGHUP (the terminal has been closed) are heeded alike. They end an import at once, since libraries
turn an interruption there into errors of their own, and give everything else `GRACE_S` seconds to leave in good order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from weakseg import __version__
from weakseg.errors import PeerFailed, UsageError, WeaksegError
from weakseg.file_names import printable
from weakseg.files import JsonValue
from weakseg.log_form import is_json, render_event
from weakseg.remote import as_said

EXIT_DONE, EXIT_USER_ERROR, EXIT_USAGE, EXIT_UNFORESEEN = 0, 1, 2, 3
EXIT_SIGNAL = 128
"""Added to the number of the signal that ended a command, as shells do: 130 for Ctrl-C, 143 for SIGTERM."""

GRACE_S = 1.5
"""After a signal, a command has so long to end by itself; whoever sent SIGTERM often sends SIGKILL soon after."""

MAX_LINE = 600
"""What nobody foresaw is told in so many characters, and anything else in twice as many."""

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Where `torchrun` looks for what a process died of, to repeat it at the end of its summary."""

_IMPORTING = "<frozen importlib._bootstrap>"
_SHOW_CURSOR = b"\x1b[?25h"

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)

_LINES = {
    signal.SIGINT: "interrupted; start the same command again to go on",
    signal.SIGTERM: "ended by SIGTERM; what is finished is kept, start the same command again to go on",
}
if _HANGUP is not None:  # Windows has none
    _LINES[_HANGUP] = "ended as its terminal has gone; what is finished is kept, start the same command again"


class Stopped(KeyboardInterrupt):
    """A signal that ends the command; like Ctrl-C it is no `Exception`, so that nobody takes it for an error."""


@dataclass
class _Watch:
    """What is known of the signals of one command.

    Args:
        owner: The process.
        wakeup: Where Python writes the number of each signal as it comes.
        received: The first of them; 0 for none.
        ended: Whether the command has ended.
        grace_s: How long it has to end by itself.
        teller: Held for good by the thread that says the last word: a command may end just as its grace does.
    """

    owner: int
    wakeup: int = -1
    received: int = 0
    ended: bool = False
    grace_s: float = GRACE_S
    teller: threading.Lock = field(default_factory=threading.Lock)


_watch: _Watch | None = None


def end_well(work: Callable[[], int], *, debug: bool) -> int:
    """Run a command and turn whatever ends it into one line on stderr and an exit code.

    Args:
        work: Returns the exit code of a command that ends by itself.
        debug: Whether errors also show their traceback.
    """
    watch = _Watch(os.getpid())
    try:
        with _heed_signals(watch):
            try:
                return _end_by_itself(work())
            except Exception as error:
                if watch.received:  # a library has made an error of its own of it
                    raise Stopped from error
                return _end_by_error(error, debug=debug)
            finally:
                if watch.received:
                    _end_children()
    except KeyboardInterrupt:
        if not watch.teller.acquire(blocking=False):
            time.sleep(GRACE_S)  # the watcher says it, and ends this process meanwhile
        number = watch.received or signal.SIGINT
        name = signal.Signals(number).name
        message = "" if _is_silent(number) else _LINES[signal.Signals(number)]
        return _say(message, EXIT_SIGNAL + number, error=name, debug=debug)


def allow_grace(time_s: float) -> None:
    """Give the command that runs in this process more than `GRACE_S` to end by itself after a signal."""
    if _watch is not None:
        _watch.grace_s = time_s


def _end_by_itself(code: int) -> int:
    if is_json() and os.environ.get("RANK", "0") == "0":
        print(render_event("end", {"exit_code": code}), file=sys.stderr, flush=True)
    return code


def _end_by_error(error: Exception, *, debug: bool) -> int:
    kind = type(error).__name__
    if isinstance(error, PeerFailed):
        return _say("", EXIT_USER_ERROR, error=kind, debug=debug)
    if isinstance(error, UsageError):
        return _say(str(error), EXIT_USAGE, error=kind, debug=debug)
    if isinstance(error, WeaksegError):
        return _say(str(error), EXIT_USER_ERROR, error=kind, debug=debug)
    if isinstance(error, BrokenPipeError):
        # The reader of our output (head, less) has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    message, code = explain_unforeseen(error)
    return _say(f"{message}; {_keep_traceback(error)}", code, error=kind, debug=debug)


def explain_unforeseen(error: Exception) -> tuple[str, int]:
    """Say in a line what an error means that no other place has explained, and with which exit code it ends."""
    try:
        text = " ".join(str(error).split())[:MAX_LINE]
    except Exception:
        text = ""  # numbers too long to be printed, for one
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in text:
        advice = "lower batch sizes, runtime.workers or runtime.cache_mb, or data.max_side_px"
        return f"the memory does not suffice ({text or name}): {advice}", EXIT_USER_ERROR
    if isinstance(error, OSError) and error.strerror:
        name = error.filename  # a text, bytes or a number
        where = "" if name is None else f" {os.fsdecode(name) if isinstance(name, str | bytes) else name}"
        return f"the system refuses{where}: {error.strerror}", EXIT_USER_ERROR
    if "integer string conversion" in text or "int too large to convert" in text:
        return "a number among the words of the command or in a file it reads is too long", EXIT_USER_ERROR
    if isinstance(error, RecursionError):
        return "something is nested too deeply", EXIT_UNFORESEEN
    return f"an error that nobody foresaw, {name}: {text}", EXIT_UNFORESEEN


def _keep_traceback(error: Exception) -> str:
    """Write a traceback where it can be found, and say where."""
    lines = [f"weakseg {__version__}, Python {sys.version}\n", f"{sys.argv!a}\n", *traceback.format_exception(error)]
    import tempfile

    try:
        number, name = tempfile.mkstemp(prefix="weakseg-error-", suffix=".txt")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(lines)
    except OSError:
        return "add --debug to see where"
    return f"{name} tells where, please send it along when you report this"


def _say(message: str, code: int, *, error: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if message:
        told = _shorten(printable(as_said(" ".join(message.split()))))
        line = f"weakseg: {told}"
        event: dict[str, JsonValue] = {"exit_code": code, "error": error, "message": told}
        with suppress(OSError):  # a terminal that has gone
            print(render_event("end", event) if is_json() else line, file=sys.stderr, flush=True)
        _tell_launcher(line)
    return code


def _shorten(line: str) -> str:
    """Leave the middle out of a line that repeats a very long value; its end says what to do."""
    return line if len(line) <= 2 * MAX_LINE else f"{line[:MAX_LINE]} [...] {line[-MAX_LINE:]}"


def _tell_launcher(line: str) -> None:
    """Leave the line for `torchrun`, whose summary ends with it instead of an advice to look elsewhere."""
    place = os.environ.get(ERROR_FILE)
    if place:
        told = {"message": line, "extraInfo": {"py_callstack": line, "timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(place).write_text(json.dumps({"message": told}), encoding="utf-8")


def _is_silent(number: int) -> bool:
    """Say whether another speaks: rank 0 for all ranks, or the rank whose failure made the launcher end the others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    return number == signal.SIGTERM or os.environ.get("RANK", "0") != "0"


@contextmanager
def _heed_signals(watch: _Watch) -> Iterator[None]:
    """Heed Ctrl-C and SIGTERM for as long as the block lasts; only a process's main thread can."""
    global _watch
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    if hasattr(os, "set_blocking"):  # Windows has it since Python 3.12, and does not ask for it
        os.set_blocking(writing, False)
    watch.wakeup = writing
    threading.Thread(target=_end_after_grace, args=(reading, watch), name="weakseg-signals", daemon=True).start()
    outer, _watch = _watch, watch
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handlers = {number: signal.getsignal(number) for number in _LINES}
    if _HANGUP is not None and handlers[_HANGUP] is signal.SIG_IGN:  # as nohup wants it
        del handlers[_HANGUP]
    try:
        for number in handlers:
            signal.signal(number, _receive)
        yield
    finally:
        watch.ended = True
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        _watch = outer
        os.close(writing)  # which ends the watcher


def _receive(number: int, frame: FrameType | None) -> None:
    if _watch is None:
        return
    _watch.received = _watch.received or number
    if _is_importing(frame):
        _end_at_once(_watch.received)
    raise Stopped


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


def _end_after_grace(reading: int, watch: _Watch) -> None:
    """End the process when it does not end by itself: native code may keep it, or a library swallow the signal."""
    while number := os.read(reading, 1):
        if number[0] in _LINES:
            time.sleep(watch.grace_s)
            if not watch.ended and watch.teller.acquire(blocking=False):
                _end_at_once(number[0])
    os.close(reading)


def _end_at_once(number: int) -> None:
    """End this process and its children; whatever is on the disk is whole, and the kernel gives locks up."""
    _end_children()
    if not _is_silent(number):
        with suppress(OSError):
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(2, b"\r\n" + _SHOW_CURSOR)  # a progress bar hides it
            name, text = signal.Signals(number).name, _LINES[signal.Signals(number)]
            event: dict[str, JsonValue] = {"exit_code": EXIT_SIGNAL + number, "error": name, "message": text}
            os.write(2, f"{render_event('end', event) if is_json() else f'weakseg: {text}'}\n".encode())
    os._exit(EXIT_SIGNAL + number)


def _end_children() -> None:
    processes = sys.modules.get("multiprocessing")  # whoever has started any has imported it
    if processes is not None:
        for child in processes.active_children():
            child.kill()


def _forget_in_child() -> None:
    """Let a forked worker leave signals to its parent: Ctrl-C reaches both, and SIGTERM is meant to end it."""
    global _watch
    if _watch is not None and os.getpid() != _watch.owner:
        signal.set_wakeup_fd(-1)
        os.close(_watch.wakeup)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if _HANGUP is not None:
            signal.signal(_HANGUP, signal.SIG_IGN)  # it reaches both, too
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _watch = None  # a child of this child has nothing to give up


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
