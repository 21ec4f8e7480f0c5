"""Running a recipe in a run folder: the whole chain of stages, or one of them."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.corrections.begin import begin_learning, carry_over
from weakseg.pipeline.corrections.lessons import tell_unlearnt
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


def run_recipe(
    config: RunConfig,
    out: Path,
    *,
    only: str | None = None,
    redo: str | None = None,
    learn_from: Path | None = None,
) -> RunFolder:
    """Run a recipe, skipping what is finished and going on with what was interrupted.

    Args:
        config: The resolved configuration.
        out: The run folder; made when missing.
        only: Name of the single stage to run; None runs all.
        redo: Name of the stage to replace, with all later ones.
        learn_from: The run that was named as the recipe, where `out` is given. What a person has corrected there is
            learnt here, and what would come out the same is taken over from it. Without corrections nothing is.

    Returns:
        The run's files.

    Raises:
        WeaksegError: See `weakseg.pipeline.inputs.prepare`, `weakseg.pipeline.runner.run_stages` and
            `weakseg.pipeline.corrections.begin.begin_learning`.
    """
    for name, what in ((only, "stage"), (redo, "--redo")):
        if name is not None:
            require_option(name, [stage.name for stage in CHAIN], what=what)  # before the data are looked at
    folder = RunFolder(out)
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        config = absolute_paths(config)
        source = None if learn_from is None else RunFolder(learn_from)
        learns = source is not None and begin_learning(config, source, folder)
        context = prepare(config, folder)
        if source is not None and learns:
            carry_over(source, context, STAGES)
        run_stages(context, CHAIN, only=only, redo=redo)
        if rank() == 0:
            tell_of_edited(folder)
            tell_unlearnt(folder, context.train, context.val, context.taught)
    return folder
