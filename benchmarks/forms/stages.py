"""The stages of a recipe in two forms: plain, and as `weakseg run` computes them; benchmarks/chain.py times both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.data.transforms import resize_labels
from weakseg.localize.cam import score_maps
from weakseg.models.classifier import Classifier
from weakseg.models.lite_layers import ConvNorm, StridedConv2d
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.ops.images import limit_side
from weakseg.pipeline.networks import make_plan
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.side_by_side import run_side_by_side
from weakseg.refine.crf import crf_mask
from weakseg.train.classify import train_classifier
from weakseg.train.plan import TrainingPlan, make_augmentation
from weakseg.train.segment import train_segmenter
from weakseg.types import Sample, ScoreMaps

Result = TypeVar("Result")

EPOCHS = 2
"""Of a timed training; the first one fills the cache."""

THRESHOLD = 0.15
"""Background threshold of the masks; their time hardly depends on it."""


@contextmanager
def plain_layers() -> Iterator[None]:
    """Run EfficientNet-Lite's layers as they are written down."""

    def convolve(layer: StridedConv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        stride, reach = layer.stride[0], layer.kernel_size[0] // 2 * layer.dilation[0]
        before = reach - (1 if stride > 1 and layer.place == "second" else 0)
        after = [2 * reach - 1 + length % 2 - before if stride > 1 else reach for length in x.shape[2:]]
        padded = nn.functional.pad(x, (before, max(0, after[1]), before, max(0, after[0])))
        return nn.functional.conv2d(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)

    def forward(layer: ConvNorm, x: Tensor) -> Tensor:
        x = layer.norm(layer.conv(x))
        return nn.functional.relu6(x) if layer.rectify else x

    with patch.object(StridedConv2d, "run", convolve), patch.object(ConvNorm, "forward", forward):
        yield


def lay_out(network: nn.Module, is_plain: bool) -> None:
    """Lay weights out as the form has them."""
    if is_plain:
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    else:
        place_network(network, torch.device("cpu"))


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's weights."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def plan_for(config: RunConfig, section: str, is_plain: bool) -> TrainingPlan:
    """Return the recipe's plan of a short training; the plain one keeps no images."""
    part = config.classifier if section == "classifier" else config.segmenter
    return make_plan(
        part.optim,
        epochs=EPOCHS,
        batch_size=part.batch_size,
        workers=0,
        cache_mb=0 if is_plain else config.runtime.cache_mb,
    )


def load(config: RunConfig, train: Dataset, sample: Sample, is_plain: bool) -> ShrunkImage:
    """Decode an image as a network sees it."""
    if not is_plain:
        return train.load_shrunk(sample, config.data.max_side_px)
    image = train.load_image(sample)
    return ShrunkImage(limit_side(image, config.data.max_side_px), (image.shape[0], image.shape[1]))


def run_all(work: Callable[[Sample], Result], samples: Sequence[Sample], is_plain: bool) -> list[Result]:
    """Work on images one after the other, each with all threads, or side by side."""
    threads = 1 if is_plain else torch.get_num_threads()
    return list(run_side_by_side(work, samples, threads=threads, is_large=lambda sample: False))


def seed_of(config: RunConfig, classifier: Classifier, train: Dataset, sample: Sample, is_plain: bool) -> ScoreMaps:
    """Return an image's score maps, to be rebuilt at the size of its small copy."""
    image = load(config, train, sample, is_plain)
    return score_maps(classifier, image.pixels, sample.tags, scales=config.localize.scales)


def mask_of(config: RunConfig, train: Dataset, sample: Sample, seed: ScoreMaps, is_plain: bool) -> NDArray[np.uint8]:
    """Return an image's mask after the CRF, at full size."""
    crf, image = config.refine.crf, load(config, train, sample, is_plain)
    mask = crf_mask(
        image.pixels,
        seed.full().numpy(),
        seed.keys,
        background_threshold=THRESHOLD,
        settings=crf.as_value(),
    )
    return resize_labels(mask, image.size_hw)


def fit(
    config: RunConfig, classifier: Classifier, start: dict[str, Tensor], train: Dataset, is_plain: bool
) -> list[Tensor]:
    """Train the classifier from its start, and return the losses."""
    classifier.load_state_dict(start)
    lay_out(classifier, is_plain)
    history = train_classifier(
        classifier,
        train,
        None,
        augmentation=make_augmentation(config.classifier.augment),
        plan=plan_for(config, "classifier", is_plain),
        seed=0,
    )
    return [torch.tensor([record.loss for record in history])]


def fit_segmenter(
    config: RunConfig,
    segmenter: SegmentationNetwork,
    start: dict[str, Tensor],
    train: Dataset,
    masks: dict[str, NDArray[np.uint8]],
    is_plain: bool,
) -> list[Tensor]:
    """Train the segmenter from its start, and return the losses."""
    segmenter.load_state_dict(start)
    lay_out(segmenter, is_plain)

    def read(sample: Sample) -> NDArray[np.uint8]:
        return masks[sample.id]

    history = train_segmenter(
        segmenter,
        train,
        read,
        augmentation=make_augmentation(config.segmenter.augment),
        plan=plan_for(config, "segmenter", is_plain),
        seed=0,
    )
    return [torch.tensor([record.loss for record in history])]
