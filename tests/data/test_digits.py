from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tests.data.test_idx import encode_idx
from weakseg.data.digits import FONT_PICTURES, load_mnist, load_sklearn_digits, open_digits, print_digits
from weakseg.errors import DataError, MissingExtra


def write_mnist(
    folder: Path, labels: list[int], *, size: tuple[int, int] = (28, 28), images: int | None = None
) -> None:
    """Write the two training files; every pixel of an image is its place."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = np.stack([np.full(size, at, np.uint8) for at in range(len(labels) if images is None else images)])
    (folder / "train-images-idx3-ubyte").write_bytes(encode_idx(pictures))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode_idx(np.array(labels, np.uint8))))


def stand_in_for_sklearn(monkeypatch: pytest.MonkeyPatch, images: np.ndarray, target: np.ndarray) -> None:
    package, datasets = ModuleType("sklearn"), ModuleType("sklearn.datasets")
    datasets.load_digits = lambda: SimpleNamespace(images=images, target=target)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", package)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", datasets)


def hide_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_the_wanted_digits_of_mnist_are_kept_in_their_order(tmp_path: Path, place: str) -> None:
    write_mnist(tmp_path / place, [8, 0, 2, 2, 5])
    found = load_mnist(tmp_path, (2, 8))
    assert found.digits.tolist() == [8, 2, 2]
    assert found.pictures[:, 0, 0].tolist() == [0, 2, 3]
    assert found.pictures.shape == (3, 28, 28)
    assert found.source == "MNIST", "a folder that was moved holds the same digits"


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    write_mnist(tmp_path, [2, 8, 2], images=4)
    with pytest.raises(DataError, match=r"labels-idx1-ubyte\.gz: expected 4 labels, one per image, got 3; take both"):
        load_mnist(tmp_path, (2, 8))


def test_images_must_have_the_size_of_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path, [2, 8], size=(28, 20))
    with pytest.raises(DataError, match="expected images of 28 x 28 pixels as MNIST has them, got 28 x 20"):
        load_mnist(tmp_path, (2, 8))


def test_every_wanted_digit_must_be_there(tmp_path: Path) -> None:
    write_mnist(tmp_path, [2, 2, 3])
    with pytest.raises(DataError, match=f"{tmp_path}: MNIST: expected pictures of 2, 8, found none of 8"):
        load_mnist(tmp_path, (2, 8))


def test_a_folder_without_the_files_is_told_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"expected MNIST's file train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"
    ):
        open_digits(str(tmp_path / "nowhere"), digits=(2, 8))


def test_sklearns_digits_are_enlarged_and_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((3, 8, 8))
    images[0], images[2] = 16, 8
    stand_in_for_sklearn(monkeypatch, images, np.array([2, 5, 8]))
    found = load_sklearn_digits((2, 8))
    assert found.digits.tolist() == [2, 8]
    assert found.digits.dtype == found.pictures.dtype == np.uint8
    assert (found.pictures[0, 4:24, 4:24] == 255).all()
    assert (found.pictures[1, 4:24, 4:24] == 128).all()
    found.pictures[:, 4:24, 4:24] = 0
    assert not found.pictures.any()


@pytest.mark.slow
def test_sklearns_own_digits_are_177_twos_and_174_eights_as_bright_and_as_high_as_mnists() -> None:
    found = load_sklearn_digits((2, 8))
    assert np.bincount(found.digits).tolist() == [0, 0, 177, 0, 0, 0, 0, 0, 174]
    assert found.pictures.shape == (351, 28, 28)
    assert found.pictures.dtype == found.digits.dtype == np.uint8
    ink = found.pictures >= 128
    assert not found.pictures[:, [0, 3, 24, 27]].any(), "the frame is black"
    assert set(ink.any(axis=2).sum(axis=1).tolist()) == {19, 20}
    assert found.pictures.max(axis=(1, 2)).min() > 200


def test_sklearns_digits_are_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_sklearn(monkeypatch, np.ones((2, 8, 8)), np.array([2, 8]))
    assert open_digits("auto", digits=(2, 8)).source == "scikit-learn's digits"


def test_without_sklearn_digits_are_printed_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_sklearn(monkeypatch)
    assert open_digits("auto", digits=(2, 8)).source == "printed digits"
    with pytest.raises(MissingExtra, match="pip install scikit-learn"):
        open_digits("sklearn", digits=(2, 8))


@pytest.mark.slow
def test_printed_digits_are_always_the_same_and_no_two_are_alike() -> None:
    first, second = print_digits((2, 8)), open_digits("font", digits=(2, 8))
    np.testing.assert_array_equal(first.pictures, second.pictures)
    assert np.bincount(first.digits).tolist() == [0, 0, FONT_PICTURES, 0, 0, 0, 0, 0, FONT_PICTURES]
    assert len(np.unique(first.pictures.reshape(len(first.pictures), -1), axis=0)) == 2 * FONT_PICTURES


def test_printed_digits_lie_within_their_frame_and_are_about_as_high_as_mnists() -> None:
    ink = print_digits((2, 8)).pictures >= 128
    assert not ink[:, [0, -1]].any()
    assert not ink[:, :, [0, -1]].any()
    heights = ink.any(axis=2).sum(axis=1)
    assert heights.min() >= 15
    assert heights.max() <= 26
