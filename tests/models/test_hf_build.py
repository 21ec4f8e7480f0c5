"""Networks of `transformers` itself, tiny and random; nothing is downloaded."""

import json
import math
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_networks import DATA2VEC, FAMILIES, SEGFORMER, write_config
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.files import JsonValue
from weakseg.models.hf_build import build_hf_segmenter, rebuild_hf_segmenter
from weakseg.models.hf_segmenter import HFSegmenter
from weakseg.models.hf_source import InputFormat, NetworkSource
from weakseg.models.inference import predict_probabilities

pytestmark = pytest.mark.slow  # transformers takes seconds to import

NAMES = ("background", "cat", "dog", "fox")
SIZE_HW = (45, 70)
CLASSIFIER = ["decode_head.classifier.weight", "decode_head.classifier.bias"]


def find(path: Path) -> NetworkSource:
    return NetworkSource(config=path, folder=None, origin=str(path))


def build(path: Path, *, seed: int = 0, fixed_norm: bool = True) -> HFSegmenter:
    generator = torch.Generator().manual_seed(seed)
    return build_hf_segmenter(
        find(path), label_names=NAMES, pretrained=False, fixed_norm=fixed_norm, generator=generator
    )[0]


def load(source: NetworkSource, *, names: tuple[str, ...] = NAMES, seed: int = 5) -> tuple[HFSegmenter, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    segmenter, fresh = build_hf_segmenter(
        source, label_names=names, pretrained=True, fixed_norm=True, generator=generator
    )
    return segmenter, list(fresh)


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("bare") / "config.json", SEGFORMER)


@pytest.fixture(scope="module")
def segformer(config: Path) -> HFSegmenter:
    """Tests leave it as they found it."""
    return build(config)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(segformer: HFSegmenter, tmp_path: Path) -> NetworkSource:
    """The network of `segformer` as the library saves it, with its labels."""
    root = tmp_path / "network"
    segformer.network.save_pretrained(root)
    return NetworkSource(config=root / "config.json", folder=root, origin="the hub")


def test_segformer_labels_every_size_at_stride_4(segformer: HFSegmenter, images: Tensor) -> None:
    with torch.no_grad():
        logits = segformer.eval()(images)
        full = segformer.predict_logits(images, SIZE_HW)
        alone = segformer(images[1:])
    assert segformer.stride == 4
    assert logits.shape == (2, 4, math.ceil(45 / 4), math.ceil(70 / 4))
    assert full.shape == (2, 4, *SIZE_HW)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(alone, logits[1:], rtol=1e-4, atol=1e-5)


def test_every_parameter_of_segformer_learns(segformer: HFSegmenter, images: Tensor) -> None:
    segformer.eval()(images).square().mean().backward()
    groups = [*segformer.backbone_parameters(), *segformer.head_parameters()]
    assert {id(p) for p in groups} == {id(p) for p in segformer.parameters()}
    assert all(parameter.grad is not None for parameter in groups)
    assert {
        name.split(".")[1] for name, p in segformer.named_parameters() if id(p) in map(id, segformer.head_parameters())
    } == {"decode_head"}
    segformer.zero_grad()


def test_random_weights_depend_on_the_seed_alone(config: Path, segformer: HFSegmenter) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = build(config, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal(again.state_dict(), segformer.state_dict())
    other = build(config, seed=1)
    pairs = zip(other.parameters(), again.parameters(), strict=True)
    assert any(not torch.equal(one, two) for one, two in pairs)


def test_the_labels_are_ours(segformer: HFSegmenter) -> None:
    config = segformer.architecture()["transformers"]["config"]
    assert config["id2label"] == {"0": "background", "1": "cat", "2": "dog", "3": "fox"}
    assert config["label2id"] == {"background": 0, "cat": 1, "dog": 2, "fox": 3}
    assert segformer.num_labels == 4


def test_a_network_is_rebuilt_from_what_it_says_of_itself(segformer: HFSegmenter, images: Tensor) -> None:
    info = json.loads(json.dumps({**segformer.architecture(), "kind": "segmenter"}))
    again = rebuild_hf_segmenter(info, label_names=NAMES, fixed_norm=True, where="model.safetensors")
    again.load_state_dict(segformer.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images), segformer.eval()(images))
    assert again.architecture() == segformer.architecture()


def test_the_description_names_no_folder(folder: NetworkSource) -> None:
    segmenter, _ = load(folder)
    assert str(folder.folder) not in json.dumps(segmenter.architecture())


@pytest.mark.parametrize(
    "info", [{}, {"transformers": 3}, {"transformers": {"config": {}}}, {"transformers": {"config": 1}}]
)
def test_a_file_without_a_description_is_refused(info: dict[str, JsonValue]) -> None:
    with pytest.raises(
        ArtifactError, match=r"m\.safetensors: expected the configuration of a network of transformers \("
    ):
        rebuild_hf_segmenter(info, label_names=NAMES, fixed_norm=True, where="m.safetensors")


def test_saved_weights_come_back_and_what_scores_other_labels_is_fresh(
    folder: NetworkSource, segformer: HFSegmenter
) -> None:
    loaded, fresh = load(folder, names=("background", "car"))
    assert fresh == CLASSIFIER
    known = segformer.network.state_dict()
    for name, value in loaded.network.state_dict().items():
        assert name in CLASSIFIER or torch.equal(value, known[name]), name
    assert loaded.network.decode_head.classifier.weight.shape[0] == 2
    again, _ = load(folder, names=("background", "car"))
    assert_equal(again.state_dict(), loaded.state_dict())


def test_as_many_labels_of_other_names_are_not_taken_for_ours(folder: NetworkSource, segformer: HFSegmenter) -> None:
    loaded, fresh = load(folder, names=("background", "car", "bus", "van"))
    assert fresh == CLASSIFIER
    weight = loaded.network.decode_head.classifier.weight
    assert not torch.equal(weight, segformer.network.decode_head.classifier.weight)
    assert 0.005 < float(weight.detach().std()) < 0.05, "drawn as the library draws it, with deviation 0.02"


def test_the_same_labels_keep_what_scores_them(folder: NetworkSource, segformer: HFSegmenter) -> None:
    loaded, fresh = load(folder)
    assert fresh == []
    assert_equal(loaded.state_dict(), segformer.state_dict())


def test_a_folder_of_a_backbone_alone_gives_a_fresh_head(folder: NetworkSource, segformer: HFSegmenter) -> None:
    """As nvidia/mit-b0, which is a classifier: its backbone fits."""
    import safetensors.torch

    path = folder.folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    kept = {name: value for name, value in tensors.items() if name.startswith("segformer.")}
    safetensors.torch.save_file(kept | {"classifier.weight": torch.zeros(1000, 32)}, path, metadata={"format": "pt"})
    loaded, fresh = load(folder)
    assert fresh
    assert all(name.startswith("decode_head.") for name in fresh)
    assert_equal(loaded.backbone.state_dict(), segformer.backbone.state_dict())


def test_pickled_weights_are_read_as_tensors_alone(folder: NetworkSource, segformer: HFSegmenter) -> None:
    (folder.folder / "model.safetensors").unlink()
    torch.save(segformer.network.state_dict(), folder.folder / "pytorch_model.bin")
    loaded, fresh = load(folder)
    assert fresh == []
    assert_equal(loaded.state_dict(), segformer.state_dict())


class Bomb:
    """Writes a file when it is unpickled with full powers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_asks_to_run_code_is_refused(folder: NetworkSource, tmp_path: Path) -> None:
    (folder.folder / "model.safetensors").unlink()
    (folder.folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb(tmp_path / "proof")}, protocol=2))
    with pytest.raises(ArtifactError, match=rf"{folder.folder}: cannot load its weights \("):
        load(folder)
    assert not (tmp_path / "proof").exists()


def test_weights_that_are_missing_damaged_or_of_another_network_are_named(folder: NetworkSource) -> None:
    with pytest.raises(ArtifactError, match=r"the hub: there are no weights beside config\.json"):
        load(replace(folder, folder=None))
    path = folder.folder / "model.safetensors"
    path.write_bytes(b"short")
    with pytest.raises(ArtifactError, match="cannot load its weights"):
        load(folder)
    import safetensors.torch

    safetensors.torch.save_file({"other.weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"its weights are another network's; none of segformer\..* is there"):
        load(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"the hub: there are no weights beside config\.json"):
        load(folder)


def test_the_processor_of_a_folder_is_heeded(folder: NetworkSource, images: Tensor) -> None:
    plain, _ = load(folder)
    processor = {"image_processor_type": "SegformerImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder.folder / "preprocessor_config.json").write_text(json.dumps(processor))
    heeded, _ = load(folder)
    entry = heeded.architecture()["transformers"]
    assert InputFormat.from_json(entry["input_format"]) == InputFormat((0.5,) * 3, (0.5,) * 3, bgr=False)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = plain.eval()((images * std + mean - 0.5) / 0.5)
        torch.testing.assert_close(heeded.eval()(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"expected a network of semantic segmentation, got model_type 'None'; transformers .* has .*segformer"),
        ({"model_type": "vit"}, "expected a network of semantic segmentation, got model_type 'vit'"),
        ({**SEGFORMER, "depths": [1]}, r"transformers cannot build this network \("),
        ({**SEGFORMER, "hidden_sizes": "many"}, r"not a configuration of segformer \(|cannot build this network \("),
        (DATA2VEC, "Data2VecVisionForSemanticSegmentation with this configuration cannot label images of any size"),
    ],
)
def test_a_configuration_that_will_not_do_is_refused_in_one_line(
    values: dict[str, JsonValue], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(write_config(tmp_path / "config.json", values))
    assert "\n" not in str(caught.value)


def test_without_transformers_the_extra_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'weakseg\[hf\]'"):
        build(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_label_every_size_learn_and_are_rebuilt(family: str, tmp_path: Path, images: Tensor) -> None:
    segmenter = build(write_config(tmp_path / "config.json", FAMILIES[family]))
    logits = segmenter(images)
    assert logits.shape == (2, 4, -(-45 // segmenter.stride), -(-70 // segmenter.stride))
    logits.square().mean().backward()
    groups = [*segmenter.backbone_parameters(), *segmenter.head_parameters()]
    assert {id(p) for p in groups} == {id(p) for p in segmenter.parameters() if p.requires_grad}
    assert all(parameter.grad is not None for parameter in groups)
    info = json.loads(json.dumps(segmenter.architecture()))
    again = rebuild_hf_segmenter(info, label_names=NAMES, fixed_norm=True, where="file")
    again.load_state_dict(segmenter.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images), segmenter.eval()(images))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size_hw", [(1, 1), (20, 200)])
def test_every_family_labels_tiny_images_and_learns_from_two_of_them(
    family: str, size_hw: tuple[int, int], tmp_path: Path
) -> None:
    segmenter = build(write_config(tmp_path / "config.json", FAMILIES[family]))
    images = torch.randn(2, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    logits = segmenter(images)
    assert logits.shape == (2, 4, *(-(-side // segmenter.stride) for side in size_hw))
    assert logits.isfinite().all()
    logits.square().mean().backward()
    probabilities = predict_probabilities(segmenter.eval(), np.zeros((*size_hw, 3), np.uint8), scales=(1.0, 0.5))
    assert probabilities.shape == (4, *size_hw)
