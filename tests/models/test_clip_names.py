import pytest
import torch
from torch import Tensor

from tests.tiny_clip import make_clip
from weakseg.errors import ArtifactError
from weakseg.models.clip_names import rename_clip

PARTS = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "pre_layrnorm.": "ln_pre.",
    "post_layernorm.": "ln_post.",
    "final_layer_norm.": "ln_final.",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def as_openai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the other way round, by replacing words."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        own = name.replace("vision_model.", "visual.").replace("text_model.", "")
        for ours, theirs in PARTS.items():
            own = own.replace(ours, theirs)
        if name in ("visual_projection.weight", "text_projection.weight"):
            own, tensor = {"visual": "visual.proj", "text": "text_projection"}[name.split("_")[0]], tensor.T
        if "q_proj" in own:
            stacked = [state[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            own, tensor = own.replace("self_attn.q_proj.", "attn.in_proj_"), torch.cat(stacked)
        if "k_proj" not in own and "v_proj" not in own:
            renamed[own] = tensor
    return renamed


@pytest.mark.slow
def test_a_whole_network_goes_there_and_back() -> None:
    state = make_clip().state_dict()
    theirs = as_openai(state)
    assert "visual.transformer.resblocks.9.attn.in_proj_bias" in theirs
    sizes = {"input_resolution": torch.tensor(12), "context_length": torch.tensor(7), "vocab_size": torch.tensor(20)}
    found = rename_clip(theirs | sizes, where="a dictionary")
    assert set(found) == set(state)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_halves_become_floats() -> None:
    found = rename_clip({"visual.proj": torch.ones(3, 2, dtype=torch.float16)}, where="a dictionary")
    assert found["visual_projection.weight"].shape == (2, 3)
    assert found["visual_projection.weight"].dtype == torch.float32


def test_names_of_another_network_are_refused() -> None:
    names = ("visual.layer1.0.conv1.weight", "visual.transformer.resblocks.0.attn.q_proj.weight")
    with pytest.raises(ArtifactError, match=r"a dictionary: expected OpenAI's names .* got 2 others: visual.layer1"):
        rename_clip({name: torch.ones(3) for name in names}, where="a dictionary")
    with pytest.raises(ArtifactError, match="should hold three matrices, but has 4 rows"):
        rename_clip({"transformer.resblocks.0.attn.in_proj_bias": torch.ones(4)}, where="a dictionary")
