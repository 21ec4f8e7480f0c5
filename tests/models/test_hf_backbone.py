"""Backbones of `transformers` itself, tiny and random; nothing is downloaded."""

import importlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny_networks import BACKBONES, DINOV2, RESNET, SWINV2, write_config
from weakseg.errors import ArtifactError, ConfigError, ShapeError
from weakseg.files import JsonValue
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt
from weakseg.models.backbone import StageForm
from weakseg.models.classifier import Classifier
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.hf_backbone_build import build_hf_backbone, rebuild_hf_backbone
from weakseg.models.hf_source import InputFormat, NetworkSource

pytestmark = pytest.mark.slow  # transformers takes seconds to import

SIZE_HW = (45, 70)
STRIDES = {"swin": 32, "dinov2": 14, "dinov2_with_registers": 14}
"""Where it is not 16."""


def find(path: Path) -> NetworkSource:
    return NetworkSource(config=path, folder=None, origin=str(path))


def build(folder: Path, values: dict[str, JsonValue], *, seed: int = 0, fixed_norm: bool = True) -> HFBackbone:
    path = write_config(folder / "config.json", values)
    generator = torch.Generator().manual_seed(seed)
    return build_hf_backbone(find(path), pretrained=False, fixed_norm=fixed_norm, generator=generator)[0]


def open_classifier(backbone: HFBackbone, *, num_classes: int = 3, freeze_trunk: bool = True) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    classifier = Classifier(backbone, num_classes=num_classes, freeze_trunk=freeze_trunk, generator=generator)
    nn.init.normal_(classifier.classifier.weight, std=0.3, generator=generator)
    return classifier


@pytest.fixture(scope="module", params=list(BACKBONES))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackbone:
    """Tests leave it as they found it."""
    return build(tmp_path_factory.mktemp(request.param), BACKBONES[request.param])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size_hw", [(45, 70), (1, 1), (90, 1)])
def test_the_output_covers_images_of_every_size(backbone: HFBackbone, size_hw: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size_hw, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    with torch.no_grad():
        features = backbone.trunk(images)
        output = backbone.tail(features)
    kind = str(backbone.architecture()["transformers"]["config"]["model_type"])
    assert backbone.stride == STRIDES.get(kind, 16)
    assert features.ndim == 4
    assert output.shape == (2, backbone.out_channels, *(math.ceil(side / backbone.stride) for side in size_hw))
    assert output.dtype == torch.float32
    assert bool(output.isfinite().all())
    assert torch.equal(images, before)


def test_every_kind_is_cut_and_gives_what_the_library_gives(backbone: HFBackbone) -> None:
    assert backbone.is_cut
    image = torch.randn(1, 3, 2 * backbone.stride, 3 * backbone.stride, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = backbone.eval().network(pixel_values=image).feature_maps[-1]
        torch.testing.assert_close(backbone(image), whole)
    backbone.train()


def test_each_image_is_seen_on_its_own(backbone: HFBackbone, images: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[1:], backbone(images[1:]), rtol=1e-3, atol=1e-5)


def test_training_mode_changes_nothing_with_fixed_norms(backbone: HFBackbone, images: Tensor) -> None:
    """Neither batch norms nor the places of patches, which DINOv3 draws at random."""
    with torch.no_grad():
        trained, evaluated = backbone.train()(images), backbone.eval()(images)
    backbone.train()
    assert torch.equal(trained, evaluated)


def test_the_trunk_is_frozen_and_all_else_learns(backbone: HFBackbone, images: Tensor) -> None:
    flags = [parameter.requires_grad for parameter in backbone.parameters()]
    classifier = open_classifier(backbone)
    trunk = {id(parameter) for module in backbone.trunk_modules() for parameter in module.parameters()}
    learning = classifier.backbone_parameters()
    assert trunk
    assert learning
    assert trunk.isdisjoint(id(parameter) for parameter in learning)
    assert not classifier.trunk(images).requires_grad
    classifier(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in [*learning, *classifier.head_parameters()])
    assert all(parameter.grad is None for parameter in backbone.parameters() if id(parameter) in trunk)
    backbone.zero_grad()
    for parameter, flag in zip(backbone.parameters(), flags, strict=True):
        parameter.requires_grad_(flag)


def test_stages_have_the_forms_they_are_said_to_have(backbone: HFBackbone) -> None:
    forms = backbone.stage_forms()
    assert len(forms) == 5
    assert forms[0].stride <= 4
    assert [form.stride for form in forms] == sorted(form.stride for form in forms)
    for size_hw in ((45, 70), (1, 33)):
        with torch.no_grad():
            stages = backbone.run_stages(torch.rand(1, 3, *size_hw))
        for form, stage in zip(forms, stages, strict=True):
            assert stage.shape == (1, form.channels, *(math.ceil(side / form.stride) for side in size_hw))


def test_a_backbone_is_rebuilt_from_what_it_says_of_itself(backbone: HFBackbone, images: Tensor) -> None:
    info = json.loads(json.dumps({**backbone.architecture(), "kind": "classifier"}))
    again = rebuild_hf_backbone(info, fixed_norm=True, where="model.safetensors")
    again.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images), backbone.eval()(images))
    backbone.train()
    assert again.architecture() == backbone.architecture()


def test_random_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (build(tmp_path, RESNET, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_filled_stage_keeps_the_values_it_had_at_even_places(tmp_path: Path) -> None:
    transformers = importlib.import_module("transformers")
    for name in ("resnet", "convnext", "dinov3_convnext"):
        dense = build(tmp_path, BACKBONES[name]).eval()
        values = dense.architecture()["transformers"]["config"]
        coarse = transformers.AutoBackbone.from_config(transformers.CONFIG_MAPPING[name].from_dict(values)).eval()
        coarse.load_state_dict(dense.network.state_dict())
        image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = coarse(pixel_values=image).feature_maps[-1]
            found = dense(image)
        assert expected.shape[2:] == (2, 3)
        torch.testing.assert_close(found[:, :, ::2, ::2], expected)


def test_tokens_of_14_pixels_stay_where_they_are_at_stride_16(tmp_path: Path) -> None:
    """A map that holds each patch's distance from the left is resampled to that of the new cells."""
    from weakseg.models.hf_backbone import _resample

    places = (torch.arange(10.0) * 14 + 7).expand(1, 1, 10, 10)
    found = _resample(places, (9, 8), ratio=14 / 16)
    torch.testing.assert_close(found[0, 0, 0], torch.arange(8.0) * 16 + 8)
    assert found.shape == (1, 1, 9, 8)


def test_patch_filters_look_around_every_fourth_pixel(tmp_path: Path) -> None:
    backbone = build(tmp_path, DINOV2).eval()
    assert backbone.stage_forms() == (StageForm(16, 4), *(StageForm(16, 16),) * 4)
    image = torch.randn(1, 3, 42, 56, generator=torch.Generator().manual_seed(1))
    filters = backbone.network.embeddings.patch_embeddings.projection
    with torch.no_grad():
        fine = backbone.run_stages(image)[0]
        alone = filters(image[:, :, 7:21, 11:25])
    torch.testing.assert_close(fine[:, :, 3:4, 4:5], alone)


def test_a_network_that_cannot_be_cut_is_all_trunk(tmp_path: Path, images: Tensor) -> None:
    backbone = build(tmp_path, SWINV2)
    assert not backbone.is_cut
    assert backbone.trunk_modules() == (backbone.network,)
    classifier = open_classifier(backbone)
    assert classifier.backbone_parameters() == []
    assert classifier(images).shape == (2, 3)
    free = open_classifier(build(tmp_path, SWINV2), freeze_trunk=False)
    free(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in free.backbone_parameters())


def test_values_are_converted_to_those_the_network_expects(tmp_path: Path, images: Tensor) -> None:
    plain = build(tmp_path, RESNET).eval()
    half = InputFormat(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), bgr=True)
    values = plain.architecture()["transformers"]["config"]
    other = HFBackbone(plain.network, config={**values, "model_type": "x"}, input_format=half, fixed_norm=True).eval()
    unit = images * torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1) + torch.tensor([0.485, 0.456, 0.406]).reshape(
        3, 1, 1
    )
    with torch.no_grad():
        torch.testing.assert_close(other(images), plain((unit.flip(1) - 0.5) / 0.5), rtol=1e-4, atol=1e-4)
    assert other.architecture()["transformers"]["input_format"] == half.to_json()


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


def test_what_is_no_batch_of_images_is_refused(tmp_path: Path) -> None:
    backbone = build(tmp_path, RESNET)
    for call in (backbone, backbone.run_stages):
        with pytest.raises(ShapeError, match=r"expected normalised images \(N, 3, H, W\)"):
            call(torch.zeros(3, 19, 27))


@pytest.mark.parametrize("values", [RESNET, DINOV2], ids=["resnet", "dinov2"])
@pytest.mark.parametrize("num_classes", [1, 80])
def test_maps_of_a_grey_image_and_of_one_a_pixel_wide(
    tmp_path: Path, values: dict[str, JsonValue], num_classes: int
) -> None:
    classifier = open_classifier(build(tmp_path, values), num_classes=num_classes)
    tags = np.zeros(num_classes, np.uint8)
    tags[-1] = 1
    for size_hw in ((29, 42), (40, 1)):
        image = np.full((*size_hw, 3), 128, np.uint8)
        maps = score_maps(classifier, image, tags, scales=(1.0, 0.5))
        expected = tuple(math.ceil(side / classifier.stride) for side in size_hw)
        assert maps.scales[0].shape == (1, *expected)
        assert maps.full().shape == (1, *size_hw)
        assert score_maps(classifier, image, 0 * tags).keys == ()


@pytest.mark.parametrize("freeze_trunk", [True, False])
@pytest.mark.parametrize("values", [RESNET, DINOV2], ids=["resnet", "dinov2"])
def test_an_adaptation_moves_the_maps_and_gives_the_weights_back(
    tmp_path: Path, values: dict[str, JsonValue], freeze_trunk: bool
) -> None:
    classifier = open_classifier(build(tmp_path, values), freeze_trunk=freeze_trunk)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    flags = [parameter.requires_grad for parameter in classifier.parameters()]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (29, 42, 3), dtype=np.uint8)
    partners = [(torch.randn(2, 3, 33, 33), torch.tensor([[0.0, 1.0, 0.0]] * 2)) for _ in range(3)]
    sums: list[Tensor] = []
    result = adapt(
        classifier,
        image,
        np.array([1, 0, 0]),
        partners,
        iterations=3,
        lr=1e-2,
        weight_decay=1e-4,
        threshold=0.4,
        logit_stop=1e9,
        area_threshold=0.3,
        area_ratio=1.0,
        scales=(1.0, 0.5),
        after_iteration=lambda maps: sums.append(maps.scales[0]),
    )
    assert result.iterations == 3
    assert not torch.allclose(sums[1] - sums[0], sums[0]), "the second iteration's maps are not the first's"
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert [parameter.requires_grad for parameter in classifier.parameters()] == flags
