"""CLIP-ES: maps from a CLIP that has never seen a tag of the data set (Lin et al., CVPR 2023).

CLIP is asked which of some texts fits the image: its own tags, and words for backgrounds that are no class. The
gradient of a tag's softmax probability tells which patches speak for it; because the texts compete, what speaks for
another tag or a background counts against it. Then every map is spread along CLIP's own attention, within boxes around
its strong parts.

The released code is https://github.com/linyq2117/CLIP-ES (MIT); the words it asks with are in `clip_prompts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.clip_prompts import BOX_THRESHOLD
from weakseg.localize.clip_texts import TextEmbeddings
from weakseg.localize.frame import fit_frame
from weakseg.localize.score_maps import tagged_classes, zero_maps
from weakseg.models.clip_parts import CLIPNetwork
from weakseg.models.clip_passes import attend, attend_openly, embed_image, finish_block
from weakseg.ops.images import require_image, resize_image, scaled_size_hw
from weakseg.ops.kinds import require_tensor
from weakseg.types import ScoreMaps

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of red, green and blue in 0..1 that CLIP's images are normalised by."""

CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Their standard deviation."""

ATTENTION_LAYERS = 8
"""The attention of this many layers, the last ones, is averaged."""

BALANCINGS = 3
"""How often the attention's columns and then its rows are made to sum to 1."""

_RANGE_EPS = 1e-7
_BYTE = 255
_TOUCHING = np.ones((3, 3), np.bool_)
"""Parts of a map that meet at a corner are one."""


def clip_input(image: NDArray[np.uint8], *, patch_px: int = 16) -> Tensor:
    """Turn an image into what `grad_cam` takes.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        patch_px: Side of the network's patches; each side of the image is rounded up to a multiple, by Pillow's bicubic
            filter.

    Returns:
        (1, 3, H', W') float32 on the CPU, normalised as CLIP expects.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, or a patch has no pixel.
    """
    require_image(image)
    if patch_px < 1:
        raise ShapeError(f"patch_px: expected 1 or more, got {patch_px}")
    height, width = (math.ceil(side / patch_px) * patch_px for side in image.shape[:2])
    values = torch.from_numpy(resize_image(image, (height, width)).astype(np.float32)).permute(2, 0, 1) / _BYTE
    mean, std = torch.tensor(CLIP_MEAN)[:, None, None], torch.tensor(CLIP_STD)[:, None, None]
    return ((values - mean) / std)[None].contiguous()


def grad_cam(clip: CLIPNetwork, image: Tensor, text_embeddings: Tensor, *, num_tags: int) -> tuple[Tensor, Tensor]:
    """Find where an image speaks for its tags, and what CLIP's patches attend to.

    As released: the image is the mean of its patches' projected features, not the class token's; the gradients are
    those of each tag's softmax probability by the last block's first layer norm; position embeddings are resampled
    bilinearly and rounded to half precision. Only the last block is differentiated, once per tag.

    Args:
        clip: `transformers`' CLIPModel with a vision transformer, in any mode; its weights and gradients stay as they
            are.
        image: (1, 3, H, W) float, normalised as by `clip_input`, both sides multiples of the patch. Not modified.
        text_embeddings: (T, D) float, projected and of any length: the image's tags first, then the backgrounds. Not
            modified.
        num_tags: How many of the texts are tags, K, 0..T.

    Returns:
        Maps (K, h, w) float32 in 0..1, one per tag, each from 0 to 1 unless it is 0 everywhere; and the attention
        (h * w, h * w) float32 of the last eight layers, averaged over layers and heads, the class token left out. Both
        are on the device of `clip` and without history; h and w are the image's sides in patches.

    Raises:
        ShapeError: If image or texts are not as described, or do not fit the network.
    """
    weight = clip.visual_projection.weight
    _require_inputs(clip, image, text_embeddings, num_tags=num_tags)
    vision = clip.vision_model
    grid_hw = tuple(side // vision.config.patch_size for side in image.shape[2:])
    *blocks, last = vision.encoder.layers
    averaged = min(ATTENTION_LAYERS, len(blocks) + 1)
    with torch.no_grad():
        tokens = vision.pre_layrnorm(embed_image(vision.embeddings, image.to(weight)))
        total: Tensor | None = None
        for place, block in enumerate(blocks):
            if place <= len(blocks) - averaged:
                tokens = finish_block(block, tokens + attend(block.self_attn, block.layer_norm1(tokens)))
                continue
            attended, attention = attend_openly(block.self_attn, block.layer_norm1(tokens))
            total = attention if total is None else total.add_(attention)
            tokens = finish_block(block, tokens + attended)
        normed = last.layer_norm1(tokens)
    with torch.enable_grad():
        normed = normed.detach().requires_grad_()
        attended, attention = attend_openly(last.self_attn, normed)
        total = attention.detach() if total is None else total.add_(attention.detach())
        features = vision.post_layernorm(finish_block(last, tokens + attended))[:, 1:].mean(dim=1)
        pooled = nn.functional.normalize(clip.visual_projection(features), dim=-1)
        texts = nn.functional.normalize(text_embeddings.detach().to(weight), dim=-1)
        probabilities = (clip.logit_scale.exp() * pooled @ texts.T).softmax(dim=-1)[0]
        maps = [_weigh(normed, probabilities[tag]) for tag in range(num_tags)]
    stacked = torch.stack(maps) if maps else normed.new_zeros(0, math.prod(grid_hw))
    mean_attention = (total / averaged)[1:, 1:].float()
    return _stretch(_stretch(stacked.detach().float().relu())).reshape(num_tags, *grid_hw), mean_attention


def clip_score_maps(
    clip: CLIPNetwork,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    texts: TextEmbeddings,
    *,
    scales: Sequence[float] = (1.0,),
    box_threshold: float = BOX_THRESHOLD,
) -> ScoreMaps:
    """Compute the refined maps of an image's own tags.

    As released, a refined map is stretched to 0..1. CLIP's patches cover just the image; see `weakseg.localize.frame`.

    Args:
        clip: As for `grad_cam`.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        texts: Embeddings of the classes and backgrounds, on the device of `clip`.
        scales: Factors the image is resized by (bicubic); the release has 1 alone. Memory and time grow with the
            fourth power.
        box_threshold: See `attention_refine`.

    Returns:
        One (K, h, w) float32 map stack per scale in 0..1, for the K tagged classes in ascending order, on the device of
        `clip`. An image without tags costs no network pass and gives maps with K = 0.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, or a scale is not above 0.
    """
    require_image(image)
    size_hw = (image.shape[0], image.shape[1])
    keys = tagged_classes(tags, num_classes=len(texts.classes))
    patch_px, device = clip.vision_model.config.patch_size, clip.visual_projection.weight.device
    if not keys:
        return zero_maps(keys, size_hw, scales=scales, stride_px=patch_px, device=device)
    found = []
    for scale in scales:
        seen = clip_input(resize_image(image, scaled_size_hw(size_hw, scale)), patch_px=patch_px).to(device)
        maps, attention = grad_cam(clip, seen, texts.of(keys), num_tags=len(keys))
        refined = attention_refine(maps, attention, box_threshold=box_threshold)
        found.append(fit_frame(_stretch(refined.flatten(1)).reshape(refined.shape), size_hw))
    return ScoreMaps(keys, tuple(found), size_hw)


def attention_refine(maps: Tensor, attention: Tensor, *, box_threshold: float = BOX_THRESHOLD) -> Tensor:
    """Spread maps along an attention, each within boxes around its own strong parts.

    The attention is balanced (columns and rows summing to 1, three times), made symmetric and applied twice. Before,
    a map loses what lies outside the boxes of its parts above a share of its maximum, parts being pixels that touch,
    also at corners. As released, the map is cut to 256 levels first, and a box never holds the last row and column: a
    part there alone is lost.

    Args:
        maps: (K, h, w) float in 0..1, each with a maximum of 1, as `grad_cam` returns them; K may be 0. Not modified.
        attention: (h * w, h * w) float, positive, row by row what a patch attends to. Not modified.
        box_threshold: Share of a map's maximum, 0..1: 0.4 for VOC, 0.7 for COCO.

    Returns:
        (K, h, w) in the dtype and on the device of `maps`, non-negative, not normalised; 0 for a map without parts.
        Memory grows with the square of the number of patches, time too.

    Raises:
        ShapeError: If the tensors are not as described, or maps hold other values than 0..1.
        ConfigError: If the share is not within 0..1.
    """
    if not 0 <= box_threshold <= 1:
        raise ConfigError(f"box_threshold: expected a share within 0..1, got {box_threshold}")
    _require_maps(maps, attention)
    with torch.no_grad():
        walk = attention.to(device=maps.device, dtype=torch.float32)
        for _ in range(BALANCINGS):
            walk = walk / walk.sum(dim=0, keepdim=True)
            walk = walk / walk.sum(dim=1, keepdim=True)
        walk = (walk + walk.T) / 2
        boxes = np.stack([_boxes(own, box_threshold) for own in maps.float().cpu().numpy()]) if len(maps) else None
        if boxes is None:
            return maps.clone()
        boxed = maps.float() * torch.from_numpy(boxes).to(maps.device)
        # Twice a product with K vectors instead of the square of the matrix.
        spread = walk @ (walk @ boxed.flatten(1).T)
        return spread.T.reshape(maps.shape).to(maps.dtype)


def _weigh(normed: Tensor, probability: Tensor) -> Tensor:
    """Return the sum (hw,) of the patches' channels, each weighed by its mean gradient."""
    (gradients,) = torch.autograd.grad(probability, normed, retain_graph=True)
    return normed[0, 1:] @ gradients[0, 1:].mean(dim=0)


def _stretch(maps: Tensor) -> Tensor:
    """Stretch maps (K, hw) to 0..1; the release does so twice, which the small number below makes visible."""
    if 0 in maps.shape:
        return maps
    risen = maps - maps.amin(dim=1, keepdim=True)
    return risen / (risen.amax(dim=1, keepdim=True) + _RANGE_EPS)


def _boxes(own: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """Return where the boxes (h, w) of a map's strong parts are."""
    levels = (own * _BYTE).astype(np.uint8)
    parts, _ = ndimage.label(levels > int(share * levels.max()), structure=_TOUCHING)
    inside = np.zeros(own.shape, np.bool_)
    last_row, last_column = own.shape[0] - 1, own.shape[1] - 1
    for rows, columns in ndimage.find_objects(parts):
        inside[rows.start : min(rows.stop, last_row), columns.start : min(columns.stop, last_column)] = True
    return inside


def _require_inputs(clip: CLIPNetwork, image: Tensor, text_embeddings: Tensor, *, num_tags: int) -> None:
    require_tensor(image, "image")
    require_tensor(text_embeddings, "text embeddings")
    patch_px = clip.vision_model.config.patch_size
    if image.ndim != 4 or image.shape[:2] != (1, 3) or not image.is_floating_point():
        raise ShapeError(f"expected a float image (1, 3, H, W), got {image.dtype} {tuple(image.shape)}")
    if 0 in image.shape or any(side % patch_px for side in image.shape[2:]):
        raise ShapeError(
            f"expected an image whose sides are multiples of {patch_px} px, got {image.shape[2]} x {image.shape[3]}; "
            "see `clip_input`"
        )
    length = clip.visual_projection.out_features
    texts = text_embeddings
    if texts.ndim != 2 or texts.shape[0] < 1 or texts.shape[1] != length or not texts.is_floating_point():
        raise ShapeError(f"expected float text embeddings (T, {length}), got {texts.dtype} {tuple(texts.shape)}")
    if not 0 <= num_tags <= texts.shape[0]:
        raise ShapeError(f"num_tags: expected 0..{texts.shape[0]}, the number of texts, got {num_tags}")


def _require_maps(maps: Tensor, attention: Tensor) -> None:
    require_tensor(maps, "maps")
    require_tensor(attention, "attention")
    if maps.ndim != 3 or not maps.is_floating_point() or 0 in maps.shape[1:]:
        raise ShapeError(f"expected float maps (K, h, w), got {maps.dtype} {tuple(maps.shape)}")
    patches = maps.shape[1] * maps.shape[2]
    if attention.shape != (patches, patches) or not attention.is_floating_point():
        raise ShapeError(
            f"expected a float attention ({patches}, {patches}) between the maps' pixels, got {attention.dtype} "
            f"{tuple(attention.shape)}"
        )
    if maps.numel() and not bool(((maps >= 0) & (maps <= 1)).all()):  # false for NaN
        raise ShapeError("expected maps within 0..1; divide each by its maximum first")
