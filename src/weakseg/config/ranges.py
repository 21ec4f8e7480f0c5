"""Which values a setting may take beyond its type: one literal table, checked once when a recipe is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args, get_type_hints

from weakseg.config.backbones import check_backbone_names
from weakseg.config.paths import check_weights
from weakseg.config.released import check_released, uses_released_refiner
from weakseg.config.schema import PSAConfig, RefineConfig, RunConfig
from weakseg.config.segmenters import check_segmenter
from weakseg.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """Closed bounds; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low:g}"
        if self.low is None:
            return f"at most {self.high:g}"
        return f"within {self.low:g}..{self.high:g}"

    def holds(self, value: float) -> bool:
        """Say whether a number lies within the bounds; NaN never does."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high) and value == value


AUTO = "auto"
"""Where a number is chosen from the data; the type says which settings can be."""

SHARE = Range(0, 1)
COUNT = Range(1)
NOT_NEGATIVE = Range(0)
SIDE_PX = Range(16, 16384)
_WIDTH = Range(0.01)
GAUSSIAN = (_WIDTH, NOT_NEGATIVE)
"""Width and weight of the CRF's kernel on positions; `weakseg.ops.crf` takes no narrower one."""
BILATERAL = (_WIDTH, _WIDTH, NOT_NEGATIVE)
"""Widths and weight of the CRF's kernel on positions and colours."""
MIN_CRITTER_PX = 48
"""Smaller animals have no recognisable head."""

RANGES: dict[str, Range | tuple[Range, ...]] = {
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
    "localize.scales": Range(0.05, 8),
    "localize.compared_images": NOT_NEGATIVE,
    "localize.similarity_temperature": Range(0.001, 1000),
    "localize.lpcam.clusters": Range(1, 1000),
    "localize.lpcam.threshold": SHARE,
    "localize.lpcam.class_score": SHARE,
    "localize.lpcam.context_scores": SHARE,
    "localize.rib.iterations": COUNT,
    "localize.rib.learning_rate": NOT_NEGATIVE,
    "localize.rib.weight_decay": NOT_NEGATIVE,
    "localize.rib.threshold": NOT_NEGATIVE,
    "localize.rib.logit_stop": NOT_NEGATIVE,
    "localize.rib.area_threshold": SHARE,
    "localize.rib.area_ratio": SHARE,
    "localize.rib.partners": NOT_NEGATIVE,
    "localize.rib.partner_augment.long_side_px": SIDE_PX,
    "localize.rib.partner_augment.crop_px": SIDE_PX,
    "localize.rib.partner_augment.colour": SHARE,
    "refine.background_threshold": SHARE,
    "refine.stable_within": Range(1, 100),
    "refine.crf.gaussian": GAUSSIAN,
    "refine.crf.bilateral": BILATERAL,
    "refine.crf.certainty": SHARE,
    "refine.crf.iterations": NOT_NEGATIVE,
    "refine.irn.foreground": SHARE,
    "refine.irn.background": SHARE,
    "refine.irn.radius": Range(2, 64),
    "refine.irn.pad_px": SIDE_PX,
    "refine.irn.walk_radius": Range(2, 64),
    "refine.irn.walk_beta": Range(0.01),
    "refine.irn.walk_doublings": Range(0, 20),
    "refine.irn.seed_power": Range(0.01, 100),
    "refine.irn.instance_threshold": SHARE,
    "refine.psa.low_alpha": Range(0.01, 1000),
    "refine.psa.high_alpha": Range(0.01, 1000),
    "refine.psa.walk_alpha": Range(0.01, 1000),
    "refine.psa.radius": Range(2, 64),
    "refine.psa.walk_beta": Range(0.01),
    "refine.psa.walk_doublings": Range(0, 20),
    "refine.psa.gaussian": GAUSSIAN,
    "refine.psa.bilateral": BILATERAL,
    "refine.psa.crf_iterations": NOT_NEGATIVE,
    "refine.saliency.threshold": SHARE,
    "segmenter.aspp_rates": COUNT,
    "segmenter.aspp_std": Range(0, 1),
    "segmenter.multi_scale": Range(0.05, 0.99),
    "segmenter.accumulate": COUNT,
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
    "runtime.cache_mb": NOT_NEGATIVE,
    **{
        f"{network}.{name}": bounds
        for network in ("classifier", "refine.irn", "refine.psa", "segmenter")
        for name, bounds in {
            "epochs": COUNT,
            "batch_size": COUNT,
            "augment.long_side_px": SIDE_PX,
            "augment.crop_px": SIDE_PX,
            "augment.colour": SHARE,
            "optim.learning_rate": NOT_NEGATIVE,
            "optim.head_multiplier": NOT_NEGATIVE,
            "optim.momentum": Range(0, 0.9999),
            "optim.weight_decay": NOT_NEGATIVE,
            "optim.power": NOT_NEGATIVE,
            "optim.warmup_share": SHARE,
        }.items()
    },
}
"""The bounds of a setting; in a list those of all its entries, or of each."""

PAIRS = (
    "data.pixel_range",
    *(
        f"{section}.long_side_px"
        for section in (
            "classifier.augment",
            "refine.irn.augment",
            "refine.psa.augment",
            "segmenter.augment",
            "localize.rib.partner_augment",
        )
    ),
    "classifier.cda.area_share",
    "classifier.cda.angle_degrees",
    "classifier.cda.side_share",
    "localize.lpcam.context_scores",
)
"""Settings that are [smallest, largest]."""

MAY_BE_EMPTY = ("segmenter.multi_scale",)
"""Lists that may hold nothing."""

_CELL_PX = {"irn": 4, "psa": 8}
"""Pixels to a cell of the networks that learn from pairs of cells."""

LARGEST_WHOLE = 10**18 - 1
"""What arrays and generators of random numbers can hold."""


def check_ranges(config: RunConfig) -> None:
    """Raise a `ConfigError` that names the first setting out of its range, or settings that contradict each other."""
    _check_bounds(config)
    _check_pairs(config)
    check_weights(config)
    check_backbone_names(config.classifier, config.refine.irn)
    check_segmenter(config.segmenter)
    _check_classifier(config)
    check_released(config.classifier, config.refine)
    _check_seeds(config)
    _check_backbones(config)
    _check_refine(config.refine)
    _check_crops(config.refine)
    _check_stability(config.refine)
    _check_segmenter_inputs(config)


def _check_bounds(config: RunConfig) -> None:
    for path, bounds in RANGES.items():
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
    for path in PAIRS:
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
    seam_names = get_args(get_type_hints(PSAConfig)["name"])
    if classifier.method == "seam" and classifier.name not in seam_names:
        raise ConfigError(
            f"classifier.method: 'seam' needs classifier.name to be one of {', '.join(seam_names)}, "
            f"got {classifier.name}"
        )


def _check_seeds(config: RunConfig) -> None:
    splits, refine = config.localize.splits, config.refine
    if config.localize.method == "lpcam" and config.classifier.method == "seam":
        raise ConfigError(
            "localize.method: 'lpcam' needs a plain classifier, but classifier.method is 'seam', whose seeds are its "
            "own refined maps; set localize.method to cam"
        )
    if not splits:
        raise ConfigError("localize.splits: expected at least one of train, val, got an empty list")
    if refine.background_threshold == AUTO and refine.method != "psa" and "train" not in splits:
        raise ConfigError(
            f"localize.splits: refine.background_threshold '{AUTO}' is chosen on the seeds of 'train', got "
            f"{', '.join(splits)}; add it, or give a number"
        )


def _check_backbones(config: RunConfig) -> None:
    """Check that `weights: classifier` has the classifier's own backbone to go into."""
    refine = config.refine
    trained = () if uses_released_refiner(refine) else (f"refine.{refine.method}",)
    for path, network in (("refine.irn", refine.irn), ("refine.psa", refine.psa), ("segmenter", config.segmenter)):
        used = path in ("segmenter", *trained)
        if used and network.weights == "classifier" and network.name != config.classifier.name:
            raise ConfigError(
                f"{path}.weights: 'classifier' needs the classifier's backbone, but {path}.name is "
                f"{network.name} and classifier.name is {config.classifier.name}; make them equal or choose "
                "other weights"
            )


def _check_refine(refine: RefineConfig) -> None:
    irn, psa = refine.irn, refine.psa
    if irn.background > irn.foreground:
        raise ConfigError(
            f"refine.irn.background: expected at most refine.irn.foreground, {irn.foreground:g}, got {irn.background:g}"
        )
    if psa.low_alpha > psa.high_alpha:
        raise ConfigError(
            f"refine.psa.low_alpha: expected at most refine.psa.high_alpha, {psa.high_alpha:g}, got {psa.low_alpha:g}"
        )


def _check_crops(refine: RefineConfig) -> None:
    """Check that the crops a refinement learns from hold a pair, before the stages before it run for hours."""
    network = refine.network
    if network is None or uses_released_refiner(refine):
        return
    cells, cell_px = 2 * network.radius - 1, _CELL_PX[refine.method]
    smallest_px = (cells - 1) * cell_px + 1
    if network.augment.crop_px < smallest_px:
        raise ConfigError(
            f"refine.{refine.method}.augment.crop_px: pairs within a radius of {network.radius} need {cells} cells of "
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
