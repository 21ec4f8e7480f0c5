"""What every study has: a folder with its table, figure and record, which refuses to mix two settings.

Whoever writes a study computes intermediate results below `StudyFolder.results`, each file written whole or not at all
and named by what it holds, so that a study that was interrupted goes on with what is missing. The table is made from
those files, every time anew. `begin_study` comes before the first of them, `finish_study` after the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from weakseg.errors import UsageError, WeaksegError
from weakseg.files import JsonValue, atomic_open, write_json, write_text
from weakseg.pipeline.claims import Claim
from weakseg.pipeline.lock import release_folder, take_for_all
from weakseg.pipeline.records import describe_changes, list_versions, read_record
from weakseg.pipeline.records import flatten_settings as flatten_settings
from weakseg.pipeline.removal import remove_files, remove_half_written
from weakseg.pipeline.runtime import launched_rank
from weakseg.studies.table import Table
from weakseg.train.distributed import rank, wait_for_all

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.figure import Figure

FIGURE_DPI = 110
"""Legible beside text, and small enough to be kept in a repository."""


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study.

    Args:
        root: The folder; may not exist yet.
    """

    root: Path

    @property
    def results(self) -> Path:
        """Intermediate results, kept so that a study can go on."""
        return self.root / "results"

    @property
    def record(self) -> Path:
        """Command, seed, versions, recipe and every number, JSON; exists from the beginning on."""
        return self.root / "study.json"

    @property
    def table(self) -> Path:
        """The table, Markdown."""
        return self.root / "table.md"

    @property
    def csv(self) -> Path:
        """The numbers, CSV; the same command gives the same bytes."""
        return self.root / "table.csv"

    @property
    def details(self) -> Path:
        """A second table of finer grain, CSV, where a study has one."""
        return self.root / "details.csv"

    @property
    def times(self) -> Path:
        """The measured times, CSV."""
        return self.root / "times.csv"

    @property
    def figure(self) -> Path:
        """The figure, PNG."""
        return self.root / "figure.png"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Everything that every study writes."""
        return (self.results, self.record, self.table, self.csv, self.times, self.figure)

    @property
    def extras(self) -> tuple[Path, ...]:
        """What only some studies write."""
        return (self.details,)


@dataclass(frozen=True)
class StudyRequest:
    """What the command line says of every study.

    Args:
        run: The run folder; the study goes to `<run>/studies/<name>`.
        name: The study's name; None for its usual one.
        redo: Whether to remove an earlier study of this name first.
        may_train: Whether a run without a classifier may train one.
        command: The command line, as it can be typed again; for the record.
    """

    run: Path
    name: str | None = None
    redo: bool = False
    may_train: bool = True
    command: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What a study is about to do.

    Args:
        name: Name of the study: `rib`.
        version: Raised when its results change for the same settings.
        command: The command line, as it can be typed again.
        seed: Seed of all draws.
        settings: By dotted name, everything that intermediate results depend on and their file names do not tell.
        recipe: The resolved recipe, for a study that has one.
    """

    name: str
    version: int
    command: str
    seed: int
    settings: Mapping[str, JsonValue]
    recipe: JsonValue = None

    @property
    def versioned_settings(self) -> dict[str, JsonValue]:
        """The settings and the study's version."""
        return {f"version of the study '{self.name}'": self.version, **self.settings}


@dataclass(frozen=True)
class Study:
    """A finished study.

    Args:
        folder: Its files.
        table: Its numbers.
    """

    folder: StudyFolder
    table: Table


def find_study_folder(request: StudyRequest, *, default_name: str) -> StudyFolder:
    """Return the folder a study goes to.

    Raises:
        UsageError: If the name is no plain folder name.
    """
    name = default_name if request.name is None else request.name
    studies = request.run / "studies"
    if name in ("", ".", "..") or Path(name).name != name:
        raise UsageError(f"--name: expected the plain name of a folder below {studies}, got '{name}'")
    return StudyFolder(studies / name)


def begin_study(folder: StudyFolder, plan: StudyPlan, *, redo: bool) -> None:
    """Make sure that a folder holds nothing but results of the same settings, and write the study's record.

    From here to `finish_study`, or to its end, no other process may write there.

    Args:
        folder: The study's files.
        plan: What is about to be done.
        redo: Remove what an earlier study has written there.

    Raises:
        ConfigError: If the folder holds results of other settings, and `redo` is not given.
        ArtifactError: If it holds files that no study is known to have written, or a damaged record, or another process
            works there.
    """
    take_for_all(folder.root)
    try:
        _clear_folder(folder, plan, redo=redo)
    except WeaksegError:
        release_folder(folder.root)
        raise


def _clear_folder(folder: StudyFolder, plan: StudyPlan, *, redo: bool) -> None:
    claim = Claim(
        who="the study",
        root=folder.root,
        outputs=(*folder.outputs, *folder.extras),
        unknown="no study is known to have written it",
        redo="--redo to replace it",
        elsewhere="--name",
    )
    earlier = read_record(folder.record, lambda document: {**document["settings"]}, whole="the study's folder")
    claim.require_own(is_recorded=earlier is not None)
    # A setting that an older version did not know is off where it is null.
    if earlier is not None and describe_changes(earlier, plan.versioned_settings) and not redo:
        claim.refuse_changes(earlier, plan.versioned_settings)
    wait_for_all()  # every process has read the record before rank 0 changes it
    if rank() == 0:
        if redo:
            remove_files(claim.outputs)
        write_json(folder.record, {**_head(plan), "finished": False})
    remove_half_written(folder.root, claim.outputs)
    wait_for_all()


def finish_study(
    folder: StudyFolder,
    plan: StudyPlan,
    table: Table,
    *,
    draw: Callable[[Figure], None],
    size_in: tuple[float, float],
    details: Table | None = None,
    goes_on: bool = False,
) -> Study:
    """Write table, CSV, figure and record; rank 0 only.

    Args:
        folder: The study's files.
        plan: What was done.
        table: What was found.
        draw: Fills the figure.
        size_in: Width and height of the figure in inches.
        details: A second table of finer grain, such as one row per class.
        goes_on: Whether this is what there is so far: the record then says so, and the folder stays this process's own.
    """
    wait_for_all()
    if rank() == 0:
        write_text(folder.table, table.to_markdown())
        write_text(folder.csv, table.to_csv(times=False))
        write_text(folder.times, table.to_csv(times=True))
        _save_figure(folder.figure, draw, size_in=size_in)
        numbers: dict[str, JsonValue] = {
            "title": table.title,
            "rows": table.to_records(),
            "notes": list(table.notes),
        }
        if details is not None:
            write_text(folder.details, details.to_csv(times=False))
            numbers["details"] = details.to_records()
        write_json(folder.record, {**_head(plan), "finished": not goes_on, "numbers": numbers})
        if not goes_on:
            release_folder(folder.root)
    wait_for_all()
    return Study(folder, table)


def print_study(study: Study) -> None:
    """Print a study's table and where its files are; stdout, rank 0 only."""
    if launched_rank() != 0:
        return
    console = Console(highlight=False)
    study.table.print_to(console)
    for label, path in (("table:  ", study.folder.table), ("figure: ", study.folder.figure)):
        console.print(f"{label}{path}", soft_wrap=True, markup=False)


def _head(plan: StudyPlan) -> dict[str, JsonValue]:
    return {
        "study": plan.name,
        "command": plan.command,
        "seed": plan.seed,
        "versions": list_versions(),
        "settings": plan.versioned_settings,
        "recipe": plan.recipe,
    }


def _save_figure(path: Path, draw: Callable[[Figure], None], *, size_in: tuple[float, float]) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc does not reach the figure
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure)
        with atomic_open(path) as file:
            # The name of matplotlib's version would make equal figures differ.
            figure.savefig(file, format="png", dpi=FIGURE_DPI, metadata={"Software": None})
