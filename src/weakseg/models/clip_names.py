"""What OpenAI's release of CLIP calls the parts of a vision transformer, and what `transformers` calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge

IMAGE_PREFIX = "visual."
"""What the names of the image tower begin with in a checkpoint of the whole network."""

SIZES: tuple[str, ...] = ("input_resolution", "context_length", "vocab_size")
"""Numbers that lie among the tensors of OpenAI's files."""

_PARTS = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",  # spelt so
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
"""Matrices that OpenAI multiplies from the right."""

_BLOCK = re.compile(
    r"(?P<tower>visual\.)?transformer\.resblocks\.(?P<number>\d+)\.(?P<part>.+[._])(?P<kind>weight|bias)"
)
_BLOCK_PARTS = {
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "attn.out_proj.": "self_attn.out_proj.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}
_STACKED = "attn.in_proj_"
_STACK = ("q", "k", "v")


def rename_clip(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """Give the tensors of a CLIP of OpenAI's release the names of a `CLIPModel` of `transformers`.

    Args:
        tensors: Tensors by OpenAI's names, of the whole network or of one tower; the image tower's begin with
            `visual.`. Any float dtype (OpenAI's files are float16). Not modified.
        where: File or description for error messages.

    Returns:
        float32 tensors by name, on the devices they were on; matrices that are stored the other way round are
        transposed, and the three that attention stores as one are split. Numbers that tell sizes are left out.

    Raises:
        ArtifactError: If a name is none of a vision transformer's CLIP (OpenAI's ResNets have others), or a stacked
            matrix cannot be split in three.
    """
    renamed: dict[str, Tensor] = {}
    unexpected = []
    for name, tensor in tensors.items():
        if name in SIZES:
            continue
        found = _rename(name, tensor.to(torch.float32), where=where)
        if found is None:
            unexpected.append(name)
        else:
            renamed |= found
    if unexpected:
        raise ArtifactError(
            f"{where}: expected OpenAI's names of a CLIP with a vision transformer, got {len(unexpected)} others: "
            f"{abridge(unexpected)}"
        )
    return renamed


def _rename(name: str, tensor: Tensor, *, where: str) -> dict[str, Tensor] | None:
    """Return a tensor by its new name, or three by theirs, or None if its name is unknown."""
    if name in _PARTS:
        return {_PARTS[name]: tensor}
    if name in _TRANSPOSED:
        return {_TRANSPOSED[name]: tensor.T.contiguous()}
    match = _BLOCK.fullmatch(name)
    if match is None:
        return None
    tower = "vision_model" if match["tower"] else "text_model"
    layer = f"{tower}.encoder.layers.{match['number']}."
    part, kind = match["part"], match["kind"]
    if part == _STACKED:
        if tensor.shape[0] % len(_STACK):
            raise ArtifactError(f"{where}: '{name}' should hold three matrices, but has {tensor.shape[0]} rows")
        pieces = tensor.chunk(len(_STACK))
        return {f"{layer}self_attn.{letter}_proj.{kind}": piece for letter, piece in zip(_STACK, pieces, strict=True)}
    own = _BLOCK_PARTS.get(part)
    return None if own is None else {f"{layer}{own}{kind}": tensor}
