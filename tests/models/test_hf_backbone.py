"""Backbones of `transformers` itself, tiny and random; nothing is downloaded."""

import importlib
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.made_hf_backbone import build, open_classifier
from tests.tiny_networks import BACKBONES, DINOV2, RESNET, SWINV2
from weakseg.errors import ShapeError
from weakseg.models.backbone import StageForm
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_source import InputFormat

pytestmark = pytest.mark.slow  # transformers takes seconds to import

SIZE_HW = (45, 70)
STRIDES = {"swin": 32, "dinov2": 14, "dinov2_with_registers": 14}
"""Where it is not 16."""


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


def test_what_is_no_batch_of_images_is_refused(tmp_path: Path) -> None:
    backbone = build(tmp_path, RESNET)
    for call in (backbone, backbone.run_stages):
        with pytest.raises(ShapeError, match=r"expected normalised images \(N, 3, H, W\)"):
            call(torch.zeros(3, 19, 27))
