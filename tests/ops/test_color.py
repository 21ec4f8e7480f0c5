import matplotlib
import numpy as np
import pytest

from weakseg.errors import ShapeError
from weakseg.ops.color import colourise, heat, label_palette, overlay


def test_palette_starts_with_the_published_voc_colours() -> None:
    published = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert label_palette()[:7].tolist() == [list(colour) for colour in published]
    assert label_palette()[20].tolist() == [0, 64, 128]  # tvmonitor
    assert label_palette()[255].tolist() == [224, 224, 192]  # void


def test_palette_gives_every_label_its_own_colour() -> None:
    palette = label_palette()
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert len({tuple(colour) for colour in palette.tolist()}) == 256


def test_palette_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        label_palette()[0] = 1


def test_colourise_paints_each_pixel_with_its_label() -> None:
    labels = np.array([[0, 1, 255], [2, 1, 0]], np.uint8)
    painted = colourise(labels)
    assert painted.shape == (2, 3, 3)
    assert painted[0].tolist() == [[0, 0, 0], [128, 0, 0], [224, 224, 192]]
    painted[:] = 7  # a copy: the palette stays
    assert label_palette()[1].tolist() == [128, 0, 0]


def test_overlay_mixes_classes_and_leaves_background_alone() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 255]], np.uint8)
    mixed = overlay(image, labels, opacity=0.25)
    assert mixed.dtype == np.uint8
    assert mixed[0, 0].tolist() == [100, 100, 100]
    assert mixed[0, 1].tolist() == [107, 75, 75]  # 75 + 32, 75 + 0, 75 + 0
    assert mixed[0, 2].tolist() == [131, 131, 123]  # 75 + 56, 75 + 56, 75 + 48
    assert (image == 100).all()


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.5, 1.0])
def test_overlay_rounds_the_mixture_of_every_level_and_label(opacity: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(256, dtype=np.uint8).reshape(32, 8).repeat(2, axis=1)
    image = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
    mixture = np.rint((1.0 - opacity) * image + opacity * label_palette()[labels])
    expected = np.where((labels == 0)[..., None], image, mixture)
    assert np.array_equal(overlay(image, labels, opacity=opacity), expected)


@pytest.mark.parametrize(("opacity", "expected"), [(0.0, [10, 20, 30]), (1.0, [128, 0, 0])])
def test_overlay_at_the_ends_of_opacity(opacity: float, expected: list[int]) -> None:
    image = np.array([[[10, 20, 30]]], np.uint8)
    assert overlay(image, np.ones((1, 1), np.uint8), opacity=opacity)[0, 0].tolist() == expected


def test_overlay_refuses_what_does_not_fit() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"image \(2, 3\) and labels \(3, 2\)"):
        overlay(image, np.zeros((3, 2), np.uint8))
    with pytest.raises(ShapeError, match=r"image \(H, W, 3\) uint8, got \(2, 3, 3\) float64"):
        overlay(image.astype(np.float64), np.zeros((2, 3), np.uint8))
    with pytest.raises(ShapeError, match=r"opacity is a share within 0\.\.1, got 1\.5"):
        overlay(image, np.zeros((2, 3), np.uint8), opacity=1.5)


@pytest.mark.parametrize("labels", [np.zeros((2, 3), np.int64), np.zeros((1, 2, 3), np.uint8)])
def test_colourise_refuses_other_shapes_and_dtypes(labels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected labels \(H, W\) uint8"):
        colourise(labels)


def test_heat_follows_magma() -> None:
    levels = np.linspace(0, 1, 256, dtype=np.float32)[None]
    magma = np.asarray(matplotlib.colormaps["magma"].colors) * 255
    painted = heat(levels)
    assert painted.shape == (1, 256, 3)
    assert painted.dtype == np.uint8
    assert np.abs(painted[0] - magma).max() <= 3.5


def test_heat_brightens_with_the_score() -> None:
    brightness = heat(np.linspace(0, 1, 64)[None])[0].astype(int) @ [299, 587, 114]
    assert (np.diff(brightness) > 0).all()


def test_heat_accepts_rounding_at_the_ends_and_an_empty_map() -> None:
    assert heat(np.array([[-1e-5, 1 + 1e-5]], np.float32)).tolist() == [[[0, 0, 4], [252, 253, 191]]]
    assert heat(np.zeros((0, 3), np.float32)).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (np.zeros((2, 3), np.uint8), r"floating scores \(H, W\), got uint8"),
        (np.zeros((1, 2, 3)), r"got float64 \(1, 2, 3\)"),
        (np.array([[0.0, 2.0]]), "within 0..1, got 0 to 2"),
        (np.array([[0.0, np.nan]]), "finite"),
    ],
)
def test_heat_refuses_what_is_not_a_map_of_shares(scores: np.ndarray, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        heat(scores)
