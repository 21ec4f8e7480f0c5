"""CAM against RIB on a few images: their score maps at some points of an adaptation, kept for the report.

An adaptation starts from CAM, so that one pass gives both sides and everything between. `adaptations/<n>/` holds seeds
as they are after n iterations: 0 is CAM, the largest number is RIB's result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.config.schema import LocalizeConfig
from weakseg.data.base import Dataset
from weakseg.localize.method import Localized
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.types import ScoreMaps

EARLY_ITERATIONS = (0, 2, 5)
"""Points at which maps are kept besides the last one, as far as an adaptation is longer."""


def compared_iterations(config: LocalizeConfig) -> tuple[int, ...]:
    """Return the numbers of iterations after which maps are kept, ascending up to that of the whole adaptation."""
    last = config.rib.iterations
    return (*(early for early in EARLY_ITERATIONS if early < last), last)


def choose_compared(config: LocalizeConfig, datasets: Sequence[Dataset]) -> Dataset | None:
    """Choose tagged images, evenly spaced over the last of the splits that get seeds.

    Returns:
        That split with the chosen images alone, or None if none are asked for or none is tagged.
    """
    tagged = [sample.id for sample in datasets[-1] if sample.keys] if datasets else []
    wanted = min(config.compared_images, len(tagged))
    if wanted == 0:
        return None
    return datasets[-1].keep(tagged[place * len(tagged) // wanted] for place in range(wanted))


def comparison_files(context: Context, compared: Dataset | None) -> list[Path]:
    """Name every file the comparison consists of."""
    return [path for sample in compared or () for path in trace_files(context, sample.id)]


def trace_files(context: Context, sample_id: str) -> list[Path]:
    """Name what `save_trace` writes for an image, in this order."""
    return [context.folder.adaptation(number, sample_id) for number in compared_iterations(context.config.localize)]


def save_trace(context: Context, sample_id: str, localized: Localized, size_hw: tuple[int, int]) -> None:
    """Write an image's maps after each of the compared numbers of iterations.

    An adaptation that a rule has ended early stays as it was then.

    Args:
        context: The run.
        sample_id: The image.
        localized: What RIB made of it.
        size_hw: Size of the original image, at which maps are rebuilt.
    """
    states: tuple[ScoreMaps, ...] = localized.trace or (localized.maps,)  # an image can diverge at once
    numbers = compared_iterations(context.config.localize)
    for number, path in zip(numbers, trace_files(context, sample_id), strict=True):
        # The sum after n iterations holds the map from before the first update and those after n updates; the last
        # update of an adaptation gives no map.
        maps = states[min(number, len(states) - 1)]
        save_seed(path, replace(maps, size_hw=size_hw))
