import importlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.models.test_clip_names import as_openai
from tests.tiny_clip import LETTERS, make_clip, save_clip, save_tokenizer
from weakseg.errors import ArtifactError, ConfigError
from weakseg.handover.convert import convert_checkpoint
from weakseg.models.checkpoints import read_checkpoint
from weakseg.models.clip_source import OPENAI_TOKENIZER, find_clip, find_tokenizer, load_clip, load_tokenizer

SETTING = "localize.clip_es.model"


class Program(nn.Module):
    """Stands in for what OpenAI has scripted."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.slow
def test_a_folder_gives_a_network_that_learns_nothing_and_its_tokenizer(tmp_path: Path) -> None:
    source = find_clip(str(save_clip(tmp_path)), setting=SETTING)
    clip = load_clip(source)
    assert source.origin == str(tmp_path)
    assert not clip.training
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    expected = make_clip(vocabulary=LETTERS, positions=77).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in clip.state_dict().items())
    tokenizer = load_tokenizer(find_tokenizer(source, None, section="x"))
    ids = tokenizer(["Ab"], padding=True, truncation=True, max_length=9, return_tensors="pt")["input_ids"][0].tolist()
    assert (ids[0], ids[-1], len(ids)) == (LETTERS - 2, LETTERS - 1, 4)


@pytest.mark.slow
def test_openais_weights_tell_the_sizes_of_their_network(tmp_path: Path) -> None:
    transformers = importlib.import_module("transformers")
    tower = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 1, "projection_dim": 24}
    config = transformers.CLIPConfig(
        text_config={**tower, "num_hidden_layers": 2, "vocab_size": 30, "max_position_embeddings": 9},
        vision_config={**tower, "num_hidden_layers": 3, "patch_size": 4, "image_size": 20},
        projection_dim=24,
    )
    expected = transformers.CLIPModel(config).state_dict()
    path = tmp_path / "ViT.safetensors"
    theirs = {name: tensor.contiguous() for name, tensor in as_openai(expected).items()}
    safetensors.torch.save_file(theirs, path)
    source = find_clip(str(path), setting=SETTING)
    clip = load_clip(source)
    assert source.origin == str(path)
    assert clip.config.vision_config.image_size == 20
    assert clip.config.text_config.eos_token_id == 29
    assert all(torch.equal(tensor, expected[name]) for name, tensor in clip.state_dict().items())
    save_tokenizer(tmp_path / "words")
    assert find_tokenizer(source, str(tmp_path / "words"), section="x") == tmp_path / "words"
    safetensors.torch.save_file({"visual.conv1.weight": torch.zeros(8, 3, 4, 4)}, path)
    with pytest.raises(ArtifactError, match=r"expected OpenAI's weights of a CLIP .* 'visual.positional_embedding'"):
        load_clip(source)


@pytest.mark.slow
def test_what_is_missing_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match=rf"^{SETTING}: there is no file or folder"):
        find_clip(str(tmp_path / "no"), setting=SETTING)
    folder = save_clip(tmp_path / "clip")
    source = find_clip(str(folder), setting=SETTING)
    (folder / "merges.txt").unlink()
    with pytest.raises(ArtifactError, match=r"^x\.model: expected a tokenizer's files, .* by x\.tokenizer$"):
        find_tokenizer(source, None, section="x")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ArtifactError, match="not a readable tokenizer of CLIP"):
        load_tokenizer(find_tokenizer(source, None, section="x"))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    image_tower = {name: tensor for name, tensor in weights.items() if "text" not in name}
    safetensors.torch.save_file(image_tower, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArtifactError, match=r"its weights lack .* is it one of its two towers alone"):
        load_clip(source)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"there are no weights beside config\.json"):
        find_clip(str(folder), setting=SETTING)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="expected a CLIP with a vision transformer, got model_type 'bert'"):
        load_clip(source)
    asked = []

    def download(name: str, **_: object) -> str:
        asked.append(name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ViT.safetensors"
    path.write_bytes(b"")
    find_tokenizer(find_clip(str(path), setting=SETTING), None, section="x")
    assert asked == [OPENAI_TOKENIZER]


@pytest.mark.slow
def test_a_program_is_read_by_those_who_trust_it(tmp_path: Path) -> None:
    path = tmp_path / "ViT.pt"
    torch.jit.script(Program({"weight": torch.arange(3.0), "input_resolution": torch.tensor(20)})).save(path)
    with pytest.raises(
        ArtifactError, match=r"a program with its weights .* 'weakseg convert .*ViT\.pt --trust-pickle'"
    ):
        read_checkpoint(path)
    written, count = convert_checkpoint(path, trust_pickle=True)
    assert (written.name, count) == ("ViT.safetensors", 2)
    assert read_checkpoint(written)["weight"].tolist() == [0, 1, 2]
