"""Building backbones of `transformers`: from random and saved weights, and what is refused."""

import importlib
import json
import re
from pathlib import Path

import pytest
import torch

from tests.models.made_hf_backbone import build, find
from tests.tiny_networks import BACKBONES, DINOV2, RESNET, write_config
from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue
from weakseg.models.hf_backbone_build import build_hf_backbone, rebuild_hf_backbone
from weakseg.models.hf_source import NetworkSource

pytestmark = pytest.mark.slow  # transformers takes seconds to import


def test_random_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (build(tmp_path, RESNET, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_saved_weights_of_a_classifier_of_images_come_back(tmp_path: Path) -> None:
    transformers = importlib.import_module("transformers")
    for name, kind in (("resnet", "ResNetForImageClassification"), ("dinov2", "Dinov2Model")):
        config = transformers.CONFIG_MAPPING[name].from_dict(BACKBONES[name])
        saved = getattr(transformers, kind)(config)
        root = tmp_path / name
        saved.save_pretrained(root)
        source = NetworkSource(config=root / "config.json", folder=root, origin=str(root))
        loaded, fresh = build_hf_backbone(source, pretrained=True, fixed_norm=True)
        known = saved.state_dict()
        assert fresh == ()
        prefix = "resnet." if name == "resnet" else ""
        for key, value in loaded.network.state_dict().items():
            assert torch.equal(value, known[prefix + key]), key
        assert str(root) not in json.dumps(loaded.architecture())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    transformers = importlib.import_module("transformers")
    config = transformers.CONFIG_MAPPING["resnet"].from_dict(RESNET)
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    path = write_config(tmp_path / "config.json", DINOV2)
    source = NetworkSource(config=path, folder=tmp_path, origin="here")
    with pytest.raises(ArtifactError, match=r"its weights are another network's; none of embeddings"):
        build_hf_backbone(source, pretrained=True, fixed_norm=True)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ArtifactError, match="cannot load its weights"):
        build_hf_backbone(source, pretrained=True, fixed_norm=True)
    with pytest.raises(ArtifactError, match=r"there are no weights beside config\.json"):
        build_hf_backbone(find(path), pretrained=True, fixed_norm=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "bert"}, "expected a network with feature maps, got model_type 'bert'; transformers "),
        ({}, "expected a network with feature maps, got model_type 'None'"),
        ({"model_type": "timm_backbone"}, "got model_type 'timm_backbone'; transformers "),
        ({**RESNET, "layer_type": "round"}, "not a configuration of resnet ("),
        ({**DINOV2, "patch_size": 13}, "gives no feature maps for images of any size (expected maps at whole strides"),
    ],
    ids=str,
)
def test_what_is_no_backbone_is_refused_in_a_line(tmp_path: Path, values: dict[str, JsonValue], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        build(tmp_path, values)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_a_refused_family_is_told_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has .*convnext, .*dinov2, .*dinov3_vit, .*resnet, .*swin"):
        build(tmp_path, {"model_type": "bert"})


@pytest.mark.parametrize("info", [{}, {"transformers": 3}, {"transformers": {"config": {}}}])
def test_a_file_without_a_description_is_refused(info: dict[str, JsonValue]) -> None:
    with pytest.raises(ArtifactError, match=r"m\.safetensors: expected the configuration of a network of transformers"):
        rebuild_hf_backbone(info, fixed_norm=True, where="m.safetensors")
