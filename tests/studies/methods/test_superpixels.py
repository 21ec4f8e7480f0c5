from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import make_dataset
from weakseg.data.agnostic_masks import AgnosticMasks
from weakseg.errors import MissingExtra
from weakseg.studies.methods.superpixels import ADVICE, can_make_superpixels, find_superpixels, write_superpixels

needs_skimage = pytest.mark.skipif(not can_make_superpixels(), reason=f"needs scikit-image: {ADVICE}")


@needs_skimage
def test_two_colours_are_two_regions() -> None:
    image = np.full((40, 61, 3), 20, np.uint8)
    image[:, 30:] = (220, 40, 40)
    before = image.copy()
    regions = find_superpixels(image)
    assert (regions.dtype, regions.shape) == (np.uint16, (40, 61))
    # Only where the blur mixes the two colours there may be others between them.
    left, right = (np.unique(part).tolist() for part in (regions[:, :27], regions[:, 33:]))
    assert len(left) == len(right) == 1
    assert left != right
    assert regions.min() == 1
    assert np.array_equal(image, before)


@needs_skimage
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (7, 2)])
def test_a_plain_image_of_any_size_is_one_region(size_hw: tuple[int, int]) -> None:
    assert np.all(find_superpixels(np.full((*size_hw, 3), 90, np.uint8)) == 1)


@needs_skimage
def test_no_region_is_smaller_than_a_thousandth_of_the_image() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 80, 3)).astype(np.uint8)
    numbers, pixels = np.unique(find_superpixels(noise), return_counts=True)
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    assert pixels.min() >= 4


@needs_skimage
def test_tagged_images_get_a_file_that_merge_reads_and_keep_what_they_have(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,), (), (1, 2)))
    write_superpixels(dataset, tmp_path / "masks")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["train_0.png", "train_2.png"]
    size_hw = dataset.load_image(dataset.samples[0]).shape[:2]
    masks = AgnosticMasks(tmp_path / "masks").read("train_0", size_hw=size_hw)
    assert masks is not None
    assert masks.shape[1:] == size_hw
    # Every pixel lies in just one region.
    assert np.all(masks.sum(axis=0) == 1)

    other = (tmp_path / "masks" / "train_2.png").read_bytes()
    (tmp_path / "masks" / "train_0.png").write_bytes(other)
    write_superpixels(dataset, tmp_path / "masks")
    assert (tmp_path / "masks" / "train_0.png").read_bytes() == other


def test_without_scikit_image_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(MissingExtra, match=r"superpixels need scikit-image, .* pip install scikit-image$"):
        find_superpixels(np.zeros((4, 5, 3), np.uint8))
