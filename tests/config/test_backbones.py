from pathlib import Path
from typing import get_args

import pytest

from weakseg.config.backbones import training_strides
from weakseg.config.load import build_config
from weakseg.config.network_names import names_that_show
from weakseg.config.paths import absolute_paths
from weakseg.config.sections.classifier import ClassifierName
from weakseg.config.sections.training import BackboneName, LevelledName
from weakseg.errors import ConfigError
from weakseg.registry import BACKBONES

MISTAKES = [
    (
        ("--{}.name=resnet51",),
        "{}.name: expected one of critter, ",
    ),
    (
        ("--{}.name=resnet51",),
        "resnet101, or 'hf:' and a repository of the Hugging Face hub, a folder or a config.json",
    ),
    (("--{}.name=microsoft/resnet-18",), "got microsoft/resnet-18; did you mean 'hf:microsoft/resnet-18'?"),
    (("--{}.name=hf:",), "{}.name: expected a repository, a folder or a config.json behind 'hf:', got nothing"),
    (
        ("--{}.name=hf:microsoft/resnet-18", "--{}.weights=imagenet"),
        "{}.weights: 'imagenet' goes with our own backbones, but {}.name is hf:microsoft/resnet-18; expected "
        "pretrained (the weights it comes with), none, auto",
    ),
    (
        ("--{}.name=hf:some/config.json", "--{}.weights=pretrained"),
        "{}.weights: 'pretrained' needs a repository or folder with weights, but {}.name is the configuration "
        "some/config.json alone; expected none, auto",
    ),
    (
        ("--{}.weights=pretrained",),
        "{}.weights: 'pretrained' goes with a name that begins with 'hf:', but {}.name is resnet50; expected imagenet",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("section", ["classifier", "refine.irn"])
@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_says_what_goes_together(words: tuple[str, ...], message: str, section: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({}, tuple(word.replace("{}", section) for word in words))
    assert message.replace("{}", section) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--refine.psa.name=critter",), "refine.psa.name: expected one of critter38, efficientnet_lite0, "),
        (("--refine.psa.name=hf:a/b",), "efficientnet_lite2, resnet38, got hf:a/b"),
        (("--refine.irn.name=resnet38",), "resnet101, or 'hf:' and a repository of the Hugging Face hub"),
        (("--segmenter.name=critter38",), "segmenter.name: expected one of critter, efficientnet_lite0, "),
    ],
)
def test_a_backbone_must_show_what_the_network_on_it_reads(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({}, words)
    assert message in str(caught.value)


def test_help_names_the_backbones_that_the_registry_allows() -> None:
    own = {what: tuple(filter(BACKBONES.is_own, names_that_show(what))) for what in (None, "stages", "levels")}
    assert own == {None: get_args(ClassifierName), "stages": get_args(BackboneName), "levels": get_args(LevelledName)}


@pytest.mark.parametrize("weights", ["pretrained", "none", "auto", "old/model.safetensors"])
def test_a_backbone_of_transformers_is_accepted(weights: str) -> None:
    config = build_config({}, ("--classifier.name=hf:microsoft/resnet-18", f"--classifier.weights={weights}"))
    assert (config.classifier.name, config.classifier.weights) == ("hf:microsoft/resnet-18", weights)


def test_seam_and_released_checkpoints_are_not_for_backbones_of_transformers() -> None:
    words = ("--classifier.name=hf:a", "--classifier.weights=none")
    with pytest.raises(ConfigError, match=r"classifier\.method: 'seam' needs .* got hf:a"):
        build_config({}, (*words, "--classifier.method=seam"))
    with pytest.raises(ConfigError, match=r"classifier\.released: .* got classifier\.name hf:a"):
        build_config({}, (*words, "--classifier.released=net.pth"))


def test_a_backbone_in_a_folder_has_an_absolute_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--classifier.name=hf:./net", "--classifier.weights=none", "--refine.irn.name=hf:./net/config.json")
    config = absolute_paths(build_config({}, (*words, "--refine.irn.weights=none")))
    assert config.classifier.name == f"hf:{tmp_path}/net"
    assert config.refine.irn.name == f"hf:{tmp_path}/net/config.json"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("name=efficientnet_lite1",), (8, 16, 32)),
        (("name=critter",), ()),
        (("name=hf:a", "weights=none"), ()),
        (("name=efficientnet_lite0", "method=seam"), ()),
    ],
)
def test_some_classifiers_may_be_trained_at_other_strides(words: tuple[str, ...], expected: tuple[int, ...]) -> None:
    config = build_config({}, (*(f"--classifier.{word}" for word in words), "--classifier.training_stride_px=16"))
    assert training_strides(config.classifier) == expected


def test_a_stride_that_no_weights_fit_is_refused() -> None:
    told = r"^classifier.training_stride_px: expected one of 8, 16, 32, or null, got 7$"
    with pytest.raises(ConfigError, match=told):
        build_config({}, ("--classifier.name=efficientnet_lite0", "--classifier.training_stride_px=7"))
