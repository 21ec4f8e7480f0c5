"""The parts of the stage `localize`: maps of every tagged image, by CAM or by adapting to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from weakseg.config.chosen import localizer_facts, needs_classifier
from weakseg.estimate.costs import PartCost
from weakseg.estimate.parts import ImageWork, Part, image_part
from weakseg.estimate.trial import Trial, count_tagged, put_classifier
from weakseg.pipeline.comparison import choose_compared
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.stages import localize

NO_RULE = 1e30
"""What no logit comes to; see `_adapting`."""

TRIED_ITERATIONS = (1, 3)
"""Iterations of RIB that are tried; what one more takes, all others take too."""


def localize_parts(trial: Trial) -> list[Part]:
    """Name the parts of the stage `localize`."""
    config, images = trial.recipe.localize, count_tagged(trial.context)
    compared = choose_compared(config, seeded_datasets(trial.context))
    if config.method == "rib":
        parts = [_rib_part("RIB", images, share=4.0)]
    else:
        looks = _looks_first(trial.context)
        # Only several images tell what is done before the first one from what each of them takes.
        share = 5.5 if looks else 2.0
        parts = [image_part("localize", config.method.upper(), _seed, images=images, share=share)]
    if compared is not None:
        parts.append(_rib_part("RIB, to compare", len(compared), share=1.5))
    return parts


def _as_in_trials(context: Context) -> Context:
    """Return a context in which the method does what it says of trials, see `weakseg.methods.LocalizerFacts.trial`."""
    config = context.config.localize
    facts = localizer_facts(config)
    if facts is None or facts.trial is None:
        return context
    tried = replace(config, **{facts.name: facts.trial(facts.settings_in(config))})
    return replace(context, config=replace(context.config, localize=tried))


def _looks_first(context: Context) -> bool:
    """Say whether the recipe's method looks at the training images before it localises any."""
    facts = localizer_facts(context.config.localize)
    return facts is not None and bool(facts.files)


def _seed(trial: Trial, iterations: int | None = None) -> ImageWork:
    if needs_classifier(trial.recipe.localize):
        put_classifier(trial.context)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = _as_in_trials(trial.seeding(ids, side_px))
        if _looks_first(context):  # it would look through all training images for each trial
            context = replace(context, train=trial.context.train.keep(ids))
        for folder in (context.folder.seeds, context.folder.localizer):
            shutil.rmtree(folder, ignore_errors=True)
        localize(context if iterations is None else _adapting(context, iterations))

    return work


def _adapting(context: Context, iterations: int) -> Context:
    """Return a context for RIB that neither ends early nor changes a weight: what it is tried on has no meaning."""
    config = context.config.localize
    rib = replace(config.rib, iterations=iterations, learning_rate=0.0, logit_stop=NO_RULE, area_ratio=1.0)
    return replace(context, config=replace(context.config, localize=replace(config, method="rib", rib=rib)))


def _rib_part(name: str, images: int, *, share: float) -> Part:
    """Return a part that adapts to images: at a few iterations, of which the whole number follows."""
    few, more = (
        image_part("localize", name, partial(_seed, iterations=iterations), images=images)
        for iterations in TRIED_ITERATIONS
    )

    def run(trial: Trial, deadline_s: float) -> PartCost:
        iterations = trial.recipe.localize.rib.iterations
        # The first trial is told to be done when less than half of its time is over: the second takes longer.
        now_s = time.monotonic()
        first = few.run(trial, now_s + (deadline_s - now_s) / 3)
        second = more.run(trial, deadline_s)
        assert first.time_s is not None
        assert second.time_s is not None
        each_s = max(0.0, second.time_s - first.time_s) / (TRIED_ITERATIONS[1] - TRIED_ITERATIONS[0])
        time_s = first.time_s + (iterations - TRIED_ITERATIONS[0]) * each_s
        return replace(second, what=f"{more.what}, at most {iterations} iterations", time_s=time_s, note=second.note)

    return Part("localize", more.what, share, run)
