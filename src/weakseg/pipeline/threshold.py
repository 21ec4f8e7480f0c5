"""The background threshold of the masks: the recipe's number, or with `auto` one chosen on images that have tags alone.

`auto` refines some tagged training images at every candidate, measures what colours tell about the masks
(`weakseg.refine.threshold.colour`), and weighs that against how much of an image tagged objects usually take
(`weakseg.refine.threshold.choice`). `docs/threshold.md` compares it with other ways and with the truth. In a run that
learns from enough corrected masks these join in (`weakseg.pipeline.corrections.judges`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.config.chosen import has_threshold, refiner_facts
from weakseg.config.schema import RefineConfig
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.corrections.judges import ENOUGH_MASKS, choose_on_masks, list_judges
from weakseg.pipeline.cutters import Cutter, cut_image, open_cutter
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.seeds import pair_with_seed, require_training_seeds
from weakseg.pipeline.side_by_side import LARGE_PX, run_side_by_side
from weakseg.refine.method import SeededImage
from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.choice import (
    CANDIDATES,
    FIRST_JUDGES,
    ThresholdChoice,
    choose_in_rounds,
    still_open,
    tell_support,
    worth_refining,
)
from weakseg.refine.threshold.colour import score_colours
from weakseg.refine.threshold.cuts import cut_maps
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

MAX_IMAGES = 200
"""So many tagged images decide; docs/threshold.md says what fewer do."""

MAX_PIXELS = 8_000_000
"""Fewer do once they hold so many pixels together: 200 of 200 x 200, 72 of 384 x 288."""

PROBED_IMAGES = 40
"""So many seeds tell which candidates are worth a refinement."""

RULE_VERSION = 6
"""Raised when `auto` chooses otherwise on the same seeds. 1 took the best candidate; 2, among those about as good, the
nearest to 0.15; 3 the nearest to what is usual for seeds of their mean score; 4 weighs colours and areas; 5 does so
among more candidates above 0.4, of which it refines those whose seeds take about the usual area; 6 goes on with the
best of these after the first images."""

CHOICE_RULE = "rule of background_threshold auto"
"""Its part of a fingerprint."""


MASKS_RULE_VERSION = 1
"""Raised when `auto` chooses otherwise on the same seeds and corrected masks."""

MASKS_RULE = f"{CHOICE_RULE}, on corrected masks"


@dataclass(frozen=True)
class MaskThreshold:
    """The background threshold that a run's masks were made with.

    Args:
        value: The threshold, 0..1.
        choice: `fixed`: the recipe says it; `label-free`: chosen by `choose_on_tags`; `corrected`: by corrected masks.
        images: By how many of these.
    """

    value: float
    choice: Literal["fixed", "label-free", "corrected"]
    images: int = 0

    def __str__(self) -> str:
        how = f"chosen on {self.images} corrected masks" if self.choice == "corrected" else self.choice
        return f"{self.value:g} ({how})"


def mask_threshold(context: Context) -> MaskThreshold | None:
    """Return the background threshold of a run's masks; None for a method that has none.

    Raises:
        ArtifactError: If it is chosen by `auto` and its file is missing or damaged.
    """
    config = context.config.refine
    is_kept = refiner_facts(config) is None and context.folder.threshold.is_file()  # by a method that is gone
    if not (has_threshold(config) or is_kept):
        return None
    if not isinstance(config.background_threshold, str):
        return MaskThreshold(config.background_threshold, "fixed")
    choice = load_choice(context.folder.threshold)
    if choice.corrected:
        return MaskThreshold(choice.threshold, "corrected", choice.corrected)
    return MaskThreshold(choice.threshold, "label-free")


def tell_of_no_threshold(config: RefineConfig) -> None:
    """Say that `auto` chooses nothing for a refiner without a threshold, and what weakens its background instead."""
    facts = refiner_facts(config)
    if facts is None or facts.has_threshold or config.background_threshold != "auto":
        return
    instead = f"; refine.{facts.name}.{facts.background} weakens its background" if facts.background else ""
    logger.warning(
        "refine.background_threshold: 'auto' has no effect, since '%s' has no such threshold%s", facts.name, instead
    )


def require_number(config: RefineConfig) -> float:
    """Return the background threshold of a recipe where only a number will do.

    Raises:
        ConfigError: If it is `auto`.
    """
    if isinstance(config.background_threshold, str):
        raise ConfigError(
            "refine.background_threshold: expected a number, since values around it are compared, got auto"
        )
    return config.background_threshold


def name_choice_rule(context: Context) -> dict[str, JsonValue]:
    """Name the version of the rule for the fingerprint of masks that depend on it."""
    config = context.config.refine
    is_chosen = has_threshold(config) and config.background_threshold == "auto"
    if not is_chosen:
        return {}
    rules: dict[str, JsonValue] = {CHOICE_RULE: RULE_VERSION}
    return rules | ({MASKS_RULE: MASKS_RULE_VERSION} if len(list_judges(context)) >= ENOUGH_MASKS else {})


def settle_threshold(context: Context) -> float:
    """Return the background threshold of the recipe, chosen now if it is `auto` and there is no choice yet.

    Rank 0 chooses and writes `threshold.json`; the other processes wait and read it. An interrupted stage keeps it.

    Raises:
        ConfigError: If the training images get no seeds.
        ArtifactError: If a seed, the refiner's network or the file is missing or damaged.
    """
    given = context.config.refine.background_threshold
    if not isinstance(given, str):
        return given
    path = context.folder.threshold
    if rank() == 0 and not path.exists():
        write_json(path, _describe_choice(_choose(context, open_cutter(context))))
    wait_for_all()
    return load_choice(path).threshold


def _choose(context: Context, cutter: Cutter) -> ThresholdChoice:
    """Choose on tags, and on corrected masks besides if there are enough of them."""
    judges = list_judges(context)[:MAX_IMAGES]
    judged = _judge_on_tags(context, cutter)
    choice = None
    if len(judges) >= ENOUGH_MASKS:
        support = tell_support(judged.scores, judged.candidates, areas=judged.areas)
        choice = choose_on_masks(context, cutter, judges, judged.candidates, support=support)
    elif judges:
        logger.info(
            "refine.background_threshold: chosen without corrected masks: there are %d, and %d are needed to judge by",
            len(judges),
            ENOUGH_MASKS,
        )
    if choice is None:
        return _choose_judged(judged)
    logger.info("refine.background_threshold: %g, chosen on %d corrected masks", choice.threshold, choice.corrected)
    return choice


def _describe_choice(choice: ThresholdChoice) -> dict[str, JsonValue]:
    """Return what `threshold.json` says."""
    if choice.corrected:
        statistic = "mean IoU with the corrected masks"
        how = f"chosen on {choice.corrected} corrected masks, colours and areas"
    else:
        statistic, how = "colour information, bits per pixel", "chosen without masks"
    return {"statistic": statistic, "how": how, **asdict(choice)}


def choose_on_tags(context: Context, cutter: Cutter) -> ThresholdChoice:
    """Choose the threshold by what colours tell about the masks of some training images, see `choose_threshold`.

    Where no image has a tag there is nothing to choose by, and every mask is background at any threshold.

    Args:
        context: The run; its seeds are there.
        cutter: Makes the masks.

    Raises:
        ConfigError, ArtifactError: See `settle_threshold`.
    """
    return _choose_judged(_judge_on_tags(context, cutter))


@dataclass(frozen=True, eq=False)
class _Judged:
    """What colours (N, T) and areas (N, T) tell of T candidates; NaN where a lost one was not tried any more."""

    scores: NDArray[np.float64]
    areas: NDArray[np.float64]
    candidates: tuple[float, ...]


def _judge_on_tags(context: Context, cutter: Cutter) -> _Judged:
    require_training_seeds(context, "refine.background_threshold 'auto'")
    order = draw_tagged(context)
    candidates, judges = _open_judges(context, order)
    # Columns of candidates that have lost are no longer filled.
    scores, areas = (np.full((0, len(candidates)), np.nan) for _ in range(2))
    places = list(range(len(candidates)))
    with show_progress("choosing the background threshold") as tick:
        for chosen in (islice(judges, FIRST_JUDGES), judges):
            tried = [candidates[place] for place in places]
            for pixels, found in judge_side_by_side(chosen, cutter, tried):
                scores, areas = (np.vstack((rows, np.full(len(candidates), np.nan))) for rows in (scores, areas))
                scores[-1, places], areas[-1, places] = found
                tick(len(scores), max(len(scores), _expect_images(pixels, len(order))))
            if len(scores) == FIRST_JUDGES:
                places = list(still_open(scores, candidates, areas=areas))
    return _Judged(scores, areas, candidates)


def judge_side_by_side(
    items: Iterable[SeededImage], cutter: Cutter, candidates: Sequence[float]
) -> Iterator[tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Judge images, as many at once as torch has threads; yield each one's pixels, and what `judge_image` says."""

    def judge(item: SeededImage) -> tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        return _count_pixels(item), judge_image(item, cutter, candidates)

    threads = torch.get_num_threads()
    return run_side_by_side(judge, items, threads=threads, is_large=lambda item: _count_pixels(item) > LARGE_PX)


def _count_pixels(item: SeededImage) -> int:
    return int(item.image.shape[0]) * int(item.image.shape[1])


def _choose_judged(judged: _Judged) -> ThresholdChoice:
    choice = choose_in_rounds(judged.scores, judged.candidates, areas=judged.areas)
    if not choice.is_clear:
        logger.warning(
            "refine.background_threshold: no candidate is better than another on %d tagged images, so 'auto' takes "
            "%g; %s",
            choice.images,
            choice.threshold,
            "look at the seeds, which may be empty" if choice.images else "tag images, or give a number",
        )
    return choice


def judge_image(
    item: SeededImage, cutter: Cutter, candidates: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Refine an image at T candidates; return what colours tell about each mask (T,) and how much it covers (T,)."""
    cuts = cut_image(item, cutter, candidates)
    return score_colours(cuts), measure_areas(cuts)


def _open_judges(context: Context, order: list[Sample]) -> tuple[tuple[float, ...], Iterator[SeededImage]]:
    """Return the candidates that a refinement is worth trying at, by the areas of some seeds, and the images to try.

    The first of these images are kept meanwhile, `MAX_PIXELS` and one image at most.
    """
    items = _load_some(context, order)
    probed = list(islice(items, PROBED_IMAGES))
    areas = [(cut_maps(item.seed.full().numpy(), item.seed.keys, CANDIDATES) != 0).mean(axis=(1, 2)) for item in probed]
    return worth_refining(CANDIDATES, np.array(areas).reshape(-1, len(CANDIDATES))), chain(probed, items)


def _expect_images(pixels: int, tagged: int) -> int:
    """Return how many images will be looked at if they have so many pixels each."""
    return min(MAX_IMAGES, tagged, math.ceil(MAX_PIXELS / pixels))


def draw_tagged(context: Context) -> list[Sample]:
    """Return the tagged training images, of which there may be none, in a random order, that of `runtime.seed`."""
    tagged = [sample for sample in context.train if sample.keys]
    order = np.random.default_rng(context.config.runtime.seed).permutation(len(tagged))
    return [tagged[place] for place in order]


def choose_judges(context: Context) -> tuple[list[Sample], tuple[float, ...]]:
    """Return the images that `choose_on_tags` looks at, and the candidates that it tries.

    The images are loaded, since their size decides how many they are.
    """
    candidates, judges = _open_judges(context, draw_tagged(context))
    return [item.sample for item in judges], candidates


def load_choice(path: Path) -> ThresholdChoice:
    """Read the choice that `settle_threshold` wrote.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        entry = decode_json(path.read_text(encoding="utf-8"))
        return ThresholdChoice(
            threshold=float(entry["threshold"]),
            best=float(entry["best"]),
            candidates=tuple(entry["candidates"]),
            curve=tuple(entry["curve"]),
            images=entry["images"],
            # Files of earlier versions have none.
            areas=tuple(entry.get("areas", (None,) * len(entry["candidates"]))),
            is_clear=entry["is_clear"],
            corrected=entry.get("corrected", 0),
        )
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage 'refine' first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); run the chain again with --redo refine") from None


def _load_some(context: Context, samples: list[Sample]) -> Iterator[SeededImage]:
    """Load images until they are enough; at least one, however large."""
    pixels = 0
    for sample in samples[:MAX_IMAGES]:
        if pixels >= MAX_PIXELS:
            return
        item = pair_with_seed(context, sample, context.train.load_image(sample))
        pixels += _count_pixels(item)
        yield item
