"""A decoder of `@thi.ng/rle-pack`, written from its description on https://www.npmjs.com/package/@thi.ng/rle-pack.

32 bits number of words, 5 bits word size less one, four times 4 bits repeat size less one; then per entry a flag (1:
one value repeated, 0: that many single values), 2 bits which repeat size, the count less one, and the value or values.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def unpack(data: Sequence[int]) -> list[int]:
    text = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def read(bits: int) -> int:
        nonlocal at
        at += bits
        assert at <= len(text), "the data end too early"
        return int(text[at - bits : at], 2)

    number, word_bits = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    words: list[int] = []
    while len(words) < number:
        repeated = read(1)
        count = read(sizes[read(2)]) + 1
        words += [read(word_bits)] * count if repeated else [read(word_bits) for _ in range(count)]
    assert len(words) == number
    assert len(text) - at < 8
    assert "1" not in text[at:]
    return words


def read_brush(data: Sequence[int], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where the alpha of the RGBA picture (H, W, 4) is set, which is what Label Studio paints."""
    picture = np.array(unpack(data), np.uint8).reshape(*size_hw, 4)
    assert set(np.unique(picture)) <= {0, 255}
    return picture[..., 3] == 255
