"""Starting backbones of `transformers`, for every network of a run that stands on one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from weakseg.config.backbones import PRETRAINED
from weakseg.config.network_names import hf_name
from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.hf_backbone_build import build_hf_backbone, rebuild_hf_backbone
from weakseg.models.hf_source import NetworkSource, find_source, import_transformers, require_weights
from weakseg.models.weights import load_backbone
from weakseg.pipeline.artifacts import load_info

logger = logging.getLogger("weakseg")

OWN = "classifier"
"""Weights of the backbone of the run's own classifier."""


def require_hf_backbone(section: str, found: str, weights: str, *, goes_on: bool) -> None:
    """Look for a backbone and its first weights; what comes from the hub is downloaded here, into its cache.

    Args:
        section: Section of the recipe, for messages.
        found: What stands behind `hf:`.
        weights: The section's `weights`.
        goes_on: Whether the training goes on from a checkpoint, so that the weights it began with are not needed.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the name cannot be that of a repository.
        ArtifactError: If the network or its weights are not there.
    """
    import_transformers(setting=f"{section}.name")
    if weights == OWN:
        return
    pretrained = weights == PRETRAINED and not goes_on
    source = find_source(found, with_weights=pretrained, setting=f"{section}.name")
    if pretrained:
        require_weights(source)
    elif not goes_on and weights not in ("none", "auto", PRETRAINED) and not Path(weights).is_file():
        raise ArtifactError(f"{section}.weights: there is no file {weights}")


def start_hf_backbone(
    section: str,
    name: str,
    weights: str,
    *,
    own: Path,
    resumes: bool,
    fixed_norm: bool,
    generator: torch.Generator,
) -> tuple[HFBackbone, str]:
    """Build a backbone with its initial weights.

    Args:
        section: Section of the recipe, for messages.
        name: The backbone's name, `hf:` and what is to be looked for.
        weights: `pretrained`, `auto` (which falls back to random weights and warns), `none`, `classifier`, or the path
            of the weights of a network on the same backbone.
        own: Weights file of the run's classifier.
        resumes: Whether a checkpoint will replace the weights, so that any will do.
        fixed_norm: Keep batch norms on their running statistics while training.
        generator: Source of random weights.

    Returns:
        The backbone on the CPU, and where its weights come from.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the network is no backbone.
        ArtifactError: If the network or its weights are not there, damaged or another network's.
    """
    if weights == OWN:
        backbone = rebuild_hf_backbone(load_info(own), fixed_norm=fixed_norm, where=str(own))
        load_backbone(backbone, str(own), name)
        return backbone, OWN
    found = hf_name(name)
    assert found is not None, "the caller has looked"
    wanted = weights in (PRETRAINED, "auto") and not resumes
    source = find_source(found, with_weights=wanted, setting=f"{section}.name")
    if wanted:
        drawn = generator.get_state()
        try:
            return _load(source, fixed_norm=fixed_norm, generator=generator), source.origin
        except ArtifactError as error:
            if weights != "auto":
                raise
            logger.warning(
                "starting from random weights, which costs much accuracy on few images: %s (set %s.weights to "
                "pretrained, none or a path to decide yourself)",
                error,
                section,
            )
            generator.set_state(drawn)  # random weights are those of `none`
    backbone, _ = build_hf_backbone(source, pretrained=False, fixed_norm=fixed_norm, generator=generator)
    if resumes or weights in ("auto", "none"):
        return backbone, "random"
    load_backbone(backbone, weights, name)
    return backbone, weights


def _load(source: NetworkSource, *, fixed_norm: bool, generator: torch.Generator) -> HFBackbone:
    backbone, fresh = build_hf_backbone(source, pretrained=True, fixed_norm=fixed_norm, generator=generator)
    if fresh:
        number = sum(1 for _ in backbone.parameters())
        logger.info("%s: %d of %d parameters start fresh: %s", source.origin, len(fresh), number, abridge(fresh))
    if not backbone.is_cut:
        logger.info(
            "%s: this network cannot be cut in two, so that all of it is its trunk: with freeze_trunk only the scores "
            "of the classes learn, and RIB adapts nothing else",
            source.origin,
        )
    return backbone
