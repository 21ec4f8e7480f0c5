"""The texts that CLIP-ES asks with, embedded: a file of the run.

As released, the embeddings of a word in several prompts are averaged, and brought to length 1 before and after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from weakseg.errors import ArtifactError
from weakseg.files import write_bytes
from weakseg.localize.clip_prompts import fill_in
from weakseg.models.clip_source import CLIP, Tokenizer, embed_texts

TEXTS_AT_ONCE = 64
"""Texts of a pass through the network; 80 classes in one prompt are two."""

_CLASSES, _BACKGROUNDS = "classes", "backgrounds"


@dataclass(frozen=True, eq=False)
class TextEmbeddings:
    """What an image is asked for.

    Args:
        classes: (C, D) float32, one per class.
        backgrounds: (B, D) float32, B at least 1.
    """

    classes: Tensor
    backgrounds: Tensor

    def to(self, device: torch.device) -> TextEmbeddings:
        """Return the same on a device."""
        return TextEmbeddings(self.classes.to(device), self.backgrounds.to(device))

    def of(self, keys: Sequence[int]) -> Tensor:
        """Return those of some classes and of all backgrounds (K + B, D), in this order."""
        return torch.cat([self.classes[list(keys)], self.backgrounds])


def embed_words(
    clip: CLIP, tokenizer: Tokenizer, words: Sequence[str], backgrounds: Sequence[str], *, prompts: Sequence[str]
) -> TextEmbeddings:
    """Embed the words of classes and backgrounds.

    Args:
        clip: The network; runs where it is.
        tokenizer: Its tokenizer.
        words: A text per class.
        backgrounds: The words of backgrounds.
        prompts: Templates that each fills in.

    Returns:
        The embeddings, on the CPU.
    """
    texts = [text for own in (*words, *backgrounds) for text in fill_in(prompts, own)]
    parts = [
        embed_texts(clip, tokenizer, texts[start : start + TEXTS_AT_ONCE])
        for start in range(0, len(texts), TEXTS_AT_ONCE)
    ]
    embedded = torch.cat(parts).cpu().float()
    means = nn.functional.normalize(embedded.reshape(-1, len(prompts), embedded.shape[1]).mean(dim=1), dim=-1)
    return TextEmbeddings(means[: len(words)], means[len(words) :])


def save_texts(path: Path, texts: TextEmbeddings, *, asked: Sequence[str], origin: str) -> None:
    """Write embeddings; the file's header names the texts and the network, for people."""
    header = {"texts": json.dumps(list(asked)), "network": origin}
    tensors = {_CLASSES: texts.classes.contiguous(), _BACKGROUNDS: texts.backgrounds.contiguous()}
    write_bytes(path, save(tensors, metadata=header))


def load_texts(path: Path, *, num_classes: int) -> TextEmbeddings:
    """Read what `save_texts` wrote.

    Raises:
        ArtifactError: If the file is missing or damaged, or holds another number of classes.
    """
    again = "delete it and run the stage 'localize' again"
    try:
        tensors = load(path.read_bytes())
        found = TextEmbeddings(tensors[_CLASSES], tensors[_BACKGROUNDS])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}); {again}") from None
    if found.classes.ndim != 2 or len(found.classes) != num_classes or not len(found.backgrounds):
        raise ArtifactError(f"{path}: expected texts of {num_classes} classes and of backgrounds; {again}")
    return found
