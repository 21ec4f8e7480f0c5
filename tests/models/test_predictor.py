from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.tiny import make_segmenter
from weakseg.errors import ConfigError, ShapeError
from weakseg.models.inference import LabelledPixels, predict_labels, predict_probabilities
from weakseg.models.predictor import TorchNetwork, Views, batched, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import normalise

WHOLE = Tiling(1024, 256)
PLAIN = Views()


def make_image(height: int = 25, width: int = 42, seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def label(
    image: NDArray[np.uint8],
    views: Views = PLAIN,
    tiling: Tiling = WHOLE,
    *,
    allowed: tuple[int, ...] | None = None,
) -> LabelledPixels:
    (maps,) = predict_views(TorchNetwork(make_segmenter()), [image], views=views, tiling=tiling)
    return choose_labels(maps, image, views=views, allowed=allowed)


class SmallConvolutions:
    """A network of stride 8 whose logits depend on pixels at most 16 px from their cell's centre.

    A 9x9 convolution of stride 8 on zero-padded pixels, then a 3x3 one: 4 + 8 px each way from a cell's first pixel,
    which lies 4 px before the centre.
    """

    num_labels = 3
    stride = 8
    reach_px = 16

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self._first = 0.2 * torch.randn(5, 3, 9, 9, generator=generator)
        self._second = torch.randn(3, 5, 3, 3, generator=generator)
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, batch: Tensor, /) -> Tensor:
        self.batches.append(tuple(batch.shape))
        features = nn.functional.conv2d(batch, self._first, stride=8, padding=4).tanh()
        return nn.functional.conv2d(features, self._second, padding=1)


class Brightness:
    """A smooth network whose logit of label 1 also grows with the mean of all it sees: no overlap is large enough."""

    num_labels = 2
    stride = 8

    def __call__(self, batch: Tensor, /) -> Tensor:
        local = nn.functional.avg_pool2d(batch.mean(dim=1, keepdim=True), 8, ceil_mode=True)
        logit = local + 2 * batch.mean(dim=(1, 2, 3), keepdim=True)
        return torch.cat([-logit, logit], dim=1)


@pytest.mark.parametrize(
    "views",
    [
        PLAIN,
        Views((1.0, 0.5), flip=True),
        Views((1.0, 1.5), max_side_px=21),
        Views((1.0, 0.5), flip=True, max_side_px=30, crf=CRFSettings((1.0, 0.5), (8.0, 20.0, 0.5), 3)),
    ],
)
def test_an_image_seen_whole_gets_the_labels_of_the_evaluation(views: Views) -> None:
    image = make_image()
    found = label(image, views)
    expected = predict_labels(
        make_segmenter(), image, scales=views.scales, flip=views.flip, max_side_px=views.max_side_px, crf=views.crf
    )
    assert (found.labels.dtype, found.confidence.dtype) == (np.uint8, np.float32)
    assert found.labels.tolist() == expected.tolist()
    assert len(np.unique(expected)) > 1


def test_the_confidence_is_the_probability_of_the_chosen_label() -> None:
    image = make_image()
    found = label(image, Views((1.0, 0.5), flip=True))
    probabilities = predict_probabilities(make_segmenter(), image, scales=(1.0, 0.5), flip=True)
    chosen = np.take_along_axis(probabilities, found.labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(found.confidence, chosen, atol=1e-6)


def test_only_allowed_labels_are_chosen_and_stay_as_sure_as_among_all() -> None:
    image = make_image()
    free, bound = label(image), label(image, allowed=(0, 2))
    assert set(np.unique(free.labels)) - {0, 2}
    assert set(np.unique(bound.labels)) <= {0, 2}
    probabilities = predict_probabilities(make_segmenter(), image)
    np.testing.assert_array_equal(bound.labels, np.array([0, 2])[probabilities[[0, 2]].argmax(axis=0)])
    np.testing.assert_allclose(bound.confidence, probabilities[[0, 2]].max(axis=0), atol=1e-6)
    assert (bound.confidence <= free.confidence).all()


def test_the_crf_sees_only_allowed_labels_even_where_none_is_likely() -> None:
    views = Views(crf=CRFSettings((1.0, 1.0), (8.0, 20.0, 1.0), 2))
    unlikely = torch.tensor([1e-4, 1e-4, 1.0 - 2e-4])[:, None, None].expand(3, 4, 6)
    found = choose_labels([unlikely], make_image(30, 47), views=views, allowed=(0, 1))
    assert found.labels.tolist() == np.zeros((30, 47)).tolist()  # the smaller of two that are equally likely
    np.testing.assert_allclose(found.confidence, 0.5, atol=1e-5)


def test_a_single_label_and_a_single_pixel() -> None:
    found = label(make_image(1, 1), allowed=(0,))
    assert found.labels.tolist() == [[0]]


def test_tiles_give_what_the_whole_image_gives_where_the_network_sees_no_farther_than_the_law_allows() -> None:
    image = make_image(243, 331)
    tiling = Tiling(128, 64)
    assert tiling.overlap_px / 4 == SmallConvolutions.reach_px
    for views in (PLAIN, Views((1.0, 1.3), flip=True)):
        network = SmallConvolutions()
        (whole,) = predict_views(network, [image], views=views, tiling=WHOLE)
        before = len(network.batches)
        (tiled,) = predict_views(network, [image], views=views, tiling=tiling)
        assert len(network.batches) - before >= 15
        for one, other in zip(tiled, whole, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_with_a_smaller_overlap_than_the_law_asks_for_tiles_differ() -> None:
    image = make_image(243, 331)
    whole, tiled = (
        predict_views(SmallConvolutions(), [image], views=PLAIN, tiling=tiling)[0][0]
        for tiling in (WHOLE, Tiling(128, 32))
    )
    assert float((whole - tiled).abs().max()) > 1e-3


def test_no_seam_shows_where_tiles_of_a_smooth_network_meet() -> None:
    # A slow gradient: neighbouring cells of the image itself differ by little, tiles as a whole by much.
    rows, columns = np.mgrid[:400, :560]
    image = np.repeat((20 + 200 * (rows + columns) / 958).astype(np.uint8)[..., None], 3, axis=2)

    def steps(tiling: Tiling) -> tuple[float, float]:
        """The largest step between neighbouring cells, and how far the map spans."""
        (found,) = predict_views(Brightness(), [image], views=PLAIN, tiling=tiling)[0]
        across, down = found[1].diff(dim=0).abs().max(), found[1].diff(dim=1).abs().max()
        return float(max(across, down)), float(found[1].max() - found[1].min())

    blended, span = steps(Tiling(256, 128))
    assert span > 0.5
    assert blended < 0.07  # 8 cells of ramp share out a difference between neighbouring tiles of about 0.4
    assert steps(Tiling(256, 0))[0] > 3 * blended


def test_many_images_at_once_give_what_each_gives_alone() -> None:
    images = [make_image(33, 50, seed) for seed in range(5)]
    views = Views((1.0, 0.5), flip=True)
    network = TorchNetwork(make_segmenter())
    together = predict_views(network, images, views=views, tiling=WHOLE, batch=3)
    for image, maps in zip(images, together, strict=True):
        (alone,) = predict_views(network, [image], views=views, tiling=WHOLE)
        for one, other in zip(maps, alone, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_tiles_of_one_size_go_through_the_network_together() -> None:
    network = SmallConvolutions()
    images = [make_image(100, 130), make_image(100, 130, 4)]
    alone = [predict_views(network, [image], views=PLAIN, tiling=Tiling(64, 32)) for image in images]
    network.batches.clear()
    together = predict_views(network, images, views=PLAIN, tiling=Tiling(64, 32), batch=4)
    # Rows begin at 0, 32, 64 (36 high), columns at 0, 32, 64, 96 (34 wide): 6, 2, 3 and 1 tiles of each size an image.
    sizes = [((64, 64), 12), ((64, 34), 4), ((36, 64), 6), ((36, 34), 2)]
    seen: dict[tuple[int, ...], int] = {}
    for number, _, *size in network.batches:
        assert number <= 4
        seen[tuple(size)] = seen.get(tuple(size), 0) + number
    assert seen == dict(sizes)
    for (maps,), other in zip(alone, together, strict=True):
        torch.testing.assert_close(maps[0], other[0], rtol=0, atol=1e-6)


def test_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected images of one size, got"):
        predict_views(SmallConvolutions(), [make_image(20, 30), make_image(30, 20)], views=PLAIN, tiling=WHOLE)


def test_an_array_that_is_no_image_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        predict_views(SmallConvolutions(), [np.zeros((5, 5), np.uint8)], views=PLAIN, tiling=WHOLE)


def test_no_images_have_no_maps() -> None:
    assert predict_views(SmallConvolutions(), [], views=PLAIN, tiling=WHOLE) == []


def test_no_scale_and_an_empty_batch_are_refused() -> None:
    with pytest.raises(ShapeError, match="at one scale or more, got none"):
        predict_views(SmallConvolutions(), [make_image()], views=Views(scales=()), tiling=WHOLE)
    with pytest.raises(ConfigError, match="batch: expected 1 or more, got 0"):
        predict_views(SmallConvolutions(), [make_image()], views=PLAIN, tiling=WHOLE, batch=0)


def test_a_network_that_breaks_its_promise_is_named() -> None:
    class Broken(SmallConvolutions):
        stride = 4

    with pytest.raises(ShapeError, match=r"expected logits \(1, 3, 5, 10\) of the network, which it promises, got"):
        predict_views(Broken(), [make_image(20, 40)], views=PLAIN, tiling=WHOLE)


def test_modes_images_and_gradients_are_left_as_they_are() -> None:
    segmenter, image = make_segmenter(), make_image()
    segmenter.backbone.layer1.eval()
    modes = [module.training for module in segmenter.modules()]
    before = image.copy()
    (maps,) = predict_views(TorchNetwork(segmenter), [image], views=Views(flip=True), tiling=WHOLE)
    assert [module.training for module in segmenter.modules()] == modes
    assert not modes[modes.index(False)]
    assert (image == before).all()
    assert torch.is_grad_enabled()
    assert not maps[0].requires_grad


def test_probabilities_add_up_to_one_in_tiles_too() -> None:
    (maps,) = predict_views(SmallConvolutions(), [make_image(200, 170)], views=PLAIN, tiling=Tiling(96, 32))
    torch.testing.assert_close(maps[0].sum(dim=0), torch.ones(25, 22))


def test_the_network_is_given_normalised_images() -> None:
    seen: list[Tensor] = []

    class Spy(SmallConvolutions):
        def __call__(self, batch: Tensor, /) -> Tensor:
            seen.append(batch)
            return super().__call__(batch)

    image = make_image()
    predict_views(Spy(), [image], views=replace(PLAIN, flip=True), tiling=WHOLE)
    assert torch.equal(seen[0][0], normalise(image))
    assert torch.equal(seen[1][0], normalise(image).flip(-1))


def test_batches_keep_the_order() -> None:
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
