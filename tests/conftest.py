"""Settings of the whole test suite."""

import gc
import logging
import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

# The laws are tried on the same examples every time, so that a change fails the tests only through its own fault.
# `make explore` looks for new examples; one that fails becomes an @example of its law.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeatable")

# Hypothesis also tries the numbers that stand in loaded sources of ours. Reading a thousand files takes each process
# seconds, and examples would hang on which tests came before. A version that names this otherwise loses time alone.
if hasattr(providers, "_get_local_constants"):
    providers._get_local_constants = lambda: providers._local_constants


# Ten thousand files are written, and to wait until the disk has each takes a minute. test_files.py looks for the waits;
# commands that tests start as processes wait.
os.fsync = lambda file: None


YOUNG_OBJECTS = 10_000
"""So many are made before cycles are looked for; Python's 700 are for programs that make fewer."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Send the process that hands tests out only what it looks at: half of xdist's messages cost 2 ms a test."""
    options = session.config.option
    if options.verbose > 0 or options.durations is not None or options.xmlpath is not None:
        return
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor" and hasattr(plugin, "sendevent"):
            plugin.sendevent = partial(_send_outcomes, plugin.sendevent)


def _send_outcomes(send: Callable[..., None], name: str, **event: Any) -> None:
    """Pass an event on, unless it is that a test begins, or that what precedes or follows it went well."""
    report = event.get("data", {})
    if name == "logstart" or (name == "testreport" and report["when"] != "call" and report["outcome"] == "passed"):
        return
    send(name, **event)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no cycles meanwhile: what is imported and collected stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Small tensors gain nothing from threads, and on busy cores threads that wait for each other cost tenfold."""
    import torch  # two seconds, which the process that hands tests out need not spend

    torch.set_num_threads(1)
    _join_loggers("torch")
    gc.freeze()  # modules and tests are not looked through again and again
    gc.set_threshold(YOUNG_OBJECTS)


def _join_loggers(name: str) -> None:
    """Let the loggers below one hand on what they are told, and that one print it.

    pytest attaches itself, six times a test, to every logger that hands nothing on, and torch has fifty of them.
    """
    for below, logger in logging.root.manager.loggerDict.items():
        if below.startswith(f"{name}.") and isinstance(logger, logging.Logger):
            logger.propagate, logger.handlers = True, []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process waits at the end for another."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


class _Keeper(logging.Handler):
    """Keeps the text of every message."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the package logs; unlike `caplog` it does not mind whether an earlier test has started logging."""
    logger, keeper = logging.getLogger("weakseg"), _Keeper()
    level = logger.level
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)
    yield keeper.lines
    logger.removeHandler(keeper)
    logger.setLevel(level)


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Leave the charts of reports out: they take half a second a run; the tests of figures and of the page draw."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("draw_epochs", "draw_thresholds"):
            patched.setattr(f"weakseg.report.charts.{name}", lambda *arguments, **options: "<svg></svg>")
        yield


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make_segmenter()` as an ONNX file; tracing takes seconds, so once for all tests and, by xdist, processes."""
    from tests.models.onnx_info import ONNX_INFO
    from tests.tiny import make_segmenter
    from weakseg.models.onnx_export import export_onnx

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared.onnx"
    if not shared.is_file():
        own = tmp_path_factory.mktemp("onnx") / "model.onnx"
        assert export_onnx(make_segmenter(), own, ONNX_INFO) < 1e-5
        assert [file.name for file in own.parent.iterdir()] == ["model.onnx"]
        own.replace(shared)
    return shared
