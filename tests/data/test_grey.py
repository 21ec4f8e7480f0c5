import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.data.grey import decode_grey, encode_grey, read_grey
from weakseg.errors import DataError, ShapeError

GREY = np.array([[0, 1, 128], [200, 254, 255]], np.uint8)


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def palette_image() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    content = encode_grey(GREY)
    assert (content[24], content[25]) == (8, 0)  # bit depth, colour type grey
    (tmp_path / "a.png").write_bytes(content)
    found = read_grey(tmp_path / "a.png")
    assert (found.tolist(), found.dtype) == (GREY.tolist(), np.uint8)
    found[0, 0] = 7  # writable
    assert encode_grey(GREY[:, ::2]) == encode_grey(GREY[:, ::2].copy())


def test_black_and_white_of_one_bit_are_0_and_255() -> None:
    assert decode_grey(png(Image.fromarray(GREY > 150))).tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            png(palette_image()),
            "a palette PNG, whose numbers are colours and not amounts; save it as an 8-bit grey PNG",
        ),
        (png(Image.new("RGB", (3, 2))), "it has colours (Pillow mode RGB); save it as an 8-bit grey PNG"),
        (png(Image.fromarray(GREY.astype(np.uint16))), "16 bits per channel; save it as an 8-bit grey PNG"),
        (
            png(Image.new("LA", (3, 2))),
            "it has transparency; save it as an 8-bit grey PNG without an alpha channel",
        ),
        (
            png(Image.new("L", (3, 2)), transparency=0),
            "it has transparency; save it as an 8-bit grey PNG without an alpha channel",
        ),
        (b"\xff\xd8\xff\xe0 JPEG", "not a PNG file; save it as an 8-bit grey PNG"),
        (b"", "not a PNG file; save it as an 8-bit grey PNG"),
    ],
)
def test_other_kinds_are_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(DataError) as raised:
        decode_grey(content)
    assert str(raised.value) == reason


@pytest.mark.parametrize("kept", [20, 40, 60])
def test_a_cut_file_is_damaged(kept: int) -> None:
    content = encode_grey(np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8))
    with pytest.raises(DataError, match=r"^damaged: "):
        decode_grey(content[:kept])


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(DataError, match=f"^cannot read {path}: No such file or directory$"):
        read_grey(path)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match=f"^{path}: not a PNG file; save it"):
        read_grey(path)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((0, 3), np.uint8), np.zeros((2, 3, 1), np.uint8)])
def test_only_grey_values_are_written(values: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected non-empty grey values \(H, W\) uint8, got"):
        encode_grey(values)
