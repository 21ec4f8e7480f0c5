"""A CLIP's image tower piece by piece: tokens of an image of any size, and blocks whose attention can be seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from weakseg.models.clip_parts import Attention, Block, Embeddings


def embed_image(embeddings: Embeddings, image: Tensor) -> Tensor:
    """Return the tokens (1, 1 + hw, D) of an image, with position embeddings resampled to its size."""
    patches = embeddings.patch_embedding(image)
    positions = embeddings.position_embedding.weight
    side = math.isqrt(positions.shape[0] - 1)
    grid = positions[1:].T.reshape(1, -1, side, side)
    grid = nn.functional.interpolate(grid, patches.shape[2:], mode="bilinear", align_corners=False)
    tokens = patches.flatten(2).transpose(1, 2)
    tokens = torch.cat([embeddings.class_embedding.expand(1, 1, -1), tokens], dim=1)
    # CLIP-ES's release rounds them to half precision, whatever the network's; its maps differ by 2e-4 without.
    return tokens + torch.cat([positions[:1], grid[0].flatten(1).T]).half().to(tokens)


def attend(attention: Attention, tokens: Tensor) -> Tensor:
    """Return what self-attention gives (1, N, D), in the quickest way."""
    queries, keys, values = _project(attention, tokens)
    gathered = nn.functional.scaled_dot_product_attention(queries, keys, values, scale=attention.scale)
    attended: Tensor = attention.out_proj(gathered.transpose(1, 2).flatten(2))
    return attended


def attend_openly(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return what self-attention gives (1, N, D), and what it attends to (N, N), averaged over the heads.

    `transformers` returns weights in one of its implementations of attention only; this is all of them.
    """
    queries, keys, values = _project(attention, tokens)
    weights = (queries * attention.scale @ keys.transpose(-1, -2)).softmax(dim=-1)
    gathered = (weights @ values).transpose(1, 2).flatten(2)
    return attention.out_proj(gathered), weights.mean(dim=1)[0]


def finish_block(block: Block, tokens: Tensor) -> Tensor:
    """Do what follows attention in a block."""
    finished: Tensor = tokens + block.mlp(block.layer_norm2(tokens))
    return finished


def _project(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values (1, heads, N, D / heads)."""
    shape = (*tokens.shape[:2], attention.num_heads, -1)
    queries, keys, values = (
        project(tokens).reshape(shape).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return queries, keys, values
