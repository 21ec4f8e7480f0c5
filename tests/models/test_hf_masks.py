from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_clip import save_clip
from tests.tiny_sam import save_sam
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models.hf_masks import MaskOptions, keep_apart, open_mask_generator
from weakseg.models.hf_source import import_transformers

CPU = torch.device("cpu")
ALL = MaskOptions(points_per_side=3, least_score=0, least_stability=0)


def test_of_boxes_that_overlap_much_the_surest_stays() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 4, 4], [20, 20, 30, 30]]).float()
    scores = torch.tensor([0.5, 0.9, 0.7, 0.8, 0.7])
    assert keep_apart(boxes, scores, overlap=0.7).tolist() == [1, 3, 2]
    assert keep_apart(boxes, scores, overlap=0.95).tolist() == [1, 3, 2, 0]
    assert keep_apart(boxes, scores, overlap=1.0).tolist() == [1, 3, 2, 4, 0]
    assert keep_apart(boxes[:0], scores[:0], overlap=0.5).tolist() == []


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(37, 52), (64, 40)])
def test_a_sam_makes_masks_of_the_images_size_surest_first(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    make = open_mask_generator(str(save_sam(tmp_path)), device=CPU, options=ALL, setting="--model")
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    found = make(image)
    assert found.masks.shape == (len(found.scores), *size_hw)
    assert found.masks.dtype == np.bool_
    assert len(found.scores) > 0
    assert list(found.scores) == sorted(found.scores, reverse=True)
    again = make(image)
    assert np.array_equal(again.masks, found.masks)
    strict = MaskOptions(points_per_side=3, least_score=1.0)
    none = open_mask_generator(str(tmp_path), device=CPU, options=strict, setting="--model")(image)
    assert none.masks.shape[1:] == size_hw


@pytest.mark.slow
def test_what_is_no_sam_or_lacks_something_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_it(name: str) -> object:
        return open_mask_generator(name, device=CPU, options=ALL, setting="--model")

    with pytest.raises(ArtifactError, match=r"^--model: there is no file or folder"):
        open_it(str(tmp_path / "no"))
    with pytest.raises(ConfigError, match=r"^--model: expected a network that makes masks of .* got 'clip' in"):
        open_it(str(save_clip(tmp_path / "clip")))
    folder = save_sam(tmp_path / "sam")

    def fail(*_: object, **__: object) -> None:
        raise ImportError("Sam2ImageProcessor requires the Torchvision library")

    with monkeypatch.context() as patch:
        patch.setattr(import_transformers().AutoImageProcessor, "from_pretrained", fail)
        with pytest.raises(MissingExtra, match=r"needs torchvision: pip install torchvision$"):
            open_it(str(folder))
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match=f"{folder}: cannot load the network"):
        open_it(str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "--points: expected 1 or more, got 0"),
        ({"least_score": 1.5}, r"--least-score: expected a share within 0\.\.1, got 1\.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        MaskOptions(**options)
