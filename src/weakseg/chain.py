"""Running a recipe in a run folder: the whole chain of stages, or one of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.begin import begin_learning, carry_over
from weakseg.pipeline.corrections.lessons import tell_unlearnt
from weakseg.pipeline.edited_masks import tell_of_edited
from weakseg.pipeline.image_jobs import Engine, OneProcess
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.parts import PartDone, PartOf, StoppedAtImages, read_handed_out
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import run_in_stage, run_stages
from weakseg.pipeline.runtime import choose_device, joined_processes, launched_rank, make_deterministic
from weakseg.pipeline.stages import STAGES
from weakseg.pipeline.telling import keep_log
from weakseg.pipeline.trackers import list_settings, open_trackers, require_trackers
from weakseg.pipeline.tracking import track_files, track_numbers, tracking
from weakseg.remote import is_url
from weakseg.report.page import REPORT
from weakseg.scoring.evaluate import EVALUATE
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import Metrics
from weakseg.spelling import require_option
from weakseg.train.distributed import rank

logger = logging.getLogger("weakseg")

CHAIN = (*STAGES, EVALUATE, REPORT)
"""Every stage, in order."""


def run_recipe(
    config: RunConfig,
    out: Path,
    *,
    only: str | None = None,
    redo: str | None = None,
    learn_from: Path | None = None,
    engine: Engine | None = None,
) -> bool:
    """Run a recipe, skipping what is finished and going on with what was interrupted.

    Args:
        config: The resolved configuration.
        out: The run folder; made when missing.
        only: Name of the single stage to run; None runs all.
        redo: Name of the stage to replace, with all later ones.
        learn_from: The run that was named as the recipe, where `out` is given. What a person has corrected there is
            learnt here, and what would come out the same is taken over from it. Without corrections nothing is.
        engine: Who works on single images; None for this process, or those of `torchrun`. It is closed at the end.

    Returns:
        Whether all that was asked for is finished. It is not where images are handed out in parts.

    Raises:
        WeaksegError: See `weakseg.pipeline.inputs.prepare`, `weakseg.pipeline.runner.run_stages` and
            `weakseg.pipeline.corrections.begin.begin_learning`.
    """
    for name, what in ((only, "stage"), (redo, "--redo")):
        if name is not None:
            require_option(name, [stage.name for stage in CHAIN], what=what)  # before the data are looked at
    folder = RunFolder(out)
    _require_apart(config, folder)
    make_deterministic()
    engine = engine or OneProcess()
    require_trackers(config.runtime.track)
    log = engine.note(folder).with_suffix(".log") if isinstance(engine, PartOf) else folder.log
    with closing(engine), keep_log(log), joined_processes(choose_device(config.runtime.device)):
        try:
            if isinstance(engine, PartOf):
                _run_part(replace(prepare(absolute_paths(config), folder), engine=engine), only)
                return True
            context = _begin(absolute_paths(config), folder, engine, learn_from)
            with _followed(context):
                run_stages(context, CHAIN, only=only, redo=redo)
        except PartDone as done:
            logger.info("%s", done)
            return False
        except StoppedAtImages as stop:
            logger.info("%s", stop)
            logger.info(
                "  'weakseg run %s --part I/N' works on one of N parts of them; 'weakseg run %s --finish' goes on when "
                "all N have ended",
                out,
                out,
            )
            return False
        if rank() == 0:
            tell_of_edited(folder)
            tell_unlearnt(folder, context.train, context.val, context.taught)
    return True


def _require_apart(config: RunConfig, folder: RunFolder) -> None:
    """Refuse a new run right in the folder of its images: its masks would lie where true masks are looked for."""
    root = config.data.root
    if root is None or is_url(root) or folder.recipe.is_file():
        return
    if Path(root).resolve() == folder.root.resolve():
        raise ConfigError(
            f"--out: expected a folder other than that of the images, got {folder.root}, where the run's masks would "
            f"count as true ones; write --out {folder.root / 'run'}"
        )


@contextmanager
def _followed(context: Context) -> Iterator[None]:
    """Let those follow the run whom the recipe names; at its end they get scores and files."""
    names, folder = context.config.runtime.track, context.folder
    if not names or launched_rank() != 0:
        yield
        return
    with tracking(open_trackers(names, folder), list_settings(context.config)):
        yield
        if folder.metrics.is_file():
            _track_scores(load_metrics(folder.metrics))
        track_files([folder.report, folder.metrics, folder.recipe])


def _track_scores(metrics: Metrics) -> None:
    for score in metrics.scores:
        track_numbers(f"scores/{score.what.replace(', ', ' ')}/{score.split}", {"mean_iou": score.mean_iou})
    if metrics.classifier is not None:
        track_numbers("scores/classifier", {"map": metrics.classifier.mean_average_precision})


def _begin(config: RunConfig, folder: RunFolder, engine: Engine, learn_from: Path | None) -> Context:
    """Open a run, and give it what it learns from the corrections of another."""
    source = None if learn_from is None else RunFolder(learn_from)
    learns = source is not None and begin_learning(config, source, folder)
    context = replace(prepare(config, folder), engine=engine)
    if source is not None and learns:
        carry_over(source, context, STAGES)
    return context


def _run_part(context: Context, only: str | None) -> None:
    """Work on a part of the images that are handed out, if any are."""
    handed = read_handed_out(context.folder)
    if handed is not None and only in (None, handed.stage):
        run_in_stage(context, CHAIN, handed.stage)
        return
    records = read_records(context.folder)
    if all(name in records and records[name].finished for name in _asked_for(context, only)):
        logger.info("nothing is handed out, since all is finished")
        return
    verb = "run" if only is None else only
    raise ArtifactError(
        f"no images are handed out in {context.folder.root}; run 'weakseg {verb} {context.folder.root} --finish' first"
    )


def _asked_for(context: Context, only: str | None) -> list[str]:
    return [stage.name for stage in CHAIN if only in (None, stage.name) and not stage.why_skipped(context)]
