import sys

import numpy as np
import pytest

from weakseg.errors import ConfigError, MissingExtra, ShapeError
from weakseg.ops.superpixels import find_superpixels


def blocks() -> np.ndarray:
    """Draw two blocks on a ground, one of two pixels alone."""
    image = np.full((12, 17, 3), 100, np.uint8)
    image[3:9, 4:9] = (200, 40, 40)
    image[5, 13:15] = (40, 40, 200)
    return image


def test_even_blocks_are_parts_and_specks_join_what_is_around_them() -> None:
    image = blocks()
    before = image.copy()
    labels = find_superpixels(image, sigma_px=0, min_px=3)
    assert (labels.shape, labels.dtype) == ((12, 17), np.int32)
    expected = np.zeros((12, 17), np.int32)
    expected[3:9, 4:9] = 1
    assert labels.tolist() == expected.tolist()
    row = find_superpixels(image, sigma_px=0, min_px=0, scale=50)[5].tolist()
    assert row == [0] * 4 + [1] * 5 + [0] * 4 + [2, 2, 0, 0]
    assert np.array_equal(image, before)


def test_the_rule_is_the_papers_on_a_row_of_pixels() -> None:
    """Differences 2, 6, 7; parts are joined while theirs is at most what is inside and k / size, on both sides."""
    image = np.repeat(np.array([[0, 2, 8, 15]], np.uint8)[..., None], 3, axis=2)
    grey = np.sqrt(3)  # a step of 1 in grey is this much in colour
    assert find_superpixels(image, sigma_px=0, min_px=0, scale=grey * 1).tolist() == [[0, 1, 2, 3]]
    # 2 <= 3 joins the first pair, which then allows 2 + 3 / 2 = 3.5 < 6; 7 > 3.
    assert find_superpixels(image, sigma_px=0, min_px=0, scale=grey * 3).tolist() == [[0, 0, 1, 2]]
    # The pair allows 2 + 9 / 2 = 6.5, so the third joins; then 6 + 9 / 3 = 9 >= 7, and 9 >= 7.
    assert find_superpixels(image, sigma_px=0, min_px=0, scale=grey * 9).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5), (7, 1), (31, 44)])
def test_every_pixel_has_a_part_at_any_size(size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    labels = find_superpixels(image)
    numbers, firsts = np.unique(labels, return_index=True)
    assert numbers.tolist() == list(range(len(numbers)))
    assert sorted(firsts) == list(firsts)
    counts = np.bincount(labels.ravel())
    assert counts.min() >= min(20, labels.size)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected scale above 0"):
        find_superpixels(blocks(), scale=0)
    with pytest.raises(ShapeError):
        find_superpixels(blocks()[..., 0])


def test_without_scikit_image_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(MissingExtra, match=r"superpixels need scikit-image, .* pip install 'weakseg\[superpixels\]'$"):
        find_superpixels(blocks())
