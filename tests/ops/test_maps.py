import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.maps import strongest_label


def test_strongest_map_gives_value_and_label() -> None:
    maps = np.array([[[0.1, 0.9, 0.3]], [[0.5, 0.2, 0.3]]], np.float32)
    value, label = strongest_label(maps, (3, 14))
    assert value.tolist() == [[np.float32(0.5), np.float32(0.9), np.float32(0.3)]]
    assert label.tolist() == [[15, 4, 4]]
    assert (value.dtype, label.dtype) == (np.float32, np.uint8)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_keys_of_small_integer_types_do_not_overflow(dtype: type[np.integer]) -> None:
    maps = np.array([[[0.1, 0.9]], [[0.5, 0.2]]])
    assert strongest_label(maps, np.array([126, 127], dtype))[1].tolist() == [[128, 127]]


def test_without_maps_nothing_is_strong() -> None:
    value, label = strongest_label(np.zeros((0, 2, 3), np.float32), ())
    assert (value == -np.inf).all()
    assert label.tolist() == [[0, 0, 0], [0, 0, 0]]


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_it_is_argmax_with_the_first_among_equals(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 4, (count, 3, 4)).astype(np.float64) / 4
    keys = sorted(rng.choice(80, count, replace=False).tolist())
    before = maps.copy()
    value, label = strongest_label(maps, keys)
    assert np.array_equal(value, maps.max(axis=0))
    assert np.array_equal(label, np.array(keys)[maps.argmax(axis=0)] + 1)
    assert np.array_equal(maps, before)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros((1, 2, 3), np.int64)])
def test_other_shapes_and_dtypes_are_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ShapeError, match=r"expected float maps \(K, H, W\)"):
        strongest_label(wrong, (0,))


@pytest.mark.parametrize(
    ("keys", "message"), [((1,), "expected 2 distinct keys"), ((1, 1), "2 distinct"), ((0, 254), r"in 0\.\.253")]
)
def test_keys_that_do_not_fit_are_refused(keys: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        strongest_label(np.zeros((2, 1, 1)), keys)


@pytest.mark.parametrize("place", [0, 1])
def test_maps_with_nan_are_refused(place: int) -> None:
    maps = np.zeros((2, 2, 2), np.float32)
    maps[place, 1, 1] = np.nan
    with pytest.raises(ShapeError, match="maps hold NaN"):
        strongest_label(maps, (0, 1))
