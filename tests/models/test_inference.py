import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.tiny import make_segmenter
from weakseg.errors import ShapeError
from weakseg.models.inference import predict_labels, upsampled_argmax
from weakseg.ops.images import normalise, resize_image

NUM_LABELS = 4


def make_image(height: int = 25, width: int = 42) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def upsample(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return nn.functional.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)[0]


@given(
    num_labels=st.integers(1, 5),
    sizes_hw=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3),
    size_hw=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 999),
)
@settings(max_examples=50, deadline=None)
def test_the_argmax_is_that_of_the_sum_of_all_upsampled_maps(
    num_labels: int, sizes_hw: list[tuple[int, int]], size_hw: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    views = [torch.rand(num_labels, *view_hw, generator=generator) for view_hw in sizes_hw]
    labels = upsampled_argmax(views, size_hw)
    assert (labels.dtype, labels.shape) == (torch.uint8, size_hw)
    total = sum(upsample(view, size_hw) for view in views)
    chosen = total.gather(0, labels[None].long())[0]
    # Equal up to the rounding of a resampling done map by map.
    assert (chosen >= total.amax(dim=0) - 1e-6).all()


def test_equal_maps_give_the_smaller_label() -> None:
    views = [torch.tensor([[[0.2, 0.5]], [[0.4, 0.5]], [[0.4, 0.1]]])]
    assert upsampled_argmax(views, (1, 2)).tolist() == [[1, 0]]


def test_negative_maps_and_the_highest_label() -> None:
    view = torch.full((255, 1, 1), -9.0)
    view[254] = -8.0
    assert upsampled_argmax([view], (2, 1)).tolist() == [[254], [254]]


def test_one_view_is_the_plain_prediction() -> None:
    segmenter = make_segmenter()
    image = make_image()
    labels = predict_labels(segmenter, image)
    segmenter.eval()
    with torch.no_grad():
        probabilities = segmenter(normalise(image)[None]).softmax(dim=1)[0]
    assert (labels.dtype, labels.shape) == (np.uint8, (25, 42))
    assert labels.tolist() == upsample(probabilities, (25, 42)).argmax(dim=0).tolist()
    assert len(np.unique(labels)) > 1


def test_probabilities_of_scales_and_flips_are_averaged() -> None:
    segmenter = make_segmenter()
    image = make_image()
    labels = predict_labels(segmenter, image, scales=(1.0, 0.5), flip=True)
    segmenter.eval()
    total = torch.zeros(NUM_LABELS, 25, 42)
    with torch.no_grad():
        for size_hw in ((25, 42), (12, 21)):  # 12.5 is rounded to even
            view = normalise(resize_image(image, size_hw))[None]
            plain, mirrored = segmenter(view).softmax(dim=1)[0], segmenter(view.flip(3)).softmax(dim=1)[0].flip(2)
            total += upsample((plain + mirrored) / 2, (25, 42))
    chosen = total.gather(0, torch.from_numpy(labels)[None].long())[0]
    assert (chosen >= total.amax(dim=0) - 1e-6).all()


@pytest.mark.parametrize("size_hw", [(24, 40), (25, 41), (7, 50), (1, 1)])
def test_the_labels_of_a_mirrored_image_are_mirrored(size_hw: tuple[int, int]) -> None:
    segmenter, image = make_segmenter(), make_image(*size_hw)
    labels = predict_labels(segmenter, image, flip=True)
    mirrored = predict_labels(segmenter, np.ascontiguousarray(image[:, ::-1]), flip=True)
    assert labels.shape == size_hw
    assert (labels == mirrored[:, ::-1]).mean() > 0.999  # where two labels are equally likely rounding decides


def test_a_large_image_is_seen_small_and_labelled_in_full() -> None:
    segmenter, image = make_segmenter(), make_image(50, 84)
    labels = predict_labels(segmenter, image, max_side_px=21)
    assert labels.shape == (50, 84)
    segmenter.eval()
    with torch.no_grad():
        probabilities = segmenter(normalise(resize_image(image, (12, 21)))[None]).softmax(dim=1)[0]
    assert labels.tolist() == upsample(probabilities, (50, 84)).argmax(dim=0).tolist()
    assert predict_labels(segmenter, image, max_side_px=84).tolist() == predict_labels(segmenter, image).tolist()


def test_modes_image_and_gradients_are_left_as_they_are() -> None:
    segmenter, image = make_segmenter(), make_image()
    segmenter.backbone.layer1.eval()
    modes = [module.training for module in segmenter.modules()]
    before = image.copy()
    statistics = segmenter.backbone.bn1.running_mean.clone()
    predict_labels(segmenter, image, flip=True)
    assert [module.training for module in segmenter.modules()] == modes
    assert (image == before).all()
    assert torch.equal(segmenter.backbone.bn1.running_mean, statistics)
    assert torch.is_grad_enabled()


def test_an_array_that_is_no_image_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        predict_labels(make_segmenter(), np.zeros((5, 5), np.uint8))
