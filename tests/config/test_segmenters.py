from pathlib import Path

import pytest

from weakseg.config.load import build_config
from weakseg.config.network_names import absolute_name, hf_name
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError

MISTAKES = [
    (
        ("--segmenter.name=resnet51",),
        "segmenter.name: expected one of critter, efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, "
        "resnet18, resnet50, resnet101, or 'hf:' and a repository of the Hugging Face hub, a folder or a config.json, "
        "got resnet51",
    ),
    (("--segmenter.name=nvidia/mit-b0",), "got nvidia/mit-b0; did you mean 'hf:nvidia/mit-b0'?"),
    (
        ("--segmenter.name=hf:",),
        "segmenter.name: expected a repository, a folder or a config.json behind 'hf:', got nothing",
    ),
    (
        ("--segmenter.name=hf:nvidia/mit-b0",),
        "segmenter.weights: 'imagenet' goes with our own backbones, but segmenter.name is hf:nvidia/mit-b0; "
        "expected pretrained (the weights it comes with), none, auto, classifier or a path",
    ),
    (
        ("--segmenter.name=hf:nvidia/mit-b0", "--segmenter.weights=classifier"),
        "segmenter.weights: 'classifier' needs the classifier's backbone, but segmenter.name is hf:nvidia/mit-b0 and",
    ),
    (
        ("--segmenter.name=hf:some/config.json", "--segmenter.weights=pretrained"),
        "segmenter.weights: 'pretrained' needs a repository or folder with weights, but segmenter.name is the "
        "configuration some/config.json alone; expected none or a path",
    ),
    (
        ("--segmenter.weights=pretrained",),
        "segmenter.weights: 'pretrained' goes with a segmenter.name that begins with 'hf:', but it is resnet101; "
        "expected imagenet, none, auto, classifier or a path",
    ),
    (
        ("--segmenter.name=hf:a", "--segmenter.weights=none", "--segmenter.multi_scale=[0.5]"),
        "segmenter.multi_scale: goes with a backbone of DeepLab-v2, but segmenter.name is hf:a; leave it out",
    ),
    (
        ("--segmenter.name=hf:a", "--segmenter.weights=w.safetensors", "--segmenter.caffe_form=true"),
        "segmenter.caffe_form: goes with a backbone of DeepLab-v2",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_says_what_goes_together(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({}, words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weights", ["pretrained", "none", "auto", "old/model.safetensors"])
def test_a_network_of_transformers_takes_what_it_comes_with_nothing_or_a_file(weights: str) -> None:
    config = build_config({}, ("--segmenter.name=hf:nvidia/mit-b0", f"--segmenter.weights={weights}"))
    assert (config.segmenter.name, config.segmenter.weights) == ("hf:nvidia/mit-b0", weights)


def test_the_default_is_a_backbone_of_deeplab() -> None:
    assert hf_name(RunConfig().segmenter.name) is None
    assert hf_name("hf:nvidia/mit-b0") == "nvidia/mit-b0"


def test_paths_become_absolute_and_repositories_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_name("hf:here") == f"hf:{tmp_path / 'here'}"
    assert absolute_name("hf:nvidia/mit-b0") == "hf:nvidia/mit-b0"
    assert absolute_name("resnet18") == "resnet18"
