"""What is asked of a CLIP of `transformers` with a vision transformer: the parts of its image tower, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor, nn


class Attention(Protocol):
    """Self-attention."""

    num_heads: int
    scale: float
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module


class Block(Protocol):
    """A block of the transformer: attention and an MLP, each behind a layer norm."""

    self_attn: Attention
    layer_norm1: nn.Module
    layer_norm2: nn.Module
    mlp: nn.Module


class Encoder(Protocol):
    """The blocks, the first one first."""

    layers: Iterable[Block]


class Embeddings(Protocol):
    """What turns an image into tokens; the class token's position comes first."""

    patch_embedding: nn.Module
    position_embedding: nn.Embedding
    class_embedding: Tensor


class VisionConfig(Protocol):
    """The side of a patch in pixels."""

    patch_size: int


class ImageTower(Protocol):
    """The network of images."""

    config: VisionConfig
    embeddings: Embeddings
    pre_layrnorm: nn.Module
    encoder: Encoder
    post_layernorm: nn.Module


class CLIPNetwork(Protocol):
    """`transformers.CLIPModel`, of which the network of texts is not looked at."""

    vision_model: ImageTower
    visual_projection: nn.Linear
    logit_scale: Tensor
