"""Which values a setting may take beyond its type, checked once when a recipe is read."""

from __future__ import annotations

import math
from functools import cache

from weakseg.config.backbones import check_backbone_names
from weakseg.config.bounds import (
    AUTO,
    BILATERAL,
    COUNT,
    GAUSSIAN,
    NOT_NEGATIVE,
    SHARE,
    SIDE_PX,
    Bounds,
    Range,
    walk_limits,
)
from weakseg.config.chosen import check_methods, has_threshold, refiner_facts
from weakseg.config.fits import list_fits
from weakseg.config.paths import check_weights
from weakseg.config.released import check_released, uses_released_refiner
from weakseg.config.schema import RefineConfig, RunConfig
from weakseg.config.segmenters import check_segmenter
from weakseg.errors import ConfigError

MIN_CRITTER_PX = 48
"""Smaller animals have no recognisable head."""

_RANGES: dict[str, Bounds] = {
    "data.val_fraction": SHARE,
    "data.max_side_px": SIDE_PX,
    "data.pixel_range": Range(-1e9, 1e9),
    "data.critters.images": COUNT,
    "data.critters.val_images": NOT_NEGATIVE,
    "data.critters.size_px": Range(MIN_CRITTER_PX, 1024),
    "data.critters.seed": NOT_NEGATIVE,
    "data.critters.p_context": SHARE,
    "data.critters.p_coat": SHARE,
    "data.critters.p_empty": SHARE,
    "classifier.seam.shrink": Range(0.05, 0.95),
    "classifier.seam.hardest_share": Range(0.001, 1),
    "classifier.seam.lowest_share": Range(0.001, 1),
    "classifier.seam.classification_weight": Range(0.001, 1000),
    "classifier.cda.area_share": Range(0.001, 1),
    "classifier.cda.max_per_class": COUNT,
    "classifier.cda.angle_degrees": Range(-180, 180),
    "classifier.cda.side_share": Range(0.01, 1),
    "classifier.cda.blur_px": NOT_NEGATIVE,
    "segmenter.aspp_rates": COUNT,
    "classifier.training_stride_px": COUNT,
    "segmenter.aspp_std": Range(0, 1),
    "segmenter.multi_scale": Range(0.05, 0.99),
    "segmenter.accumulate": COUNT,
    "classifier.min_updates": COUNT,
    "segmenter.min_updates": COUNT,
    "segmenter.corrected_weight": COUNT,
    "segmenter.ignore_below": SHARE,
    "evaluate.scales": Range(0.05, 8),
    "evaluate.crf.gaussian": GAUSSIAN,
    "evaluate.crf.bilateral": BILATERAL,
    "evaluate.crf.iterations": NOT_NEGATIVE,
    "evaluate.threshold_steps": Range(2, 10_000),
    "report.gallery_images": NOT_NEGATIVE,
    "runtime.workers": NOT_NEGATIVE,
    "runtime.seed": NOT_NEGATIVE,
    "runtime.max_partners_at_once": COUNT,
    "runtime.images_at_once": COUNT,
    "runtime.cache_mb": NOT_NEGATIVE,
    "runtime.disk_cache_mb": NOT_NEGATIVE,
    "runtime.save_every_s": Range(0, 1e9),
    **{f"{network}.{name}": COUNT for network in ("classifier", "segmenter") for name in ("epochs", "batch_size")},
}
"""The bounds of settings; those of methods and trainings stand beside their defaults (`weakseg.config.bounds`)."""

PAIRS = ("data.pixel_range", "classifier.cda.area_share", "classifier.cda.angle_degrees", "classifier.cda.side_share")
"""Settings that are [smallest, largest], besides those that say so themselves."""

MAY_BE_EMPTY = ("segmenter.multi_scale", "runtime.track")
"""Lists that may hold nothing."""

LARGEST_WHOLE = 10**18 - 1
"""What arrays and generators of random numbers can hold."""


@cache
def setting_ranges() -> dict[str, Bounds]:
    """Return the bounds of every number among the settings, by its dotted path."""
    return _RANGES | {path: limits.bounds for path, limits in walk_limits(RunConfig) if limits.bounds is not None}


@cache
def _find_pairs() -> tuple[str, ...]:
    return (*PAIRS, *(path for path, limits in walk_limits(RunConfig) if limits.ascending))


def check_ranges(config: RunConfig) -> None:
    """Raise a `ConfigError` that names the first setting out of its range, or settings that contradict each other."""
    check_methods(config)
    _check_bounds(config)
    _check_pairs(config)
    check_weights(config)
    check_backbone_names(config.classifier, config.refine)
    check_segmenter(config.segmenter)
    _check_classifier(config)
    check_released(config.classifier, config.refine)
    _check_seeds(config)
    _check_backbones(config)
    _check_crops(config.refine)
    _check_stability(config.refine)
    _check_segmenter_inputs(config)


def _check_bounds(config: RunConfig) -> None:
    for path, bounds in setting_ranges().items():
        value = _get(config, path)
        items = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and not value and path not in MAY_BE_EMPTY:
            raise ConfigError(f"{path}: expected at least one value, got an empty list")
        for item, own in zip(items, bounds if isinstance(bounds, tuple) else len(items) * (bounds,), strict=True):
            if item is None or item == AUTO:
                continue
            assert isinstance(item, int | float), f"{path} is no number"
            if isinstance(item, int) and abs(item) > LARGEST_WHOLE:
                raise ConfigError(f"{path}: expected a whole number of at most 18 digits, got a longer one")
            if not own.holds(item):
                raise ConfigError(f"{path}: expected a value {own}, got {item:g}")
            if math.isinf(item):  # a run's records are JSON, which has no infinity
                raise ConfigError(f"{path}: expected a finite number, got {item:g}; 1e9 is as good as without a limit")


def _check_pairs(config: RunConfig) -> None:
    for path in _find_pairs():
        pair = _get(config, path)
        if pair is None:
            continue
        assert isinstance(pair, tuple)
        low, high = pair
        if low > high:
            raise ConfigError(f"{path}: expected [smallest, largest], got [{low:g}, {high:g}]")


def _check_classifier(config: RunConfig) -> None:
    classifier = config.classifier
    if classifier.cda.masks is not None and classifier.batch_size % 2:
        raise ConfigError(
            f"classifier.batch_size: half of a batch is pasted by classifier.cda, so expected an even number, "
            f"got {classifier.batch_size}"
        )


def _check_seeds(config: RunConfig) -> None:
    splits, refine = config.localize.splits, config.refine
    if not splits:
        raise ConfigError("localize.splits: expected at least one of train, val, got an empty list")
    if refine.background_threshold == AUTO and has_threshold(refine) and "train" not in splits:
        raise ConfigError(
            f"localize.splits: refine.background_threshold '{AUTO}' is chosen on the seeds of 'train', got "
            f"{', '.join(splits)}; add it, or give a number"
        )
    fits = list_fits(refine)
    if fits and "train" not in splits:
        raise ConfigError(
            f"localize.splits: refine.{refine.method}.{fits[0].setting} '{AUTO}' is chosen on the seeds of 'train', "
            f"got {', '.join(splits)}; add it, or give a number"
        )


def _check_backbones(config: RunConfig) -> None:
    """Check that `weights: classifier` has the classifier's own backbone to go into."""
    refine, networks = config.refine, [("segmenter", config.segmenter.name, config.segmenter.weights)]
    trained = None if uses_released_refiner(refine) else refine.network
    if trained is not None:
        networks.insert(0, (f"refine.{refine.method}", trained.name, trained.weights))
    for path, name, weights in networks:
        if weights == "classifier" and name != config.classifier.name:
            raise ConfigError(
                f"{path}.weights: 'classifier' needs the classifier's backbone, but {path}.name is "
                f"{name} and classifier.name is {config.classifier.name}; make them equal or choose "
                "other weights"
            )


def _check_crops(refine: RefineConfig) -> None:
    """Check that the crops a refinement learns from hold a pair, before the stages before it run for hours."""
    network, facts = refine.network, refiner_facts(refine)
    if network is None or uses_released_refiner(refine) or facts is None or facts.trains is None:
        return
    radius, cell_px = getattr(network, "radius", None), facts.trains.cell_px
    if radius is None or cell_px is None:
        return
    cells = 2 * radius - 1
    smallest_px = (cells - 1) * cell_px + 1
    if network.augment.crop_px < smallest_px:
        raise ConfigError(
            f"refine.{refine.method}.augment.crop_px: pairs within a radius of {radius} need {cells} cells of "
            f"{cell_px} px, so expected at least {smallest_px}, got {network.augment.crop_px}; or choose a smaller "
            f"refine.{refine.method}.radius"
        )


def _check_stability(refine: RefineConfig) -> None:
    if max(refine.stable_within) > 1 and not refine.confidence:
        lower, higher = refine.stable_within
        raise ConfigError(
            f"refine.stable_within: [{lower:g}, {higher:g}] takes confidence from pixels whose label hangs on the "
            "threshold, but refine.confidence is false; set it to true, or refine.stable_within to [1, 1]"
        )


def _check_segmenter_inputs(config: RunConfig) -> None:
    segmenter = config.segmenter
    if segmenter.ignore_below > 0 and not config.refine.confidence:
        raise ConfigError(
            f"segmenter.ignore_below: {segmenter.ignore_below:g} needs to know how sure the masks are; set "
            "refine.confidence to true, or segmenter.ignore_below to 0"
        )
    if segmenter.caffe_form and segmenter.weights in ("imagenet", "auto", "classifier"):
        raise ConfigError(
            f"segmenter.caffe_form: '{segmenter.weights}' weights are not in Caffe's form; set it to false, or "
            "segmenter.weights to the path of a checkpoint that is"
        )


def _get(config: RunConfig, path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = getattr(value, name)
    return value
