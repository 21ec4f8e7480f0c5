import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tiny_sam3 import MEAN, SIDE_PX, STD, save_sam3
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.localize.frame import fit_frame
from weakseg.localize.sam3 import Doubts, SAM3Config, check_sam3, text_score_maps
from weakseg.models.sam3_source import Segmenter3, find_sam3, load_sam3

SECTION = "localize.sam3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam3(tmp_path_factory.mktemp("sam3"))


def load(folder: Path) -> Segmenter3:
    return load_sam3(*find_sam3(str(folder), section=SECTION, tokenizer=None))


@pytest.mark.slow
def test_maps_are_the_largest_of_the_masks_by_their_scores(folder: Path) -> None:
    segmenter = load(folder)
    assert segmenter.side_px == SIDE_PX
    image = np.random.default_rng(0).integers(0, 255, (37, 52, 3), np.uint8)
    before = image.copy()
    texts = [segmenter.embed_text(text) for text in ("cat", "polar bear")]
    maps, presences = text_score_maps(segmenter, image, (1, 4), texts)
    assert (maps.keys, maps.size_hw, len(maps.scales)) == ((1, 4), (37, 52), 1)
    assert np.array_equal(image, before)

    square = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].float(), (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True
    )
    values = (square / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    tokenizer = importlib.import_module("transformers").CLIPTokenizer.from_pretrained(str(folder))
    for place, text in enumerate(("cat", "polar bear")):
        tokens = tokenizer([text], padding="max_length", max_length=32, return_tensors="pt")
        with torch.no_grad():
            found = segmenter.network(pixel_values=values, **tokens)
        scores, masks = found.pred_logits[0].sigmoid(), found.pred_masks[0].sigmoid()
        largest = torch.stack([score * mask for score, mask in zip(scores, masks, strict=True)]).amax(dim=0)
        present = float(found.presence_logits.sigmoid())
        expected = fit_frame(present * largest[None], (37, 52), cell_px=4)[0]
        # Pillow rounds the resized image to bytes.
        torch.testing.assert_close(maps.scales[0][place], expected, atol=0.01, rtol=0)
        assert presences[place] == pytest.approx(present, abs=0.01)

    nothing, none = text_score_maps(segmenter, image, (), [])
    assert (nothing.keys, none) == ((), ())


@pytest.mark.slow
def test_what_is_missing_is_told_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match=rf"^{SECTION}\.model: there is no file or folder"):
        find_sam3("./no", section=SECTION, tokenizer=None)
    with pytest.raises(ArtifactError, match=r"not a readable tokenizer|expected a tokenizer's files"):
        find_sam3(str(folder), section=SECTION, tokenizer=str(folder.parent))
    source, tokenizer = find_sam3(str(folder), section=SECTION, tokenizer=None)
    weights = folder / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="cannot load a SAM 3"):
        load_sam3(source, tokenizer)
    weights.write_bytes(kept)
    old = SimpleNamespace(__version__="4.57.0")
    monkeypatch.setattr("weakseg.models.sam3_source.import_transformers", lambda **_: old)
    with pytest.raises(MissingExtra, match=r"transformers 4\.57\.0 has no SAM 3 yet: pip install --upgrade"):
        find_sam3(str(folder), section=SECTION, tokenizer=None)


def test_doubtful_tags_are_counted_and_the_first_named(caplog: pytest.LogCaptureFixture) -> None:
    doubts = Doubts(below=0.5)
    doubts.note("a", "cat", 0.7)
    doubts.tell()
    assert caplog.text == ""
    for number in range(7):
        doubts.note(f"b{number}", "dog", 0.25)
    doubts.tell()
    assert "SAM 3 does not find 7 of 8 tags" in caplog.text
    assert "dog in b0 (0.25), dog in b1" in caplog.text
    assert caplog.text.rstrip().endswith("dog in b4 (0.25), ...")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SAM3Config(model=""), "model: expected a repository or a folder"),
        (SAM3Config(words=("=x",)), "words: expected 'class=words' in each, got '=x'"),
    ],
)
def test_texts_that_cannot_be_asked_with_are_refused(settings: SAM3Config, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^localize\.sam3\.{message}"):
        check_sam3(settings)
