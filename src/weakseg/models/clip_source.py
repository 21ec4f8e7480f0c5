"""Finding and building a CLIP of `transformers` and its tokenizer: from the hub, a folder, or OpenAI's own weights.

OpenAI gives its weights out as TorchScript, which is a program. `weakseg convert ViT-B-16.pt --trust-pickle` takes the
weights out of it; the new file is read here. What OpenAI's file does not tell, such as the number of heads, follows
from the sizes of its tensors, as in OpenAI's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, expand_home
from weakseg.models.checkpoints import abridge, fit_state, read_checkpoint
from weakseg.models.clip_names import rename_clip
from weakseg.models.clip_parts import ImageTower
from weakseg.models.hf_config import make_config
from weakseg.models.hf_networks import load_pretrained
from weakseg.models.hf_source import (
    NetworkSource,
    find_source,
    first_line,
    import_transformers,
    is_local,
    quiet_transformers,
    read_config,
    require_weights,
)

OPENAI_TOKENIZER = "openai/clip-vit-base-patch16"
"""Where the tokenizer of OpenAI's files is taken from; all its networks have the same."""

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
"""What is downloaded of a tokenizer."""

_ENOUGH = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Files that make a tokenizer: in one, or in two."""

_HEAD_WIDTH = 64
"""Channels of an attention head in all of OpenAI's networks."""

_MLP_RATIO = 4


class CLIP(nn.Module):
    """What is used of `transformers.CLIPModel`, for type checkers; see `weakseg.models.clip_parts.CLIPNetwork`."""

    vision_model: ImageTower
    visual_projection: nn.Linear
    logit_scale: Tensor
    text_model: nn.Module
    text_projection: nn.Linear


class Tokenizer(Protocol):
    """What is used of `transformers.CLIPTokenizer`."""

    def __call__(
        self, text: list[str], *, padding: bool | str, truncation: bool, max_length: int, return_tensors: str
    ) -> Mapping[str, Tensor]:
        """Return `input_ids` and `attention_mask` (T, L)."""
        ...


@dataclass(frozen=True)
class CLIPSource:
    """Where a CLIP was found.

    Args:
        file: OpenAI's weights, or None.
        network: A network of `transformers`, or None.
    """

    file: Path | None
    network: NetworkSource | None

    @property
    def origin(self) -> str:
        """The place in words."""
        return str(self.file) if self.network is None else self.network.origin


def find_clip(name: str, *, setting: str) -> CLIPSource:
    """Find a CLIP and its weights, downloading them from the hub unless they are local or in the hub client's cache.

    Args:
        name: A repository, a folder, or a file of OpenAI's weights.
        setting: The setting that holds the name, for messages.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the name cannot be that of a repository.
        ArtifactError: If there is no such file or folder, it lacks weights, or the download fails.
    """
    path = expand_home(name)
    if path.is_file():
        import_transformers(setting=setting, prefix="")
        return CLIPSource(path, None)
    source = find_source(name, with_weights=True, setting=setting, prefix="", more=TOKENIZER_FILES)
    require_weights(source)
    return CLIPSource(None, source)


def find_tokenizer(source: CLIPSource, name: str | None, *, section: str) -> Path:
    """Find the folder of a tokenizer's files; what comes from the hub is downloaded.

    Args:
        source: The network that it is for.
        name: A repository or folder; None for that beside the network, or OpenAI's for OpenAI's files.
        section: The section that has the settings `model` and `tokenizer`, for messages.

    Raises:
        ConfigError: If the name cannot be that of a repository.
        ArtifactError: If there is no such folder, it lacks the files, or the download fails.
    """
    beside = None if source.network is None else source.network.folder
    setting = f"{section}.tokenizer"
    if name is None and beside is not None:
        folder, setting = beside, f"{section}.model"
    elif name is not None and is_local(name):
        folder = expand_home(name)
    else:
        found = find_source(
            name or OPENAI_TOKENIZER, with_weights=False, setting=setting, prefix="", more=TOKENIZER_FILES
        )
        assert found.folder is not None, "what is downloaded has a folder"
        folder = found.folder
    if not any(all((folder / file).is_file() for file in files) for files in _ENOUGH):
        raise ArtifactError(
            f"{setting}: expected a tokenizer's files, tokenizer.json, or vocab.json and merges.txt, in {folder}; put "
            f"them there, or name their folder by {section}.tokenizer"
        )
    return folder


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read a tokenizer; nothing is downloaded.

    Raises:
        ArtifactError: If its files cannot be used.
    """
    try:
        with quiet_transformers():
            found = import_transformers().CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # what the library and its parser raise on damaged files
        raise ArtifactError(f"{folder}: not a readable tokenizer of CLIP ({first_line(error)})") from error
    return cast("Tokenizer", found)


def load_clip(source: CLIPSource) -> CLIP:
    """Build a CLIP with its weights, in float32 on the CPU, in evaluation mode and without gradients to its weights.

    Raises:
        ConfigError: If the network is no CLIP with a vision transformer.
        ArtifactError: If weights are missing, damaged or another network's.
    """
    clip = _load_openai(source.file) if source.file is not None else _load_hf(source.network)
    return cast("CLIP", clip.eval().requires_grad_(False))


def embed_texts(clip: CLIP, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Embed texts.

    Args:
        clip: The network; runs where it is.
        tokenizer: Its tokenizer. Of longer texts than the network takes the end is left out.
        texts: T of them, at least 1.

    Returns:
        (T, D) float, projected, each of length 1.
    """
    positions = clip.text_model.get_submodule("embeddings.position_embedding")
    assert isinstance(positions, nn.Embedding)
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=positions.num_embeddings, return_tensors="pt")
    device = clip.text_projection.weight.device
    with torch.no_grad():
        found = clip.text_model(
            input_ids=tokens["input_ids"].to(device), attention_mask=tokens["attention_mask"].to(device)
        )
        projected: Tensor = clip.text_projection(found.pooler_output)
    return nn.functional.normalize(projected, dim=-1)


def _load_hf(source: NetworkSource | None) -> nn.Module:
    assert source is not None, "it is the one or the other"
    transformers = import_transformers()
    config = make_config(
        read_config(source), ("clip",), expected="a CLIP with a vision transformer", where=str(source.config)
    )
    loaded = load_pretrained(transformers.CLIPModel, config, require_weights(source))
    if loaded.missing:
        raise ArtifactError(
            f"{source.origin}: its weights lack {len(loaded.missing)} of CLIP's: {abridge(sorted(loaded.missing))}; "
            "is it one of its two towers alone?"
        )
    return loaded.network


def _load_openai(path: Path) -> nn.Module:
    transformers = import_transformers()
    tensors = read_checkpoint(path)
    values = _read_sizes(tensors, where=str(path))
    clip: nn.Module = transformers.CLIPModel(transformers.CLIPConfig(**values))
    fit_state(clip, rename_clip(tensors, where=str(path)), where=str(path))
    return clip


def _read_sizes(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, JsonValue]:
    """Return the settings of a network by the shapes of its weights, in OpenAI's names."""
    try:
        width, _, patch_px, _ = tensors["visual.conv1.weight"].shape
        positions = len(tensors["visual.positional_embedding"]) - 1
        vocabulary, text_width = tensors["token_embedding.weight"].shape
        length = tensors["text_projection"].shape[1]
        context = len(tensors["positional_embedding"])
    except (KeyError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{where}: expected OpenAI's weights of a CLIP with a vision transformer, but there is no usable {error}; "
            "pass the folder of a network of transformers instead"
        ) from None
    vision = _tower("visual.transformer.", tensors, width)
    vision |= {"patch_size": patch_px, "image_size": patch_px * round(positions**0.5), "projection_dim": length}
    text = _tower("transformer.", tensors, text_width)
    text |= {"vocab_size": vocabulary, "max_position_embeddings": context, "projection_dim": length}
    # The last two entries of the vocabulary begin and end a text.
    text |= {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    return {"vision_config": vision, "text_config": text, "projection_dim": length}


def _tower(prefix: str, tensors: Mapping[str, Tensor], width: int) -> dict[str, JsonValue]:
    blocks = {name.removeprefix(prefix).split(".")[1] for name in tensors if name.startswith(f"{prefix}resblocks.")}
    return {
        "hidden_size": width,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": max(1, width // _HEAD_WIDTH),
        "intermediate_size": _MLP_RATIO * width,
        "hidden_act": "quick_gelu",
    }
