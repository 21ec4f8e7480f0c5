"""Names of segmentation networks: those of DeepLab-v2's backbones, and `hf:` with what `transformers` is to look for.

The settings of the section `segmenter` that go with one of them alone are checked here.
"""

from __future__ import annotations

from typing import get_args

from weakseg.config.sections.classifier import ClassifierName
from weakseg.config.sections.segmenter import SegmenterConfig
from weakseg.config.sections.training import BackboneName
from weakseg.errors import ConfigError
from weakseg.files import absolute_path, expand_home
from weakseg.registry import BACKBONES

HF_PREFIX = "hf:"
"""What the name of a network of `transformers` begins with."""

_PRETRAINED = "pretrained"


def other_backbones() -> tuple[str, ...]:
    """Return the names of backbones that bring what builds them; what they are for is known once they are built."""
    return tuple(name for name in BACKBONES.names() if name not in get_args(ClassifierName))


def hf_name(name: str) -> str | None:
    """Return what `transformers` is to look for: a repository, folder or file; None for a backbone of DeepLab-v2."""
    return name.removeprefix(HF_PREFIX) if name.startswith(HF_PREFIX) else None


def absolute_name(name: str) -> str:
    """Return a segmenter's name with the path in it, if it is that of a file or folder, made absolute."""
    found = hf_name(name)
    return name if not found else f"{HF_PREFIX}{absolute_model(found)}"


def absolute_model(name: str) -> str:
    """Return the name of a network of `transformers`, made absolute if it is that of a file or folder.

    A name that could be that of a repository as well is a folder if there is one.
    """
    is_path = name.endswith(".json") or name[:1] in (".", "/", "~") or expand_home(name).exists()
    return str(absolute_path(name)) if name and is_path else name


def check_segmenter(config: SegmenterConfig) -> None:
    """Raise a `ConfigError` if there is no such network, or settings do not go with it."""
    found = hf_name(config.name)
    if found is None:
        _check_deeplab(config)
    else:
        _check_hf(config, found)


def _check_deeplab(config: SegmenterConfig) -> None:
    names = (*get_args(BackboneName), *other_backbones())
    if config.name not in names:
        meant = f"; did you mean '{HF_PREFIX}{config.name}'?" if "/" in config.name else ""
        raise ConfigError(
            f"segmenter.name: expected one of {', '.join(names)}, or '{HF_PREFIX}' and a repository of the Hugging "
            f"Face hub, a folder or a config.json, got {config.name}{meant}"
        )
    if config.weights == _PRETRAINED:
        raise ConfigError(
            f"segmenter.weights: '{_PRETRAINED}' goes with a segmenter.name that begins with '{HF_PREFIX}', but it is "
            f"{config.name}; expected imagenet, none, auto, classifier or a path"
        )


def _check_hf(config: SegmenterConfig, found: str) -> None:
    if not found:
        raise ConfigError(
            f"segmenter.name: expected a repository, a folder or a config.json behind '{HF_PREFIX}', got nothing"
        )
    if config.weights == "imagenet":
        raise ConfigError(
            f"segmenter.weights: '{config.weights}' goes with our own backbones, but segmenter.name is {config.name}; "
            f"expected {_PRETRAINED} (the weights it comes with), none, auto, classifier or a path"
        )
    if config.weights == _PRETRAINED and found.endswith(".json"):
        raise ConfigError(
            f"segmenter.weights: '{_PRETRAINED}' needs a repository or folder with weights, but segmenter.name is the "
            f"configuration {found} alone; expected none or a path"
        )
    if config.multi_scale or config.caffe_form:
        setting = "multi_scale" if config.multi_scale else "caffe_form"
        raise ConfigError(
            f"segmenter.{setting}: goes with a backbone of DeepLab-v2, but segmenter.name is {config.name}; "
            "leave it out"
        )
