import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import (
    RunFolder,
    load_info,
    load_seed,
    load_state,
    load_stop_reason,
    load_tensors,
    save_mask,
    save_seed,
    save_state,
    save_tensors,
)
from weakseg.train.loop import TrainState
from weakseg.types import Sample, ScoreMaps

SCALE_SIZES_HW = ((3, 5), (2, 3))


def make_maps(num_keys: int) -> ScoreMaps:
    generator = torch.Generator().manual_seed(num_keys)
    keys = tuple(range(0, 2 * num_keys, 2))
    scales = tuple(torch.rand(num_keys, *size_hw, generator=generator) for size_hw in SCALE_SIZES_HW)
    return ScoreMaps(keys, scales, (37, 52))


def test_every_file_of_a_run_lies_below_its_root() -> None:
    folder = RunFolder(Path("runs/one"))
    assert folder.seed("sub/a.b") == Path("runs/one/seeds/sub/a.b.npz")
    assert folder.mask("sub/a.b") == Path("runs/one/masks/sub/a.b.png")
    assert folder.prediction("a") == Path("runs/one/predictions/a.png")
    assert folder.network("segmenter").model == Path("runs/one/segmenter/model.safetensors")
    names = [path.name for path in (folder.recipe, folder.state, folder.image_index, folder.metrics, folder.report)]
    assert names == ["recipe.yaml", "run.json", "images.json", "metrics.json", "report.html"]


@pytest.mark.parametrize("num_keys", [0, 1, 3])
def test_a_seed_comes_back_bit_for_bit(num_keys: int, tmp_path: Path) -> None:
    maps = make_maps(num_keys)
    path = tmp_path / "sub" / "a.npz"
    save_seed(path, maps)
    again = load_seed(path)
    assert (again.keys, again.size_hw) == (maps.keys, (37, 52))
    assert all(type(key) is int for key in again.keys)
    assert [tuple(scale.shape) for scale in again.scales] == [(num_keys, 3, 5), (num_keys, 2, 3)]
    for one, other in zip(again.scales, maps.scales, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    assert torch.equal(again.full(), maps.full())


def test_more_than_ten_scales_keep_their_order(tmp_path: Path) -> None:
    scales = tuple(torch.full((1, 1, 1), float(index)) for index in range(12))
    save_seed(tmp_path / "a.npz", ScoreMaps((0,), scales, (8, 8)))
    assert [scale.item() for scale in load_seed(tmp_path / "a.npz").scales] == list(range(12))


def test_equal_seeds_have_equal_bytes_whenever_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_seed(tmp_path / "a.npz", make_maps(3))
    later_s = time.time() + 3e8
    monkeypatch.setattr(time, "time", lambda: later_s)
    save_seed(tmp_path / "b.npz", make_maps(3))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_seed_that_is_not_finite_is_not_written(value: float, tmp_path: Path) -> None:
    maps = make_maps(1)
    maps.scales[1][0, 1, 2] = value
    with pytest.raises(ArtifactError, match=r"a\.npz are not finite: the classifier has diverged; train it with a low"):
        save_seed(tmp_path / "a.npz", maps)
    assert list(tmp_path.iterdir()) == []


def seed_with(**changes: object) -> Callable[[Path], None]:
    """Return a function that writes a seed file with other arrays; None leaves one out."""

    def write(path: Path) -> None:
        arrays = {
            "keys": np.array([0, 2]),
            "size_hw": np.array([37, 52]),
            "scale_0": np.zeros((2, 3, 5), np.float32),
            **changes,
        }
        np.savez(path, **{name: value for name, value in arrays.items() if value is not None})

    return write


def cut(path: Path) -> None:
    seed_with()(path)
    path.write_bytes(path.read_bytes()[:-30])


def flip_a_byte(path: Path) -> None:
    seed_with()(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"scale_0.npy") + 150] ^= 0xFF
    path.write_bytes(bytes(content))


def save_pickle(path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, keys=np.array([{"a": 1}], dtype=object), size_hw=np.array([1, 1]))
    path.write_bytes(buffer.getvalue())


def save_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip_a_byte,
        save_pickle,
        save_array,
        Path.touch,
        lambda path: path.write_bytes(b"not a zip file at all"),
        lambda path: zipfile.ZipFile(path, "w").close(),
        seed_with(keys=None),
        seed_with(size_hw=None),
        seed_with(scale_0=None),
        seed_with(scale_0=None, scale_1=np.zeros((2, 3, 5), np.float32)),
        seed_with(size_hw=np.array([37, 52, 3])),
        seed_with(keys=np.array([0, 2, 3])),
        seed_with(keys=np.array([2, 0])),
        seed_with(scale_0=np.zeros((2, 3, 5), np.float64)),
        seed_with(scale_0=np.array([["a"]])),
    ],
)
def test_a_damaged_seed_is_named_with_what_to_do(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    damage(path)
    with pytest.raises(ArtifactError, match=rf"seed {path} is damaged \(.*\); delete it and run 'localize' again"):
        load_seed(path)


@pytest.mark.parametrize("damage", [cut, save_array, Path.touch, lambda path: path.write_bytes(b"no zip"), str])
def test_a_stop_reason_that_cannot_be_read_names_its_seed(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    damage(path)
    with pytest.raises(ArtifactError, match=rf"seed {path} is missing or damaged \(.*\); run 'localize' again"):
        load_stop_reason(path)


def test_a_seed_file_with_nan_is_refused(tmp_path: Path) -> None:
    seed_with(scale_0=np.full((2, 3, 5), np.nan, np.float32))(tmp_path / "a.npz")
    with pytest.raises(ArtifactError, match=r"a\.npz holds values that are not finite; delete it and run 'localize'"):
        load_seed(tmp_path / "a.npz")


def test_a_missing_seed_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(ArtifactError, match=rf"expected a seed at {path}, but there is none; run the stage 'localize'"):
        load_seed(path)


TENSORS = {
    "b.weight": torch.arange(6.0).reshape(2, 3),
    "a.count": torch.tensor(7),
    "a.none": torch.zeros(0, 3),
    "view": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.ones(2, dtype=torch.float16),
}
INFO = {"kind": "classifier", "classes": ["Füchse", "dog"], "rates": None, "loss": 0.1}


def test_tensors_and_information_come_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, TENSORS, INFO)
    tensors, info = load_tensors(path)
    assert info == INFO
    assert load_info(path) == INFO
    assert tensors.keys() == TENSORS.keys()
    for name, value in tensors.items():
        assert value.dtype == TENSORS[name].dtype
        assert torch.equal(value, TENSORS[name]), name


def test_equal_tensors_have_equal_bytes_in_any_order(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", TENSORS, INFO)
    save_tensors(tmp_path / "b", dict(reversed(TENSORS.items())), dict(reversed(INFO.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_information_without_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_tensors(tmp_path / "a", TENSORS, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_program_has_no_information(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    tensors, info = load_tensors(tmp_path / "other.safetensors")
    assert list(tensors) == ["weight"]
    assert info == {}


@pytest.mark.parametrize("load", [load_tensors, load_info])
def test_missing_and_damaged_weights_are_named(load: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ArtifactError, match=rf"expected a safetensors file at {path}, but there is none; run"):
        load(path)
    save_tensors(path, TENSORS, INFO)
    content = path.read_bytes()
    for damaged in (b"", content[:5], content[:-4], b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=rf"{path} is damaged \(.*\); delete it and run the stage that writes"):
            load(path)


def test_information_that_is_no_json_is_damage(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"weakseg": "{broken"})
    with pytest.raises(ArtifactError, match=rf"{path} is damaged"):
        load_info(path)


def test_a_training_state_comes_back_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "classifier" / "checkpoint.safetensors"
    assert load_state(path) is None
    state = TrainState({"model.weight": torch.rand(2, 3)}, {"steps": 12, "history": [{"loss": 0.1 + 0.2}]})
    save_state(path, state)
    again = load_state(path)
    assert torch.equal(again.tensors["model.weight"], state.tensors["model.weight"])
    assert again.plain == json.loads(json.dumps(state.plain))


def test_masks_are_read_back_by_the_folders_reader(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    labels = np.array([[0, 1, 255], [254, 3, 0]], np.uint8)
    save_mask(folder.mask("sub/a"), labels)
    assert read_mask(folder.mask("sub/a")).tolist() == labels.tolist()
    sample = Sample("sub/a", tmp_path / "a.png", np.zeros(3, np.uint8), np.ones(3, np.bool_))
    assert folder.mask_reader()(sample).tolist() == labels.tolist()
    assert [path.name for path in folder.mask("sub/a").parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("[1, 2]", "expected its 'weakseg' to be a mapping, got list"),
        ("null", "expected its 'weakseg' to be a mapping, got NoneType"),
        ("[" * 100_000, "nested too deeply"),
        ('{"epochs": ' + "1" * 5000 + "}", "thousands of digits"),
    ],
    ids=["list", "null", "deep", "digits"],
)
def test_information_that_is_none_is_one_line(info: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"weakseg": info}))
    for load in (load_info, load_tensors):
        with pytest.raises(ArtifactError, match=message):
            load(path)


def test_a_header_that_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    header = b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ArtifactError, match="is damaged"):
        load_tensors(path)
