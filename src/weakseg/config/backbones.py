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
    _check_training_stride(classifier)
    for facts in REFINERS.usable():
        network = facts.trains
        if network is not None and network.shows is not None:
            section, own = f"refine.{facts.name}", facts.settings_in(refine)
            _check(section, own.name, own.weights, network.shows, takes_hf=network.takes_hf, own="classifier")


def training_strides(classifier: ClassifierConfig) -> tuple[int, ...]:
    """Return the strides that a classifier may be trained at instead of the one it scores at.

    There are none for most backbones, nor for SEAM, which compares maps at the stride that scores.

    Raises:
        ConfigError: If the backbone's package cannot be imported.
    """
    if classifier.method == "seam" or hf_name(classifier.name) is not None:
        return ()
    return BACKBONES.load(classifier.name).training_strides_px


def _check_training_stride(classifier: ClassifierConfig) -> None:
    known, stride_px = training_strides(classifier), classifier.training_stride_px
    if known and stride_px is not None and stride_px not in known:
        raise ConfigError(
            f"classifier.training_stride_px: expected one of {', '.join(map(str, known))}, or null, got {stride_px}"
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
