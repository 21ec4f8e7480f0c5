"""Finding a SAM 3 of `transformers`, and asking it where an image shows what a text says.

SAM 3 takes images as squares of one size. Its image processor is written with torchvision; the few lines of it that
matter are here, so that nothing more need be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, MissingExtra
from weakseg.files import JsonValue
from weakseg.models.checkpoints import abridge
from weakseg.models.clip_source import TOKENIZER_FILES, CLIPSource, Tokenizer, find_tokenizer, load_tokenizer
from weakseg.models.hf_source import (
    PROCESSOR_NAMES,
    NetworkSource,
    find_source,
    first_line,
    import_transformers,
    quiet_transformers,
    require_weights,
)

TEXT_LENGTH = 32
"""Texts are padded to so many tokens, as by the library's processor."""

_MEAN = _STD = (0.5, 0.5, 0.5)
"""What images are normalised by where no file says otherwise."""

_BYTE = 255


class Found(Protocol):
    """What is used of the network's answer."""

    pred_logits: Tensor
    pred_masks: Tensor
    presence_logits: Tensor


class SAM3(nn.Module):
    """What is used of `transformers.Sam3Model`, for type checkers."""

    def get_text_features(self, *, input_ids: Tensor, attention_mask: Tensor) -> object:
        """Embed texts."""
        raise NotImplementedError

    def get_vision_features(self, pixel_values: Tensor) -> object:
        """Embed an image."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """An embedded text, and which of its tokens count."""

    features: object
    mask: Tensor


@dataclass(frozen=True)
class Presence:
    """Where an image shows what a text says.

    Args:
        scores: (h, w) float32 in 0..1: of every mask the network proposes its values times its score, the largest.
        present: How likely the image shows it at all, 0..1.
    """

    scores: Tensor
    present: float


@dataclass(frozen=True, eq=False)
class Segmenter3:
    """A SAM 3 at work.

    Args:
        network: In evaluation mode, without gradients.
        tokenizer: Its tokenizer.
        side_px: Side of the square that images become.
        mean: Subtracted from values in 0..1.
        std: What the difference is divided by.
    """

    network: SAM3
    tokenizer: Tokenizer
    side_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.network.parameters()).device

    def embed_text(self, text: str) -> TextFeatures:
        """Embed a text; of a long one the end is left out."""
        tokens = self.tokenizer(
            [text], padding="max_length", truncation=True, max_length=TEXT_LENGTH, return_tensors="pt"
        )
        ids, mask = (tokens[name].to(self.device) for name in ("input_ids", "attention_mask"))
        with torch.no_grad():
            return TextFeatures(self.network.get_text_features(input_ids=ids, attention_mask=mask), mask)

    def embed_image(self, image: NDArray[np.uint8]) -> object:
        """Embed an image (H, W, 3) uint8 RGB, once for all texts."""
        square = Image.fromarray(image).resize((self.side_px, self.side_px), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.asarray(square, np.float32) / _BYTE).permute(2, 0, 1)
        mean, std = (torch.tensor(three)[:, None, None] for three in (self.mean, self.std))
        with torch.no_grad():
            return self.network.get_vision_features(((values - mean) / std)[None].to(self.device))

    def find(self, image: object, text: TextFeatures) -> Presence:
        """Ask where an embedded image shows an embedded text."""
        with torch.no_grad():
            found = cast(
                "Found",
                self.network(vision_embeds=image, text_embeds=text.features, attention_mask=text.mask),
            )
            scores = found.pred_logits[0].sigmoid()
            masks = found.pred_masks[0].sigmoid() * scores[:, None, None]
            return Presence(masks.amax(dim=0).float(), float(found.presence_logits[0].sigmoid().max()))


def find_sam3(name: str, *, section: str, tokenizer: str | None) -> tuple[NetworkSource, Path]:
    """Find a SAM 3 with its weights, and the folder of its tokenizer; what comes from the hub is downloaded.

    Raises:
        MissingExtra: If `transformers` is not installed, or is too old to know SAM 3.
        ConfigError: If a name cannot be that of a repository.
        ArtifactError: If there is no such file or folder, it lacks weights, or the download fails.
    """
    setting = f"{section}.model"
    transformers = import_transformers(setting=setting, prefix="")
    if not hasattr(transformers, "Sam3Model"):
        raise MissingExtra(
            f"{setting}: transformers {transformers.__version__} has no SAM 3 yet: pip install --upgrade transformers"
        )
    source = find_source(name, with_weights=True, setting=setting, prefix="", more=TOKENIZER_FILES)
    require_weights(source)
    return source, find_tokenizer(CLIPSource(None, source), tokenizer, section=section)


def load_sam3(source: NetworkSource, tokenizer: Path) -> Segmenter3:
    """Build a SAM 3 with its weights, in float32 on the CPU.

    Raises:
        ArtifactError: If weights or tokenizer are missing, damaged or another network's.
    """
    folder = require_weights(source)
    try:
        with quiet_transformers():
            network, info = import_transformers().Sam3Model.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True, weights_only=True, output_loading_info=True
            )
    except Exception as error:  # unpickling, safetensors, and the network's own code
        raise ArtifactError(f"{folder}: cannot load a SAM 3 ({first_line(error)})") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ArtifactError(f"{source.origin}: its weights lack {len(missing)} of SAM 3's: {abridge(missing)}")
    side = network.config.vision_config.backbone_config.image_size
    values = _read_processor(folder)
    return Segmenter3(
        network=cast("SAM3", network.eval().requires_grad_(False)),
        tokenizer=load_tokenizer(tokenizer),
        side_px=int(side if isinstance(side, int) else side[0]),
        mean=_three(values.get("image_mean"), _MEAN),
        std=_three(values.get("image_std"), _STD),
    )


def _read_processor(folder: Path) -> Mapping[str, JsonValue]:
    """Return what the image processor's file says; nothing where there is none."""
    for name in PROCESSOR_NAMES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            values = decode_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: not a readable image processor ({error})") from None
        if isinstance(values, dict):
            inner = values.get("image_processor", values)
            if isinstance(inner, dict) and "image_mean" in inner:
                return inner
    return {}


def _three(values: JsonValue, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != len(otherwise):
        return otherwise
    return tuple(float(value) for value in values if isinstance(value, int | float))
