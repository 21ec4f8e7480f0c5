import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from weakseg.errors import ArtifactError
from weakseg.models.checkpoints import abridge, as_tensors, fit_state, read_checkpoint

WEIGHT = torch.tensor([[1.0, 2.0]])


class Payload:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_pth_and_safetensors_give_the_same_tensors(tmp_path: Path) -> None:
    torch.save({"weight": WEIGHT}, tmp_path / "a.pth")
    safetensors.torch.save_file({"weight": WEIGHT}, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert torch.equal(read_checkpoint(tmp_path / name)["weight"], WEIGHT)


def test_wrapped_state_dict_and_data_parallel_prefix_are_unwrapped(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": OrderedDict({"module.weight": WEIGHT})}, tmp_path / "a.pth")
    tensors = read_checkpoint(tmp_path / "a.pth")
    assert list(tensors) == ["weight"]


def test_pickle_that_runs_code_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    path, victim = tmp_path / "a.pth", tmp_path / "victim"
    torch.save({"weight": WEIGHT, "extra": Payload(victim)}, path)
    with pytest.raises(ArtifactError, match="--trust-pickle") as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not victim.exists()


def test_trusted_pickle_is_read(tmp_path: Path) -> None:
    path, victim = tmp_path / "a.pth", tmp_path / "victim"
    torch.save({"state_dict": {"weight": WEIGHT}, "extra": Payload(victim)}, path)
    assert torch.equal(read_checkpoint(path, trust_pickle=True)["weight"], WEIGHT)
    assert victim.exists()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no checkpoint at .*absent\.pth"):
        read_checkpoint(tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (torch.save if name.endswith("pth") else safetensors.torch.save_file)({"weight": WEIGHT}, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=name):
        read_checkpoint(path)


def test_text_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "page.pth"
    path.write_text("<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(ArtifactError, match=r"page\.pth"):
        read_checkpoint(path)


def test_file_without_a_mapping_is_refused(tmp_path: Path) -> None:
    torch.save([WEIGHT], tmp_path / "a.pth")
    with pytest.raises(ArtifactError, match="expected a mapping of names to tensors, got list"):
        read_checkpoint(tmp_path / "a.pth")


def test_empty_mapping_is_refused() -> None:
    with pytest.raises(ArtifactError, match="here: expected named tensors, got an empty mapping"):
        as_tensors({}, where="here")


def test_value_that_is_no_tensor_is_named() -> None:
    content = pickle.loads(pickle.dumps({"weight": WEIGHT, "epoch": "three"}))
    with pytest.raises(ArtifactError, match="expected tensors, but 'epoch' holds str"):
        as_tensors(content, where="here")


def test_arrays_are_copied_and_keep_their_dtype() -> None:
    array = np.ones((2, 3), np.float32)
    array.flags.writeable = False
    tensors = as_tensors({"weight": array, "count": np.array(7)}, where="here")
    tensors["weight"] += 1
    assert array.max() == 1
    assert tensors["weight"].dtype == torch.float32
    assert tensors["count"].item() == 7


def test_state_that_fits_is_copied_with_conversion() -> None:
    module = nn.Linear(2, 1)
    fit_state(module, {"weight": WEIGHT.double(), "bias": torch.tensor([3.0])}, where="here")
    assert module.weight.dtype == torch.float32
    assert module(torch.tensor([1.0, 1.0])).item() == 6.0


def test_counter_of_a_norm_may_be_missing_and_nothing_else() -> None:
    norm = nn.BatchNorm2d(1)
    state = {name: torch.full((1,), 5.0) for name in ("weight", "bias", "running_mean", "running_var")}
    fit_state(norm, state, where="here")
    assert norm.running_mean.item() == 5.0
    del state["running_var"]
    with pytest.raises(ArtifactError, match="here: lacks 1 of 5 parameters: running_var"):
        fit_state(norm, state, where="here")


def test_unexpected_names_and_wrong_shapes_leave_the_module_alone() -> None:
    module = nn.Linear(2, 1)
    before = module.weight.clone()
    with pytest.raises(ArtifactError, match="holds 1 unexpected parameters: scale"):
        fit_state(module, {"weight": WEIGHT, "bias": torch.zeros(1), "scale": torch.zeros(1)}, where="here")
    with pytest.raises(ArtifactError, match=r"'weight' should have shape \(1, 2\), got \(2, 2\)"):
        fit_state(module, {"bias": torch.zeros(1), "weight": torch.zeros(2, 2)}, where="here")
    assert torch.equal(module.weight, before)


def test_long_lists_of_names_are_abridged() -> None:
    assert abridge(["a", "b", "c", "d"]) == "a, b, c, d"
    assert abridge("abcde") == "a, b, c, d, ..."
