import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.data.depth import PixelRange
from weakseg.data.images import read_image
from weakseg.data.received import TooManyPixels, UnknownFormat, decode_image
from weakseg.errors import DataError

NOISE = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)


def encoded(image: Image.Image, format: str, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, format, exif=exif) if format in ("JPEG", "PNG", "TIFF") else image.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_bytes_become_what_a_file_becomes(format: str, orientation: int, tmp_path: Path) -> None:
    content = encoded(Image.fromarray(NOISE), format, orientation)
    (tmp_path / "image").write_bytes(content)
    found = decode_image(content)
    np.testing.assert_array_equal(found, read_image(tmp_path / "image"))
    assert found.flags.writeable


def test_values_of_more_than_8_bits_are_scaled_by_the_range(tmp_path: Path) -> None:
    values = np.arange(77, dtype=np.uint16).reshape(7, 11) * 50
    content = encoded(Image.fromarray(values), "PNG")
    (tmp_path / "image").write_bytes(content)
    for ends in (None, PixelRange(0, 8000)):
        found = decode_image(content, pixel_range=ends)
        np.testing.assert_array_equal(found, read_image(tmp_path / "image", pixel_range=ends))
    assert decode_image(content, pixel_range=PixelRange(0, 8000)).max() == 121  # 3800 of 8000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", DataError, "expected the bytes of an image, got none"),
        (b"no image", UnknownFormat, "not an image of a format that is read here"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", UnknownFormat, "convert it to JPEG"),
        (encoded(Image.fromarray(NOISE), "PNG")[:60], DataError, "cannot read the image"),
        (encoded(Image.new("1", (40, 26)), "PNG"), TooManyPixels, "40 x 26 pixels are more than the 1000"),
        (encoded(Image.new("1", (9000, 9999)), "PNG"), TooManyPixels, "9000 x 9999 pixels are more than the 1000"),
    ],
)
def test_what_cannot_be_used_is_told_apart(content: bytes, kind: type[DataError], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode_image(content, max_pixels=1000)
    assert type(caught.value) is kind
