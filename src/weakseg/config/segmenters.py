"""Which settings of the section `segmenter` go with a backbone of DeepLab-v2, and which with `transformers`."""

from __future__ import annotations

from weakseg.config.network_names import HF_PREFIX, hf_name, require_backbone
from weakseg.config.sections.segmenter import SegmenterConfig
from weakseg.errors import ConfigError

_PRETRAINED = "pretrained"


def check_segmenter(config: SegmenterConfig) -> None:
    """Raise a `ConfigError` if there is no such network, or settings do not go with it."""
    found = hf_name(config.name)
    if found is None:
        _check_deeplab(config)
    else:
        _check_hf(config, found)


def _check_deeplab(config: SegmenterConfig) -> None:
    require_backbone("segmenter", config.name, "stages", takes_hf=True)
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
