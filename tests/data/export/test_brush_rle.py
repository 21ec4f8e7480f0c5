import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from tests.data.export.rle_pack import read_brush, unpack
from weakseg.data.export.brush_rle import encode_brush
from weakseg.errors import ShapeError


def test_a_single_pixel_bit_by_bit() -> None:
    bits = f"{4:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"  # 4 values of 8 bits; runs of 3, 4, 8, 16 bits
    bits += "1" + "00" + "011" + "11111111"  # a run, of the first width, 4 - 1, 255
    bits += "0" * (-len(bits) % 8)
    expected = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    assert encode_brush(np.ones((1, 1), bool)) == expected


def test_the_header_is_that_of_files_which_label_studio_writes() -> None:
    # The first bytes of a mask 2527 x 3332 that Label Studio wrote (huggingface.co/datasets/alkzar90/cell_benchmark).
    # After the number of values they go on 57, 27, 255: 8 bits a value, runs of 3, 4, 8 and 16 bits, and a first run.
    data = encode_brush(np.zeros((2527, 3332), bool))
    assert data[:7] == [2, 1, 233, 240, 57, 27, 255]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 16384 * 3, 16384 * 3 + 1])
def test_runs_at_the_limits_of_every_width(length: int) -> None:
    mask = np.zeros((2, length), bool)
    mask[1] = True
    np.testing.assert_array_equal(read_brush(encode_brush(mask), (2, length)), mask)


def test_every_channel_is_painted() -> None:
    assert unpack(encode_brush(np.array([[False, True]]))) == [0] * 4 + [255] * 4


@pytest.mark.slow
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=13)))
def test_an_independent_decoder_gives_the_mask_back(mask: np.ndarray) -> None:
    before = mask.copy()
    data = encode_brush(mask)
    assert all(isinstance(byte, int) and 0 <= byte <= 255 for byte in data)
    np.testing.assert_array_equal(read_brush(data, mask.shape), mask)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("mask", [np.zeros((0, 3), bool), np.ones((2, 3), np.uint8), np.ones(3, bool)])
def test_what_is_no_mask_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected a mask \(H, W\) bool of 1 to 1073741823 pixels"):
        encode_brush(mask)
