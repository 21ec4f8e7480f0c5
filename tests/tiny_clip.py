"""A CLIP of `transformers`, tiny and random; nothing is downloaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import CLIPModel

WIDTH, LAYERS, HEADS, LENGTH, PATCH_PX, IMAGE_PX = 12, 10, 2, 5, 4, 12
"""More layers than the eight whose attention is averaged; `LENGTH` is that of the embeddings."""


def make_clip(*, seed: int = 0) -> CLIPModel:
    """Build it in training mode, with weights large enough that attention is not even."""
    transformers = importlib.import_module("transformers")
    tower = {"num_attention_heads": HEADS, "intermediate_size": 16, "projection_dim": LENGTH}
    text = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 20, "max_position_embeddings": 7}
    text |= {"bos_token_id": 18, "eos_token_id": 19}
    vision = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "patch_size": PATCH_PX, "image_size": IMAGE_PX}
    config = transformers.CLIPConfig(
        text_config={**tower, **text}, vision_config={**tower, **vision}, projection_dim=LENGTH
    )
    clip: CLIPModel = transformers.CLIPModel(config)
    clip.set_attn_implementation("eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in clip.parameters():
            if parameter.ndim:
                parameter.normal_(std=0.4, generator=generator)
        # Sixteenths, whose means of four half precision holds as they are: it rounds nothing at twice the size.
        positions = clip.vision_model.embeddings.position_embedding.weight
        positions.mul_(16).round_().div_(16)
    return clip.train()
