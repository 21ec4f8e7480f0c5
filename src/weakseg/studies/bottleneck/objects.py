"""Study `bottleneck` on a run: the RIB paper's question, asked of a trained classifier and real photographs.

Parts of an object take the place of digit and marker (`weakseg.studies.bottleneck.parts`). The classifier is adapted to
every chosen image with the recipe's settings of RIB, and looked at after each iteration. `docs/study_bottleneck.md`
tells what came out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.errors import DataError, UsageError
from weakseg.files import JsonValue
from weakseg.ops.gradient_ratio import HIGH_GRADIENT, normalise_gradients
from weakseg.ops.images import limit_side
from weakseg.ops.metrics import ThresholdSweep
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.pipeline.seeds import resize_labels
from weakseg.refine.masks import seed_to_mask
from weakseg.scoring.truth import read_truth
from weakseg.studies.bottleneck.objects_figure import SIZE_IN, draw_objects
from weakseg.studies.bottleneck.objects_passes import ObjectFiles, localise_images, watch_images
from weakseg.studies.bottleneck.objects_table import Findings, Picture, make_details, make_table
from weakseg.studies.bottleneck.parts import (
    MIN_PART_SHARE,
    ObjectParts,
    ObjectResult,
    measure_object,
    split_objects,
)
from weakseg.studies.choices import choose_names, require_split
from weakseg.studies.folder import (
    Study,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
    flatten_settings,
)
from weakseg.studies.trained_run import ensure_classifier
from weakseg.studies.truth_images import choose_images
from weakseg.train.distributed import wait_for_all
from weakseg.types import Sample

VERSION = 1
"""Raised when the results change for the same settings."""

PARTS_FROM = ("cam", "run")
"""Whose seed is the discriminative part: the maps of the classifier as it was trained, or the run's own seeds."""

SHOWN = 2
"""Images whose gradient maps the figure shows."""


@dataclass(frozen=True)
class ObjectSettings:
    """Settings of the study beside the recipe's.

    Args:
        images: Number of images, spaced evenly over the split, see `choose_images`.
        split: `train` or `val`.
        parts: One of `PARTS_FROM`. The seed is cut at the threshold that is best for these images.
        threshold: Gradients above this share of the maximum are high.
    """

    images: int = 40
    split: str = "train"
    parts: str = "cam"
    threshold: float = HIGH_GRADIENT

    def check(self, config: RunConfig) -> None:
        """Raise a `UsageError` or `ConfigError` that names the option unless every value can be."""
        require_split(config, self.split)
        choose_names("--parts", (self.parts,), PARTS_FROM)
        if self.images < 1:
            raise UsageError(f"--images: expected at least 1, got {self.images}")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"--threshold: expected a number from 0 to below 1, got {self.threshold}")


def study_objects(config: RunConfig, settings: ObjectSettings, request: StudyRequest) -> Study:
    """Measure on which parts of real objects the layers of a run's classifier depend, and what RIB changes in it.

    Images that an interrupted study has measured are used again.

    Args:
        config: The run's recipe; its section `localize.rib` says how RIB adapts, whatever made the run's seeds.
        settings: What to do.
        request: Where and how; the study's name is `bottleneck` unless it has another.

    Returns:
        Files and table.

    Raises:
        UsageError: If an option cannot be.
        ConfigError: If the recipe lacks the split, or the study or the classifier was made with other settings.
        ArtifactError: If the run lacks a classifier, or a seed that is asked for.
        DataError: If no image has a truth mask, or none an object with all parts.
    """
    settings.check(config)
    folder = find_study_folder(request, default_name="bottleneck")
    # Maps are those of the classifier alone: RIB's gradients know nothing of an average over places that look alike.
    config = replace(config, localize=replace(config.localize, similarity_temperature=None))
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        context = prepare(absolute_paths(config), RunFolder(request.run))
        dataset = context.train if settings.split == "train" else context.val
        assert dataset is not None
        chosen = choose_images(dataset, images=settings.images, faults=set())
        if not chosen.samples:
            raise DataError(
                f"{dataset.name} {dataset.split}: no tagged image has a truth mask that can be used, so no object has "
                "parts; choose another --split, or a data set with masks"
            )
        plan = _plan(context, settings, request)
        begin_study(folder, plan, redo=request.redo)
        classifier, _ = load_classifier(context.folder.network("classifier").model, context.device)
        files = ObjectFiles(folder.results, context.folder if settings.parts == "run" else None)
        if settings.parts == "cam":
            localise_images(context, classifier, chosen, files)
        watch_images(context, classifier, dataset, chosen, files)
        wait_for_all()  # the table is made of what all processes have written
        found = _measure(chosen, files, settings, context, classifier.stride)
        return finish_study(
            folder,
            plan,
            make_table(found),
            draw=lambda figure: draw_objects(figure, found),
            size_in=SIZE_IN,
            details=make_details(found),
        )


def _plan(context: Context, settings: ObjectSettings, request: StudyRequest) -> StudyPlan:
    """Say what the gradients depend on; images, parts and threshold matter to the table alone."""
    config = context.config
    entries: dict[str, JsonValue] = {
        "split": settings.split,
        "data.max_side_px": config.data.max_side_px,
        "localize.scales": list(config.localize.scales),
        "runtime.seed": config.runtime.seed,
        "result of classify": ensure_classifier(context, may_train=request.may_train),
        **flatten_settings("localize.rib", to_plain(config.localize.rib)),
        **{f"images and tags of {name}": digest for name, digest in context.digests.items()},
    }
    return StudyPlan("bottleneck", VERSION, request.command, config.runtime.seed, entries, to_plain(config))


@dataclass(frozen=True)
class _Cutter:
    """Finds the objects of an image.

    Args:
        dataset: The chosen images.
        files: Has their seeds.
        faults: See `read_truth`.
    """

    dataset: Dataset
    files: ObjectFiles
    faults: set[str]

    def find_cut(self, *, steps: int) -> float:
        """Return the background threshold, of so many, at which the seeds of all images agree best with the truth."""
        sweep = ThresholdSweep(self.dataset.classes.num_labels, np.arange(steps) / steps)
        for sample in self.dataset:
            maps = load_seed(self.files.seed(sample.id))
            truth = read_truth(self.dataset, sample, maps.size_hw, self.faults)
            if truth is not None:
                sweep.update(maps.full().numpy(), maps.keys, truth)
        result = sweep.result()
        return float(result.thresholds[result.best_index])

    def split(self, sample: Sample, size_hw: tuple[int, int], cut: float) -> tuple[ObjectParts, ...]:
        """Return the parts of an image's objects at the size the network saw."""
        seed = load_seed(self.files.seed(sample.id))
        truth = read_truth(self.dataset, sample, seed.size_hw, self.faults)
        if truth is None:
            return ()
        labels = seed_to_mask(replace(seed, size_hw=size_hw).full().numpy(), seed.keys, background_threshold=cut)
        return split_objects(resize_labels(truth, size_hw), labels, seed.keys)


def _measure(chosen: Dataset, files: ObjectFiles, settings: ObjectSettings, context: Context, side_px: int) -> Findings:
    """Measure every object of the chosen images.

    Raises:
        DataError: If there is none with all parts.
    """
    cutter = _Cutter(chosen, files, set())
    cut = cutter.find_cut(steps=context.config.evaluate.threshold_steps)
    results: dict[str, tuple[ObjectResult, ...]] = {}
    pictures: list[Picture] = []
    layer_names: tuple[str, ...] = ()
    for sample in chosen:
        found = files.load(sample.id)
        objects = cutter.split(sample, found.size_hw, cut)
        places = [sample.keys.index(one.key) for one in objects]
        results[sample.id] = tuple(
            measure_object(
                found, place, one, chosen.classes.names[one.key], side_px=side_px, threshold=settings.threshold
            )
            for place, one in zip(places, objects, strict=True)
        )
        layer_names = found.layer_names
        if objects and len(pictures) < SHOWN:
            image = limit_side(chosen.load_image(sample), context.config.data.max_side_px)
            logit = found.by_image[places[0]]
            maps = torch.from_numpy(np.stack([*found.layers, logit[0], logit[-1]]))
            pictures.append(Picture(image, objects[0].masks.numpy(), normalise_gradients(maps).numpy()))
    if not any(results.values()):
        raise DataError(
            f"{chosen.name} {chosen.split}: of no object do seed, rest and background each take at least "
            f"{100 * MIN_PART_SHARE:g} % of the image; choose more --images"
        )
    return Findings(
        split=chosen.split,
        parts=settings.parts,
        cut=cut,
        threshold=settings.threshold,
        layer_names=layer_names,
        results=results,
        rib=context.config.localize.rib,
        pictures=tuple(pictures),
    )
