"""Class-agnostic masks of an image by a SAM of `transformers`: SAM, SlimSAM, SAM 2, from the hub or a folder.

The library's pipeline `mask-generation` asks the network for the mask at every point of a grid and keeps those it is
sure of. It takes out what overlaps by a function of torchvision; here a few lines do that, so that SAM and its kin need
no further package. The image processor of SAM 2 is written with torchvision, and needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models.hf_source import (
    NetworkSource,
    find_source,
    first_line,
    import_transformers,
    quiet_transformers,
    read_config,
    require_weights,
)

POINTS_AT_ONCE = 64
"""Points that the network sees at once."""

OVERLAP = 0.7
"""Of masks whose boxes overlap by more (intersection over union) the surest is kept, as in SAM's generator."""


@dataclass(frozen=True, eq=False)
class ScoredMasks:
    """The masks of an image.

    Args:
        masks: (M, H, W) bool, the surest first; they may overlap, and M may be 0.
        scores: How sure the network is of each, 0..1; empty where nothing tells.
    """

    masks: NDArray[np.bool_]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class MaskOptions:
    """Which masks are made; defaults are SAM's.

    Args:
        points_per_side: Points of the grid along a side of the image.
        least_score: Masks of which the network is less sure are left out, 0..1.
        least_stability: So are those that change more with the threshold of their pixels, 0..1.

    Raises:
        ConfigError: If a number is out of its range.
    """

    points_per_side: int = 32
    least_score: float = 0.88
    least_stability: float = 0.95

    def __post_init__(self) -> None:
        if self.points_per_side < 1:
            raise ConfigError(f"--points: expected 1 or more, got {self.points_per_side}")
        for name, value in (("--least-score", self.least_score), ("--least-stability", self.least_stability)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}: expected a share within 0..1, got {value}")


class ImageProcessor(Protocol):
    """What is replaced of the library's image processors."""

    post_process_for_mask_generation: Callable[..., object]


class Pipeline(Protocol):
    """The library's pipeline."""

    def __call__(
        self,
        image: Image.Image,
        *,
        points_per_batch: int,
        points_per_crop: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        crops_nms_thresh: float,
    ) -> Mapping[str, Sequence[object]]:
        """Return `masks` and `scores`."""
        ...


def open_mask_generator(
    name: str, *, device: torch.device, options: MaskOptions, setting: str
) -> Callable[[NDArray[np.uint8]], ScoredMasks]:
    """Load a network that makes class-agnostic masks.

    Args:
        name: A repository of the hub, or a folder as `save_pretrained` writes it.
        device: Where it runs.
        options: Which masks are made.
        setting: What holds the name, for messages.

    Returns:
        What makes the masks of an image (H, W, 3) uint8 RGB.

    Raises:
        MissingExtra: If `transformers`, or torchvision for a network that needs it, is not installed.
        ConfigError: If the network makes no such masks.
        ArtifactError: If it is not there, or its weights are damaged.
    """
    source = find_source(name, with_weights=True, setting=setting, prefix="")
    pipeline = _build(source, device, setting=setting)

    def make(image: NDArray[np.uint8]) -> ScoredMasks:
        with torch.no_grad():
            found = pipeline(
                Image.fromarray(image),
                points_per_batch=POINTS_AT_ONCE,
                points_per_crop=options.points_per_side,
                pred_iou_thresh=options.least_score,
                stability_score_thresh=options.least_stability,
                crops_nms_thresh=OVERLAP,
            )
        masks = [np.asarray(mask, np.bool_) for mask in found["masks"]]
        stacked = np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), np.bool_)
        return ScoredMasks(stacked, tuple(torch.as_tensor(found["scores"]).float().tolist()))

    return make


def keep_apart(boxes: Tensor, scores: Tensor, *, overlap: float) -> Tensor:
    """Choose boxes that do not overlap much, the surest first (greedy non-maximum suppression).

    Args:
        boxes: (N, 4) left, top, right, bottom; N may be 0. Not modified.
        scores: (N,).
        overlap: Of boxes whose intersection over union exceeds this the surer one stays, the first of equals.

    Returns:
        Places (M,) int64 of those that stay, by descending score.
    """
    order = scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        shared = torch.minimum(boxes[rest, 2:], boxes[first, 2:]) - torch.maximum(boxes[rest, :2], boxes[first, :2])
        common = shared.clamp(min=0).prod(dim=1)
        order = rest[common <= overlap * (areas[rest] + areas[first] - common)]
    return torch.tensor(kept, dtype=torch.int64)


def _build(source: NetworkSource, device: torch.device, *, setting: str) -> Pipeline:
    transformers = import_transformers(setting=setting, prefix="")
    folder, kind = require_weights(source), read_config(source).get("model_type")
    families = transformers.models.auto.modeling_auto.MODEL_FOR_MASK_GENERATION_MAPPING_NAMES
    if kind not in families:
        raise ConfigError(
            f"{setting}: expected a network that makes masks of anything ({', '.join(sorted(families))}), got '{kind}' "
            f"in {source.origin}"
        )
    processor = _load_processor(source, setting=setting)
    processor.post_process_for_mask_generation = _keep_some
    try:
        with quiet_transformers():
            network: nn.Module = transformers.AutoModelForMaskGeneration.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True, weights_only=True
            )
            pipeline: Pipeline = transformers.pipeline(
                "mask-generation", model=network.eval(), image_processor=processor, device=device
            )
    except Exception as error:  # unpickling, safetensors, and the network's own code
        raise ArtifactError(f"{folder}: cannot load the network ({first_line(error)})") from error
    return pipeline


def _load_processor(source: NetworkSource, *, setting: str) -> ImageProcessor:
    transformers = import_transformers()
    try:
        with quiet_transformers():
            processor: ImageProcessor = transformers.AutoImageProcessor.from_pretrained(
                str(source.folder), backend="pil", local_files_only=True
            )
    except Exception as error:  # each version of the library complains by other kinds
        if "torchvision" in str(error).lower():
            raise MissingExtra(
                f"{setting}: the image processor of {source.origin} needs torchvision: pip install torchvision"
            ) from error
        raise ArtifactError(f"{source.origin}: not a readable image processor ({first_line(error)})") from error
    return processor


def _keep_some(
    all_masks: Sequence[Mapping[str, Sequence[int]]], all_scores: Tensor, all_boxes: Tensor, crops_nms_thresh: float
) -> tuple[list[NDArray[np.bool_]], Tensor, list[Mapping[str, Sequence[int]]], Tensor]:
    """Do what the library's image processors do at last, without torchvision."""
    kept = keep_apart(all_boxes.float().cpu(), all_scores.float().cpu(), overlap=crops_nms_thresh)
    codes = [all_masks[place] for place in kept.tolist()]
    places = kept.to(all_scores.device)
    return [_decode(code) for code in codes], all_scores[places], codes, all_boxes[places]


def _decode(code: Mapping[str, Sequence[int]]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of run lengths column by column, the first being of what is outside."""
    height, width = code["size"]
    flags = np.arange(len(code["counts"])) % 2 == 1
    mask: NDArray[np.bool_] = np.repeat(flags, code["counts"]).reshape(width, height).T
    return mask
