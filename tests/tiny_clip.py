"""A CLIP of `transformers`, tiny and random; nothing is downloaded."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import CLIPModel

WIDTH, LAYERS, HEADS, LENGTH, PATCH_PX, IMAGE_PX = 12, 10, 2, 5, 4, 12
"""More layers than the eight whose attention is averaged; `LENGTH` is that of the embeddings."""


BEGIN, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY, POSITIONS = 20, 7
LETTERS, LETTER_POSITIONS = 514, 77
"""Every byte, every byte that ends a word, and what begins and ends a text; as long as CLIP's texts."""


def save_clip(folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny CLIP that knows letters alone, and its tokenizer, as `save_pretrained` does."""
    make_clip(seed=seed, vocabulary=LETTERS, positions=LETTER_POSITIONS).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """Write a vocabulary of single bytes, without merges."""
    tokenizers = importlib.import_module("tokenizers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), BEGIN, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def make_clip(*, seed: int = 0, vocabulary: int = VOCABULARY, positions: int = POSITIONS) -> CLIPModel:
    """Build it in training mode, with weights large enough that attention is not even."""
    transformers = importlib.import_module("transformers")
    tower = {"num_attention_heads": HEADS, "intermediate_size": 16, "projection_dim": LENGTH}
    text = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": vocabulary, "max_position_embeddings": positions}
    text |= {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
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
        places = clip.vision_model.embeddings.position_embedding.weight
        places.mul_(16).round_().div_(16)
    return clip.train()
