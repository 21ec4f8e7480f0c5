"""Which backbones may carry the classifier and the networks of refiners, and which weights go with each.

Those of segmenters are in `weakseg.config.segmenters`.
"""

from __future__ import annotations

from weakseg.config.network_names import HF_PREFIX, hf_name, names_that_show, require_backbone, shows
from weakseg.config.sections.classifier import ClassifierConfig
from weakseg.config.sections.refine import RefineConfig
from weakseg.errors import ConfigError
from weakseg.methods import Shows
from weakseg.registry import BACKBONES, REFINERS

PRETRAINED = "pretrained"
"""Weights that a network of `transformers` comes with."""


def check_backbone_names(classifier: ClassifierConfig, refine: RefineConfig) -> None:
    """Raise a `ConfigError` if a backbone cannot carry its network, or weights do not go with it."""
    _check("classifier", classifier.name, classifier.weights, None, takes_hf=True)
    if classifier.method == "seam" and not shows(classifier.name, "levels"):
        raise ConfigError(
            f"classifier.method: 'seam' needs classifier.name to be one of {', '.join(names_that_show('levels'))}, "
            f"got {classifier.name}"
        )
    if classifier.training_stride_px is not None:
        _check_stride(classifier, classifier.training_stride_px)
    for facts in REFINERS.usable():
        network = facts.trains
        if network is not None and network.shows is not None:
            section, own = f"refine.{facts.name}", facts.settings_in(refine)
            _check(section, own.name, own.weights, network.shows, takes_hf=network.takes_hf, own="classifier")


def _check_stride(classifier: ClassifierConfig, stride_px: int) -> None:
    """Raise a `ConfigError` unless the classifier may be trained at a stride."""
    name = classifier.name
    known = BACKBONES.load(name).training_strides_px if hf_name(name) is None else ()
    if stride_px not in known:
        others = ", ".join(facts.name for facts in BACKBONES.usable() if facts.training_strides_px)
        expected = f"one of {', '.join(map(str, known))}, or null" if known else "null"
        raise ConfigError(
            f"classifier.training_stride_px: expected {expected} for {name}, got {stride_px}; backbones with a choice: "
            f"{others}"
        )
    if classifier.method == "seam":
        raise ConfigError(
            f"classifier.training_stride_px: expected null, since 'seam' compares maps at the stride that scores, got "
            f"{stride_px}"
        )


def _check(
    section: str, name: str, weights: str, what: Shows | None, *, takes_hf: bool, own: str | None = None
) -> None:
    """Check a backbone and its weights; `own` is the word for weights that the run has made itself, if there is one."""
    found = hf_name(name) if takes_hf else None
    others = ", ".join(word for word in ("none", "auto", own) if word is not None)
    if found is None:
        require_backbone(section, name, what, takes_hf=takes_hf)
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
