from pathlib import Path

import pytest
import safetensors.torch
import torch

from weakseg.cli import main
from weakseg.errors import ArtifactError, UsageError
from weakseg.handover.convert import convert_checkpoint
from weakseg.models.checkpoints import read_checkpoint

WEIGHT = torch.arange(6.0).reshape(2, 3)


class Note:
    """Something that is no tensor."""


def test_tensors_keep_names_values_and_types(tmp_path: Path) -> None:
    shared = {"a": WEIGHT.t(), "b": WEIGHT, "steps": torch.tensor(3)}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in shared.items()}}, tmp_path / "net.pth")
    assert convert_checkpoint(tmp_path / "net.pth") == (tmp_path / "net.safetensors", 3)
    read = safetensors.torch.load_file(tmp_path / "net.safetensors")
    assert set(read) == set(shared)
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in shared.items())


def test_what_asks_to_run_code_is_converted_only_when_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "net.pth", tmp_path / "safe.safetensors"
    torch.save({"state_dict": {"weight": WEIGHT}, "note": Note()}, source)
    assert main(["convert", str(source), "--out", str(out)]) == 1
    assert f"'weakseg convert {source} --trust-pickle'" in capsys.readouterr().err
    assert not out.exists()
    assert main(["convert", str(source), "--out", str(out), "--trust-pickle"]) == 0
    assert capsys.readouterr().out == f"{out}: 1 tensor\n"
    assert torch.equal(read_checkpoint(out)["weight"], WEIGHT)


def test_nothing_is_overwritten_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": WEIGHT}, tmp_path / "net.pth")
    (tmp_path / "net.safetensors").write_text("mine")
    with pytest.raises(ArtifactError, match=r"net\.safetensors exists; remove it"):
        convert_checkpoint(tmp_path / "net.pth")
    assert (tmp_path / "net.safetensors").read_text() == "mine"
    with pytest.raises(UsageError, match=r"expected a name that ends in \.safetensors, got .*new\.pth"):
        convert_checkpoint(tmp_path / "net.pth", tmp_path / "new.pth")
