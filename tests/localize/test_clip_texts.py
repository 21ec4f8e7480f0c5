from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.tiny_clip import LENGTH, save_clip
from weakseg.errors import ArtifactError
from weakseg.localize.clip_texts import TextEmbeddings, embed_words, load_texts, save_texts
from weakseg.models.clip_source import find_clip, find_tokenizer, load_clip, load_tokenizer


@pytest.mark.slow
def test_a_words_embedding_is_the_mean_over_the_prompts_at_length_one(tmp_path: Path) -> None:
    source = find_clip(str(save_clip(tmp_path / "clip")), setting="x")
    clip, tokenizer = load_clip(source), load_tokenizer(find_tokenizer(source, None, section="x"))
    prompts, words = ("a {}.", "the {} there"), ("cat", "Polar bear", "sky")
    found = embed_words(clip, tokenizer, words[:2], words[2:], prompts=prompts)
    assert (found.classes.shape, found.backgrounds.shape) == ((2, LENGTH), (1, LENGTH))
    for word, own in zip(words, (*found.classes, *found.backgrounds), strict=True):
        each = []
        for prompt in prompts:
            text = prompt.format(word).lower()
            ids = tokenizer([text], padding=True, truncation=True, max_length=77, return_tensors="pt")["input_ids"]
            assert ids.shape == (1, 2 + len(text.replace(" ", ""))), "a letter each, and both ends"
            with torch.no_grad():
                hidden = clip.text_model(input_ids=ids).last_hidden_state[0, -1]
                each.append(torch.nn.functional.normalize(clip.text_projection(hidden), dim=0))
        expected = torch.nn.functional.normalize(torch.stack(each).mean(dim=0), dim=0)
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)
    assert embed_words(clip, tokenizer, ["x" * 200], ["y"], prompts=prompts).classes.isfinite().all()


def test_texts_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "texts.safetensors"
    texts = TextEmbeddings(torch.rand(3, 4), torch.rand(2, 4))
    save_texts(path, texts, asked=("a", "b"), origin="here")
    found = load_texts(path, num_classes=3)
    assert torch.equal(found.of((2, 0)), torch.cat([texts.classes[[2, 0]], texts.backgrounds]))
    with pytest.raises(ArtifactError, match="expected texts of 4 classes and of backgrounds; delete it"):
        load_texts(path, num_classes=4)
    save_file({"classes": torch.rand(3, 4)}, path)
    with pytest.raises(ArtifactError, match=r"is missing or damaged .* delete it and run the stage 'localize' again"):
        load_texts(path, num_classes=3)
