"""Names of the backbones of classifier and IRNet: ours, and `hf:` with what `transformers` is to look for.

The settings that go with one of them alone are checked here. Those of segmenters are in `weakseg.config.segmenters`.
"""

from __future__ import annotations

from typing import get_args

from weakseg.config.sections.classifier import ClassifierConfig, ClassifierName
from weakseg.config.sections.refine import RefineConfig
from weakseg.config.sections.training import BackboneName
from weakseg.config.segmenters import HF_PREFIX, hf_name, other_backbones
from weakseg.errors import ConfigError

PRETRAINED = "pretrained"
"""Weights that a network of `transformers` comes with."""


def check_backbone_names(classifier: ClassifierConfig, refine: RefineConfig) -> None:
    """Raise a `ConfigError` if there is no such backbone, or weights do not go with it."""
    _check("classifier", classifier.name, classifier.weights, (*get_args(ClassifierName), *other_backbones()))
    irn = refine.irn
    _check("refine.irn", irn.name, irn.weights, (*get_args(BackboneName), *other_backbones()), own="classifier")


def _check(section: str, name: str, weights: str, known: tuple[str, ...], *, own: str | None = None) -> None:
    """Check a backbone and its weights; `own` is the word for weights that the run has made itself, if there is one."""
    found = hf_name(name)
    others = ", ".join(word for word in ("none", "auto", own) if word is not None)
    if found is None:
        if name not in known:
            meant = f"; did you mean '{HF_PREFIX}{name}'?" if "/" in name else ""
            raise ConfigError(
                f"{section}.name: expected one of {', '.join(known)}, or '{HF_PREFIX}' and a repository of the Hugging "
                f"Face hub, a folder or a config.json, got {name}{meant}"
            )
        if weights == PRETRAINED:
            raise ConfigError(
                f"{section}.weights: '{PRETRAINED}' goes with a name that begins with '{HF_PREFIX}', but "
                f"{section}.name is {name}; expected imagenet, {others} or a path"
            )
        return
    if not found:
        raise ConfigError(
            f"{section}.name: expected a repository, a folder or a config.json behind '{HF_PREFIX}', got nothing"
        )
    if weights == "imagenet":
        raise ConfigError(
            f"{section}.weights: 'imagenet' goes with our own backbones, but {section}.name is {name}; expected "
            f"{PRETRAINED} (the weights it comes with), {others} or a path"
        )
    if weights == PRETRAINED and found.endswith(".json"):
        raise ConfigError(
            f"{section}.weights: '{PRETRAINED}' needs a repository or folder with weights, but {section}.name is the "
            f"configuration {found} alone; expected {others} or a path"
        )
