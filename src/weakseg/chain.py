"""Running a recipe in a run folder: the whole chain of stages, or one of them."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.edited_masks import tell_of_edited
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.pipeline.stages import STAGES
from weakseg.report.page import REPORT
from weakseg.scoring.evaluate import EVALUATE
from weakseg.spelling import require_option
from weakseg.train.distributed import rank

CHAIN = (*STAGES, EVALUATE, REPORT)
"""Every stage, in order."""


def run_recipe(config: RunConfig, out: Path, *, only: str | None = None, redo: str | None = None) -> RunFolder:
    """Run a recipe, skipping what is finished and going on with what was interrupted.

    Args:
        config: The resolved configuration.
        out: The run folder; made when missing.
        only: Name of the single stage to run; None runs all.
        redo: Name of the stage to replace, with all later ones.

    Returns:
        The run's files.

    Raises:
        WeaksegError: See `weakseg.pipeline.inputs.prepare` and `weakseg.pipeline.runner.run_stages`.
    """
    for name, what in ((only, "stage"), (redo, "--redo")):
        if name is not None:
            require_option(name, [stage.name for stage in CHAIN], what=what)  # before the data are looked at
    folder = RunFolder(out)
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        run_stages(prepare(absolute_paths(config), folder), CHAIN, only=only, redo=redo)
        if rank() == 0:
            tell_of_edited(folder)
    return folder
