from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.tiny import make_segmenter
from weakseg.errors import ConfigError, ShapeError
from weakseg.models.inference import (
    label_views,
    mean_view,
    most_probable,
    predict_labels,
    predict_probabilities,
    probabilities_of_views,
)
from weakseg.ops.crf import dense_crf
from weakseg.ops.crf_settings import DEEPLAB_CRF, CRFSettings
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
    found = most_probable(views, range(num_labels), size_hw)
    assert (found.labels.dtype, found.labels.shape) == (np.uint8, size_hw)
    total = sum(upsample(view, size_hw) for view in views)
    chosen = total.gather(0, torch.from_numpy(found.labels)[None].long())[0]
    assert found.confidence == pytest.approx(chosen.numpy() / len(views), abs=1e-6)
    # Equal up to the rounding of a resampling done map by map.
    assert (chosen >= total.amax(dim=0) - 1e-6).all()


def test_equal_maps_give_the_smaller_label() -> None:
    views = [torch.tensor([[[0.2, 0.5]], [[0.4, 0.5]], [[0.4, 0.1]]])]
    assert most_probable(views, range(3), (1, 2)).labels.tolist() == [[1, 0]]


def test_negative_maps_and_the_highest_label() -> None:
    view = torch.full((255, 1, 1), -9.0)
    view[254] = -8.0
    assert most_probable([view], range(255), (2, 1)).labels.tolist() == [[254], [254]]


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


def test_an_image_is_looked_at_at_one_scale_at_least() -> None:
    for predict in (predict_labels, predict_probabilities):
        with pytest.raises(ShapeError, match="scales: an image is looked at at one scale or more, got none"):
            predict(make_segmenter(), make_image(), scales=())


@pytest.mark.parametrize("allowed", [(), (3,), (-1, 0)])
def test_allowed_labels_that_there_are_not_are_refused(allowed: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"allowed: expected one or more of the labels 0\.\.2, got \["):
        label_views([torch.ones(3, 2, 3) / 3], make_image(5, 7), (5, 7), crf=None, allowed=allowed)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("crf", [None, DEEPLAB_CRF])
def test_a_network_that_diverged_labels_nothing(place: int, crf: CRFSettings | None) -> None:
    view = torch.ones(3, 2, 3) / 3
    view[place, 1, 1] = torch.nan
    with pytest.raises(ShapeError, match="probabilities hold NaN; did its training diverge"):
        label_views([view], make_image(5, 7), (5, 7), crf=crf)


def test_probabilities_are_those_of_the_labels_at_full_size() -> None:
    segmenter, image = make_segmenter(), make_image()
    before = image.copy()
    found = predict_probabilities(segmenter, image, scales=(1.0, 0.5), flip=True)
    assert (found.dtype, found.shape) == (np.float32, (NUM_LABELS, 25, 42))
    assert found.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    labels = predict_labels(segmenter, image, scales=(1.0, 0.5), flip=True)
    assert (np.take_along_axis(found, labels[None].astype(np.intp), axis=0)[0] >= found.max(axis=0) - 1e-6).all()
    assert (image == before).all()
    assert predict_probabilities(segmenter, image, max_side_px=21).shape == (NUM_LABELS, 25, 42)


def test_the_mean_of_views_by_hand() -> None:
    views = [torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]), torch.tensor([[[0.5]], [[0.5]]])]
    assert mean_view(views, (1, 4))[0].tolist() == [[0.25, 0.375, 0.625, 0.75]]


def test_crf_settings_are_those_of_deeplab() -> None:
    assert DEEPLAB_CRF == CRFSettings(gaussian=(1, 3), bilateral=(67, 3, 4), iterations=10)


@pytest.mark.parametrize("num_labels", [2, 4])
def test_the_crf_sees_minus_the_log_of_the_mean_probabilities(num_labels: int) -> None:
    segmenter, image = make_segmenter(num_labels=num_labels), make_image()
    crf = CRFSettings(gaussian=(2, 3), bilateral=(9, 30, 4), iterations=3)
    labels = predict_labels(segmenter, image, scales=(1.0, 0.5), flip=True, crf=crf)
    energies = -np.log(predict_probabilities(segmenter, image, scales=(1.0, 0.5), flip=True))
    marginals = dense_crf(image, energies, gaussian=(2, 3), bilateral=(9, 30, 4), iterations=3)
    assert (labels.dtype, labels.shape) == (np.uint8, (25, 42))
    assert (labels == marginals.argmax(axis=0)).all()
    assert (labels != predict_labels(segmenter, image, scales=(1.0, 0.5), flip=True)).any()


def test_no_iterations_leave_the_labels_as_they_are() -> None:
    segmenter, image = make_segmenter(), make_image()
    crf = replace(DEEPLAB_CRF, iterations=0)
    assert (predict_labels(segmenter, image, crf=crf) == predict_labels(segmenter, image)).all()


def test_unlikely_labels_are_left_out_of_the_crf_and_the_others_keep_their_numbers() -> None:
    """81 labels of which only 0, 7 and 80 are ever likely, on two flat halves."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[:, 4:] = 200
    view = torch.full((81, 3, 4), 1e-4)
    view[80, :, 2:], view[0, :, :2] = 0.9, 0.6
    view[7, :, :2] = 0.35
    view[7, 1, 1] = 0.9
    crf = CRFSettings(gaussian=(3, 3), bilateral=(20, 10, 4))
    labels = label_views([view], image, (6, 8), crf=crf).labels
    everything = dense_crf(image, -np.log(mean_view([view], (6, 8)).numpy()), gaussian=(3, 3), bilateral=(20, 10, 4))
    assert labels.tolist() == everything.argmax(axis=0).tolist()
    assert set(np.unique(labels)) == {0, 80}
    assert set(np.unique(label_views([view], image, (6, 8), crf=None).labels)) == {0, 7, 80}


def test_a_single_likely_label_is_everywhere() -> None:
    view = torch.zeros(255, 2, 3)
    view[254] = 1.0
    assert (label_views([view], make_image(5, 7), (5, 7), crf=DEEPLAB_CRF).labels == 254).all()


def test_probabilities_of_zero_are_finite_energies() -> None:
    view = torch.zeros(2, 1, 2)
    view[0, 0, 0] = view[1, 0, 1] = 1.0
    assert label_views([view], make_image(4, 6), (4, 6), crf=DEEPLAB_CRF).labels.shape == (4, 6)


def test_the_crf_of_a_large_image_runs_on_what_the_network_sees() -> None:
    segmenter, image = make_segmenter(), make_image(50, 84)
    crf = CRFSettings(gaussian=(2, 3), bilateral=(9, 30, 4))
    labels = predict_labels(segmenter, image, max_side_px=21, crf=crf)
    assert labels.shape == (50, 84)
    small = resize_image(image, (12, 21))
    energies = -np.log(predict_probabilities(segmenter, small))
    marginals = torch.from_numpy(dense_crf(small, energies, gaussian=(2, 3), bilateral=(9, 30, 4)))
    assert (labels == upsample(marginals, (50, 84)).argmax(dim=0).numpy()).mean() > 0.999


def test_a_setting_of_the_crf_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match="gaussian"):
        predict_labels(make_segmenter(), make_image(), crf=replace(DEEPLAB_CRF, gaussian=(1.0, -3.0)))


def test_views_need_no_gradient_and_leave_modes_alone() -> None:
    segmenter = make_segmenter().train()
    views = probabilities_of_views(segmenter, make_image(), scales=(1.0, 0.5), flip=False)
    assert [tuple(view.shape) for view in views] == [(NUM_LABELS, 4, 6), (NUM_LABELS, 2, 3)]
    assert not any(view.requires_grad for view in views)
    assert segmenter.backbone.bn1.training
