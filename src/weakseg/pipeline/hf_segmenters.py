"""Starting a segmentation network of `transformers`: from the weights it comes with, a trained one of ours, or none."""

from __future__ import annotations

import logging
from pathlib import Path

from weakseg.config.schema import SegmenterConfig
from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge, fit_state
from weakseg.models.hf_build import build_hf_segmenter
from weakseg.models.hf_segmenter import HFSegmenter
from weakseg.models.hf_source import NetworkSource, find_source
from weakseg.pipeline.artifacts import NetworkFolder, load_info, load_tensors
from weakseg.pipeline.networks import WEIGHTS_FROM
from weakseg.pipeline.runtime import make_generator
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")

PRETRAINED = "pretrained"
"""What `segmenter.weights` may say for such a network: the weights it comes with."""


def start_hf_segmenter(
    config: SegmenterConfig, found: str, classes: ClassSet, folder: NetworkFolder, *, seed: int
) -> tuple[HFSegmenter, str]:
    """Start a network of `transformers`; `auto` falls back to random weights and warns."""
    resumed = folder.checkpoint.is_file()
    wanted = config.weights in (PRETRAINED, "auto") and not resumed
    source = find_source(found, with_weights=wanted)
    if wanted:
        try:
            return _build_hf(config, source, classes, pretrained=True, seed=seed), source.origin
        except ArtifactError as error:
            if config.weights != "auto":
                raise
            logger.warning(
                "starting from random weights, which costs much accuracy on few images: %s (set segmenter.weights to "
                "pretrained, none or a path to decide yourself)",
                error,
            )
    segmenter = _build_hf(config, source, classes, pretrained=False, seed=seed)
    if resumed:
        return segmenter, str(load_info(folder.checkpoint).get(WEIGHTS_FROM))
    if config.weights in ("auto", "none"):
        return segmenter, "random"
    _fill_hf(segmenter, Path(config.weights), classes)
    return segmenter, config.weights


def _build_hf(
    config: SegmenterConfig, source: NetworkSource, classes: ClassSet, *, pretrained: bool, seed: int
) -> HFSegmenter:
    segmenter, fresh = build_hf_segmenter(
        source,
        label_names=classes.label_names,
        pretrained=pretrained,
        fixed_norm=config.fixed_norm,
        generator=make_generator(seed),
    )
    if fresh and pretrained:
        number = sum(1 for _ in segmenter.parameters())
        logger.info("%s: %d of %d parameters start fresh: %s", source.origin, len(fresh), number, abridge(fresh))
    return segmenter


def _fill_hf(segmenter: HFSegmenter, path: Path, classes: ClassSet) -> None:
    """Take over the weights of a trained segmenter: all where it knows the same classes, else the backbone's."""
    tensors, info = load_tensors(path)
    if info.get("classes") == list(classes):
        fit_state(segmenter, tensors, where=str(path))
    else:
        segmenter.load_backbone(tensors, where=str(path))
