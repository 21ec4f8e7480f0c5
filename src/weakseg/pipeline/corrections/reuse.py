"""Masks and networks of the run before, taken over where the stage `refine` would make them just so again.

A shortcut, and no more: without that run, or where anything differs, the stage makes them itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from weakseg.config.chosen import has_threshold
from weakseg.data.base import Dataset
from weakseg.errors import WeaksegError
from weakseg.files import JsonValue
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import CORRECTED_MASKS, read_taught
from weakseg.pipeline.edited_masks import is_untouched
from weakseg.pipeline.records import CONTENTS, read_records
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.seeds import REFINER
from weakseg.pipeline.sharing import share_files
from weakseg.pipeline.threshold import CHOICE_RULE, MASKS_RULE
from weakseg.pipeline.threshold_file import load_choice
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

THRESHOLD = "refine.background_threshold"

_OF_CORRECTIONS = (CORRECTED_MASKS, f"{CONTENTS}{CORRECTED_MASKS}", MASKS_RULE)
"""Parts of a fingerprint by which the masks of other images do not differ."""


def reuse_network(context: Context) -> None:
    """Take over what the refiner of the run before has learnt: it learns from seeds alone."""
    source = _find_source(context)
    if source is not None and rank() == 0:
        for name in ("labels", REFINER, context.folder.seed_threshold.name):
            if not (context.folder.root / name).exists():
                share_files(source.root / name, context.folder.root / name)
    wait_for_all()


def reuse_masks(
    context: Context, datasets: Sequence[Dataset], files: Mapping[str, Sequence[Path]], *, threshold: float | None
) -> None:
    """Take over the masks that no correction has changed, if the background threshold is the same.

    Args:
        context: The run.
        datasets: Images that get masks.
        files: By image id, the files that the stage writes for it, the mask last.
        threshold: The background threshold of the masks; None for a refiner without.
    """
    source = _find_source(context)
    if source is not None and rank() == 0 and _same_threshold(context, source, threshold):
        before = read_taught(source)
        taken = 0
        for sample in chain(*datasets):
            is_corrected = any(taught is not None and taught.has_mask(sample.id) for taught in (before, context.taught))
            own = [(source.root / path.relative_to(context.folder.root), path) for path in files[sample.id]]
            if is_corrected or any(path.exists() for _, path in own) or not all(path.is_file() for path, _ in own):
                continue
            for theirs, path in own:
                share_files(theirs, path, link=False)  # people edit masks where they are
            taken += 1
        if taken:
            logger.info("refine: %d masks are taken over from %s, being the same", taken, source.root)
    wait_for_all()


def _find_source(context: Context) -> RunFolder | None:
    """Return the run before, if its stage `refine` has done the same but for corrections; else None."""
    if context.taught is None:
        return None
    source = RunFolder(Path(context.taught.source))
    try:
        theirs, own = (read_records(folder).get("refine") for folder in (source, context.folder))
        if theirs is None or own is None or not theirs.finished or _bare(theirs.parts) != _bare(own.parts):
            return None
        return source if is_untouched(source) else None
    except WeaksegError:  # whatever is wrong there is nothing to this run
        return None


def _bare(parts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the parts that matter to the masks of images without corrections, once the threshold is known."""
    return {key: value for key, value in parts.items() if key not in (*_OF_CORRECTIONS, THRESHOLD, CHOICE_RULE)}


def _same_threshold(context: Context, source: RunFolder, threshold: float | None) -> bool:
    if not has_threshold(context.config.refine):
        return True
    given = read_records(source)["refine"].parts.get(THRESHOLD)
    try:
        theirs = load_choice(source.threshold).threshold if isinstance(given, str) else given
    except WeaksegError:
        return False
    return theirs == threshold
