"""Building, describing and loading the segmentation network of a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from weakseg.config.bounds import WEIGHTS
from weakseg.config.network_names import hf_name
from weakseg.config.schema import SegmenterConfig
from weakseg.data.base import Dataset, MaskReader
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.models.deeplab import Segmenter, build_segmenter
from weakseg.models.deeplab_weights import LoadedSegmenter, load_segmenter_checkpoint
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_build import labels_pixels, rebuild_hf_segmenter
from weakseg.models.hf_source import find_source, read_config
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.models.weights import find_weights
from weakseg.pipeline.artifacts import NetworkFolder, load_info
from weakseg.pipeline.context import Context
from weakseg.pipeline.hf_backbones import OWN, require_hf_backbone
from weakseg.pipeline.hf_segmenters import PRETRAINED, start_hf_segmenter
from weakseg.pipeline.networks import WEIGHTS_FROM, load_network, plan_training
from weakseg.pipeline.pseudo_masks import corrected_images
from weakseg.pipeline.runtime import make_generator
from weakseg.pipeline.starting import start_backbone, start_hf
from weakseg.train.length import count_epochs
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import TrainingHooks, make_augmentation
from weakseg.train.segment import train_segmenter
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")

NAMED_WEIGHTS = ("imagenet", "none", "auto", "classifier")
"""What `segmenter.weights` may say instead of a path."""

CAFFE_LAYOUTS = ("blocks", "conv2d_list")
"""Layouts whose published checkpoints descend from the DeepLab authors' files for Caffe."""

SEGMENTER = "segmenter"
"""Kind that the weights file of a segmenter gives itself."""


def require_segmenter(config: SegmenterConfig, *, goes_on: bool = False) -> None:
    """Raise at the beginning of a run what would stop it hours later, when its segmenter is built.

    What comes from the network is downloaded here, into caches.

    Args:
        config: What is to be built.
        goes_on: Whether the training goes on from a checkpoint, so that the weights it began with are not needed.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone, or the network's name cannot be one.
        ArtifactError: If the network or its weights are to come from a folder, file or address that is not there.
        MissingExtra: If the network is one of `transformers` and that is not installed.
    """
    if not goes_on and config.weights not in WEIGHTS and not Path(config.weights).is_file():
        raise ArtifactError(f"segmenter.weights: there is no file {config.weights}")
    found = hf_name(config.name)
    if found is None:
        if not goes_on and config.weights == "imagenet":
            find_weights(config.weights, config.name)
        return
    require_hf_backbone("segmenter", found, config.weights, goes_on=goes_on)


def start_segmenter(
    config: SegmenterConfig, classes: ClassSet, folder: NetworkFolder, *, classifier: NetworkFolder, seed: int
) -> tuple[SegmentationNetwork, str]:
    """Build a segmenter with its initial weights, or with any if the folder has a checkpoint to go on from.

    Args:
        config: What to build and where its weights come from.
        classes: The classes.
        folder: Where the segmenter is trained.
        classifier: The run's classifier, whose backbone may serve as a start.
        seed: Seed of random weights.

    Returns:
        The segmenter on the CPU, and where the weights of the training come from, for the metrics.

    Raises:
        ConfigError: If there are no such weights for the network.
        ArtifactError: If weights are missing, damaged or another network's.
        MissingExtra: If the network is one of `transformers` and that is not installed.
    """
    found = hf_name(config.name)
    if found is not None:
        if config.weights != OWN and labels_pixels(read_config(find_source(found, with_weights=False))):
            return start_hf_segmenter(config, found, classes, folder, seed=seed)
        return _start_on_hf(config, classes, folder, classifier=classifier, seed=seed)
    segmenter = build_segmenter(
        config.name,
        num_labels=classes.num_labels,
        aspp_rates=config.aspp_rates,
        fixed_norm=config.fixed_norm,
        multi_scale=config.multi_scale,
        caffe_form=config.caffe_form,
        freeze_trunk=config.freeze_trunk,
        aspp_std=config.aspp_std,
        generator=make_generator(seed),
    )
    if config.weights in NAMED_WEIGHTS or folder.checkpoint.is_file():
        return segmenter, start_backbone(
            segmenter, config.name, config.weights, folder, classifier, section="segmenter"
        )
    loaded = _fill(segmenter, Path(config.weights), classes)
    if loaded.layout in CAFFE_LAYOUTS and not config.caffe_form:
        logger.warning(
            "published weights in the layout '%s' come from Caffe; if these do, set segmenter.caffe_form to true",
            loaded.layout,
        )
    return segmenter, config.weights


def _fill(segmenter: Segmenter, path: Path, classes: ClassSet) -> LoadedSegmenter:
    """Take over a checkpoint of DeepLab-v2, what predicts labels too where it knows the same classes."""
    names = load_info(path).get("classes") if path.suffix == ".safetensors" else None  # other files do not tell
    loaded = load_segmenter_checkpoint(segmenter, path, same_classes=names in (None, list(classes)))
    logger.info("segmenter.weights: %s", loaded.describe())
    return loaded


def _start_on_hf(
    config: SegmenterConfig, classes: ClassSet, folder: NetworkFolder, *, classifier: NetworkFolder, seed: int
) -> tuple[Segmenter, str]:
    """Start DeepLab-v2's convolutions on a backbone of `transformers`."""
    generator = make_generator(seed)
    is_path = config.weights not in (*NAMED_WEIGHTS, PRETRAINED)
    backbone, origin = start_hf(
        "segmenter",
        replace(config, weights="none") if is_path else config,
        folder,
        fixed_norm=config.fixed_norm,
        generator=generator,
        classifier=classifier,
    )
    segmenter = Segmenter(
        backbone,
        num_labels=classes.num_labels,
        aspp_rates=config.aspp_rates,
        freeze_trunk=config.freeze_trunk,
        aspp_std=config.aspp_std,
        generator=generator,
    )
    if is_path and not folder.checkpoint.is_file():
        _fill(segmenter, Path(config.weights), classes)
        return segmenter, config.weights
    return segmenter, origin


def fit_segmenter(
    context: Context,
    segmenter: SegmentationNetwork,
    images: Dataset,
    masks: MaskReader,
    hooks: TrainingHooks,
    *,
    times: int = 1,
) -> tuple[EpochRecord, ...]:
    """Train a segmenter by the recipe's settings; see `weakseg.pipeline.refiner_networks.fit_refiner`.

    Args:
        context: The run.
        segmenter: On its device.
        images: What it learns from.
        masks: Reads their masks.
        hooks: Where to report to and go on from.
        times: How many times as often as others a corrected image is drawn.

    Returns:
        What each epoch brought.
    """
    config, runtime = context.config.segmenter, context.config.runtime
    corrected = corrected_images(context)
    plan = plan_training(config, runtime, accumulate=config.accumulate)
    often = [place for place, sample in enumerate(images) if sample.id in corrected]
    return train_segmenter(
        segmenter,
        images,
        masks,
        augmentation=make_augmentation(config.augment),
        plan=replace(plan, epochs=count_epochs(config, len(images))),
        seed=runtime.seed,
        balance=config.balance,
        often=often,
        times=times,
        hooks=hooks,
    )


def describe_segmenter(
    segmenter: SegmentationNetwork, name: str, classes: ClassSet, *, weights_from: str
) -> dict[str, JsonValue]:
    """Return what the weights file of a segmenter must say of itself to be loaded without its recipe.

    Args:
        segmenter: The network.
        name: Its name in the recipe.
        classes: The classes.
        weights_from: Where its training began, see `start_segmenter`.
    """
    return {
        "kind": SEGMENTER,
        "name": name,
        "classes": list(classes),
        **segmenter.architecture(),
        WEIGHTS_FROM: weights_from,
    }


def load_segmenter(path: Path, device: torch.device) -> tuple[SegmentationNetwork, ClassSet]:
    """Load a trained segmenter for inference.

    Returns:
        The segmenter in evaluation mode on `device`, and its classes.

    Raises:
        ArtifactError: If the file is missing, damaged or no segmenter.
        MissingExtra: If the segmenter is one of `transformers` and that is not installed.
    """

    def build(name: str, classes: ClassSet, info: dict[str, JsonValue]) -> SegmentationNetwork:
        if hf_name(name) is not None and "aspp_rates" not in info:
            return rebuild_hf_segmenter(info, label_names=classes.label_names, fixed_norm=True, where=str(path))
        rates = info.get("aspp_rates")
        if not isinstance(rates, list) or not all(isinstance(rate, int) for rate in rates):
            raise ArtifactError(f"{path}: expected the dilations of a segmenter, got {rates}")
        scales = info.get("multi_scale", [])  # older files know of no scales
        if not isinstance(scales, list) or not all(isinstance(scale, float) for scale in scales):
            raise ArtifactError(f"{path}: expected the further scales of a segmenter, got {scales}")
        if hf_name(name) is not None:
            backbone = rebuild_hf_backbone(info, fixed_norm=True, where=str(path))
            return Segmenter(backbone, num_labels=classes.num_labels, aspp_rates=rates)
        return build_segmenter(
            name,
            num_labels=classes.num_labels,
            aspp_rates=rates,
            fixed_norm=True,
            multi_scale=scales,
            caffe_form=info.get("caffe_form") is True,
        )

    return load_network(path, SEGMENTER, build, device)
