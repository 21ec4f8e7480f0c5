"""Who may follow a run: TensorBoard and MLflow (extra `track`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from weakseg.config.load import to_plain
from weakseg.config.schema import RunConfig
from weakseg.documents import decode_json
from weakseg.errors import MissingExtra, WeaksegError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.records import digest_parts, flatten_settings
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.stage import StageStopped
from weakseg.pipeline.tracking import Tracker

PACKAGES = {"tensorboard": "TensorBoard", "mlflow": "MLflow"}
"""What `runtime.track` may name, by the module that it needs."""

MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
MLFLOW_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
"""MLflow's own variables."""

_PARAMETERS_AT_ONCE = 100
"""No more are taken at once by MLflow."""

_LONGEST_PARAMETER = 6000
"""Characters; MLflow refuses longer ones."""


def require_trackers(names: Sequence[str]) -> None:
    """Raise a `MissingExtra` that says what to install, if a package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise MissingExtra(
                f"runtime.track: '{name}' needs {PACKAGES[name]}, which is not installed here: pip install "
                "'weakseg[track]'"
            )


def open_trackers(names: Sequence[str], folder: RunFolder) -> dict[str, Tracker]:
    """Return those who follow a run, by name.

    Args:
        names: Some of `PACKAGES`.
        folder: The run.

    Raises:
        MissingExtra: If a package is missing.
        WeaksegError: If MLflow's server does not answer as it should.
    """
    require_trackers(names)
    kinds: dict[str, Callable[[RunFolder], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
    return {name: kinds[name](folder) for name in names}


def list_settings(config: RunConfig) -> dict[str, str]:
    """Return every setting as text, by its dotted name."""
    document = to_plain(config)
    assert isinstance(document, dict), "sections by name"
    found: dict[str, JsonValue] = {}
    for section, settings in document.items():
        found |= flatten_settings(section, settings)
    return {name: str(value) for name, value in found.items()}


class TensorBoard:
    """Writes event files into `tracking/tensorboard` of a run.

    Args:
        folder: The run.
    """

    def __init__(self, folder: RunFolder) -> None:
        # By name: whether its types are known depends on what is installed.
        package: Any = import_module("torch.utils.tensorboard")
        self._writer = package.SummaryWriter(str(folder.tracking / "tensorboard"))

    def add_settings(self, settings: Mapping[str, str]) -> None:
        """See `Tracker`; a table of Markdown."""
        rows = "".join(f"| {name} | {value.replace('|', chr(92) + '|')} |\n" for name, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{rows}", 0)

    def add_numbers(self, numbers: Mapping[str, float], *, step: int) -> None:
        """See `Tracker`."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def add_file(self, path: Path) -> None:
        """See `Tracker`; TensorBoard keeps no files, so that it is told where this one lies."""
        self._writer.add_text("files", f"`{path.absolute()}`", 0)

    def close(self, error: BaseException | None) -> None:
        """See `Tracker`."""
        self._writer.close()


class MLflow:
    """Writes to MLflow's server, or without one into `tracking/mlflow` of a run; a run that goes on stays one there.

    Args:
        folder: The run.

    Raises:
        WeaksegError: If MLflow cannot be written to.
    """

    def __init__(self, folder: RunFolder) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        # Without a server; its makers advise a database, which the slim package does not have.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        own = (folder.tracking / "mlflow").absolute()
        self._address = os.environ.get(MLFLOW_ADDRESS) or own.as_uri()
        self._state = folder.tracking / "mlflow.json"
        self._name = folder.root.absolute().name
        self._client: Any = MlflowClient(tracking_uri=self._address)
        self._run = ""
        try:
            self._experiment = self._find_experiment(os.environ.get(MLFLOW_EXPERIMENT) or "weakseg")
        except (MlflowException, OSError) as error:
            text = " ".join(str(error).split())
            raise WeaksegError(f"runtime.track: MLflow at {self._address} cannot be written to: {text}") from error

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def add_settings(self, settings: Mapping[str, str]) -> None:
        """See `Tracker`; goes on with the run of before unless settings differ, which MLflow does not let change."""
        from mlflow.entities import Param

        digest = digest_parts(settings)
        self._run = self._find_run(digest)
        if self._run:
            self._client.update_run(self._run, status="RUNNING")
            return
        self._run = str(self._client.create_run(self._experiment, run_name=self._name).info.run_id)
        parameters = [Param(name, value[:_LONGEST_PARAMETER]) for name, value in settings.items()]
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        write_json(self._state, {"address": self._address, "run": self._run, "settings": digest})

    def _find_run(self, digest: str) -> str:
        """Return the run that this one was there before; an empty text if it was none, or with other settings."""
        from mlflow.exceptions import MlflowException

        try:
            state = decode_json(self._state.read_text(encoding="utf-8"))
            if (state["address"], state["settings"]) != (self._address, digest):
                return ""
            return str(self._client.get_run(state["run"]).info.run_id)
        except (OSError, ValueError, KeyError, TypeError, MlflowException):  # deleted there, or never begun
            return ""

    def add_numbers(self, numbers: Mapping[str, float], *, step: int) -> None:
        """See `Tracker`."""
        for name, value in numbers.items():
            self._client.log_metric(self._run, name, value, step=step)

    def add_file(self, path: Path) -> None:
        """See `Tracker`."""
        self._client.log_artifact(self._run, str(path))

    def close(self, error: BaseException | None) -> None:
        """See `Tracker`; where images are left to parts, the run is to go on."""
        kinds = {StageStopped: "SCHEDULED", KeyboardInterrupt: "KILLED", BaseException: "FAILED"}
        found = next((status for kind, status in kinds.items() if isinstance(error, kind)), "FINISHED")
        self._client.set_terminated(self._run, status=found)
