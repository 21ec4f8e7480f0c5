"""Backbones of `transformers` cut in two: a trunk, which may stay frozen, and a tail.

The library runs a backbone in one call. What lies between its parts differs by kind, of which there are three: stages
of convolutions, a row of transformer blocks, and stages of shifted windows. A cut is only used once it has been seen to
give what the one call gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

TRUNK_SHARE_OFSTAGE_LISTS, TRUNK_SHARE_OF_BLOCKS = 1 / 2, 2 / 3
"""Share of the stages of a pyramid, and of the blocks of a transformer of one stride, that belong to the trunk."""

STAGE_LISTS = ("encoder.stages", "model.stages", "stages")
"""Names the library gives the stages of a pyramid of convolutions."""

_BLOCKS = ("encoder.layer", "model.layer", "layer")
_STEMS = ("embedder", "embeddings")


class Chain(Protocol):
    """A network in two parts that are run one after the other."""

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules that hold the parameters of `trunk`."""
        ...

    def trunk(self, x: Tensor) -> Tensor:
        """Turn images (N, 3, H, W), whose sides the network takes, into features (N, D, h', w')."""
        ...

    def tail(self, features: Tensor) -> Tensor:
        """Turn these into the last feature map (N, D, h, w)."""
        ...


class WholeChain:
    """A network that is not cut: all of it is the trunk, and the tail does nothing.

    Args:
        network: Called as `network(pixel_values=images).feature_maps`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the network."""
        return (self._network,)

    def trunk(self, x: Tensor) -> Tensor:
        """Return the last feature map."""
        features: Tensor = self._network(pixel_values=x).feature_maps[-1]
        return features

    def tail(self, features: Tensor) -> Tensor:
        """Return the features as they are."""
        return features


class StageChain:
    """Stages of convolutions, each a call from maps to maps.

    Args:
        stem: What runs before them; may be empty.
        stages: The stages.
        norm: What runs behind the last one, if anything.
    """

    def __init__(self, stem: Sequence[nn.Module], stages: Sequence[nn.Module], norm: nn.Module | None) -> None:
        cut = int(len(stages) * TRUNK_SHARE_OFSTAGE_LISTS)
        self._early = (*stem, *stages[:cut])
        self._late = (*stages[cut:], *(() if norm is None else (norm,)))

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the stem and the first half of the stages."""
        return self._early

    def trunk(self, x: Tensor) -> Tensor:
        """Run the stem and the first half of the stages."""
        return _run(self._early, x)

    def tail(self, features: Tensor) -> Tensor:
        """Run the other stages and the norm."""
        return _run(self._late, features)


class WindowChain:
    """The stages of a Swin transformer, which are told the size of their grid.

    Args:
        embeddings: Returns tokens (N, h * w, D) and the grid's size.
        stages: Each returns tokens first; all but the last halve the grid.
        norm: What runs behind the last one.
    """

    def __init__(self, embeddings: nn.Module, stages: Sequence[nn.Module], norm: nn.Module) -> None:
        cut = int(len(stages) * TRUNK_SHARE_OFSTAGE_LISTS)
        self._embeddings, self._norm = embeddings, norm
        self._early, self._late = tuple(stages[:cut]), tuple(stages[cut:])

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the embeddings and the first half of the stages."""
        return (self._embeddings, *self._early)

    def trunk(self, x: Tensor) -> Tensor:
        """Run the embeddings and the first half of the stages."""
        tokens, grid_hw = self._embeddings(x)
        return _to_maps(*self._shift(self._early, tokens, (int(grid_hw[0]), int(grid_hw[1]))))

    def tail(self, features: Tensor) -> Tensor:
        """Run the other stages and the norm."""
        tokens, grid_hw = self._shift(self._late, _to_tokens(features), (features.shape[2], features.shape[3]))
        return _to_maps(self._norm(tokens), grid_hw)

    def _shift(
        self, stages: Iterable[nn.Module], tokens: Tensor, grid_hw: tuple[int, int]
    ) -> tuple[Tensor, tuple[int, int]]:
        for stage in stages:
            tokens = stage(tokens, grid_hw, always_partition=True)[0]
            if getattr(stage, "downsample", None) is not None:
                grid_hw = ((grid_hw[0] + 1) // 2, (grid_hw[1] + 1) // 2)
        return tokens, grid_hw


class TokenChain:
    """A row of transformer blocks on the tokens of patches and, in front, on some that stand for no place.

    The trunk's features are the tokens laid out as a map. Its first rows hold the tokens of no place, filled up with 0.

    Args:
        embeddings: Turns images into tokens (N, T, D).
        blocks: The blocks.
        norm: What runs behind the last one, if anything.
        rope: Turns images into the rotary embeddings that every block is given; None for blocks without.
        patch_px: Side of a patch.
        num_extra: Number of tokens of no place.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        blocks: Sequence[nn.Module],
        norm: nn.Module | None,
        *,
        rope: nn.Module | None,
        patch_px: int,
        num_extra: int,
    ) -> None:
        cut = int(len(blocks) * TRUNK_SHARE_OF_BLOCKS)
        self._embeddings, self._norm, self._rope = embeddings, norm, rope
        self._early, self._late = tuple(blocks[:cut]), tuple(blocks[cut:])
        self._patch_px, self._num_extra = patch_px, num_extra

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the embeddings and the first two thirds of the blocks."""
        return (self._embeddings, *self._early)

    def trunk(self, x: Tensor) -> Tensor:
        """Run the embeddings and the first two thirds of the blocks."""
        height, width = (side // self._patch_px for side in x.shape[2:])
        tokens = self._attend(self._early, self._embeddings(x), (height, width))
        rows = self._extra_rows(width)
        extra, patches = tokens[:, : self._num_extra], tokens[:, self._num_extra :]
        extra = nn.functional.pad(extra, (0, 0, 0, rows * width - self._num_extra))
        return _to_maps(torch.cat((extra, patches), dim=1), (rows + height, width))

    def tail(self, features: Tensor) -> Tensor:
        """Run the other blocks and the norm."""
        width = features.shape[3]
        rows = self._extra_rows(width)
        height = features.shape[2] - rows
        tokens = _to_tokens(features)
        tokens = torch.cat((tokens[:, : self._num_extra], tokens[:, rows * width :]), dim=1)
        tokens = self._attend(self._late, tokens, (height, width))
        if self._norm is not None:
            tokens = self._norm(tokens)
        return _to_maps(tokens[:, self._num_extra :], (height, width))

    def _extra_rows(self, width: int) -> int:
        return (self._num_extra + width - 1) // width

    def _attend(self, blocks: Iterable[nn.Module], tokens: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        if self._rope is None:
            return _run(blocks, tokens)
        # Only the size of the image and its type are looked at.
        image = tokens.new_zeros(()).expand(1, 3, grid_hw[0] * self._patch_px, grid_hw[1] * self._patch_px)
        positions = self._rope(image)
        for block in blocks:
            tokens = _first(block(tokens, position_embeddings=positions))
        return tokens


def find_chains(network: nn.Module, *, patch_px: int) -> list[Chain]:
    """Return ways to cut a network, by the names the library gives its parts; none is sure to be right.

    Args:
        network: A backbone of the library.
        patch_px: Ratio of the image's size to the last feature map's.
    """
    stem = next((part for name in _STEMS if (part := _find(network, name)) is not None), None)
    chains: list[Chain] = []
    stages, blocks = find_list(network, STAGE_LISTS), find_list(network, _BLOCKS)
    windows = find_list(network, ("swin.encoder.layers",))
    last_norm = _find(network, f"hidden_states_norms.{list(getattr(network, 'stage_names', ['none']))[-1]}")
    if stages is not None:
        chains.append(StageChain(() if stem is None else (stem,), tuple(stages), last_norm))
    embeddings = _find(network, "swin.embeddings")
    if windows is not None and embeddings is not None and last_norm is not None:
        chains.append(WindowChain(embeddings, tuple(windows), last_norm))
    if blocks is not None and stem is not None:
        norm = next((part for name in ("layernorm", "norm") if (part := _find(network, name)) is not None), None)
        num_extra = 1 + int(getattr(getattr(network, "config", None), "num_register_tokens", 0) or 0)
        rope = _find(network, "rope_embeddings")
        chains += [
            TokenChain(stem, tuple(blocks), behind, rope=rope, patch_px=patch_px, num_extra=num_extra)
            for behind in ((norm, None) if norm is not None else (None,))
        ]
    return chains


def _run(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = _first(module(x))
    return x


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the output of a block, which some versions of the library wrap in a tuple."""
    return output[0] if isinstance(output, tuple) else output


def _find(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def find_list(network: nn.Module, names: Iterable[str]) -> nn.ModuleList | None:
    """Return the first list of modules that a network has under one of these names, or None."""
    found = (_find(network, name) for name in names)
    return next((part for part in found if isinstance(part, nn.ModuleList)), None)


def _to_maps(tokens: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Turn tokens (N, h * w, D) into maps (N, D, h, w)."""
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], *grid_hw).contiguous()


def _to_tokens(maps: Tensor) -> Tensor:
    """Turn maps (N, D, h, w) into tokens (N, h * w, D)."""
    return maps.flatten(2).transpose(1, 2).contiguous()
