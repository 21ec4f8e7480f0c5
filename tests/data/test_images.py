import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.image_facts import inspect_image
from weakseg.data.images import MAX_PIXELS, read_image, read_shrunk
from weakseg.errors import DataError
from weakseg.ops.images import limit_side

UPRIGHT = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[250, 250, 0], [0, 250, 250], [9, 9, 9]]], np.uint8)
"""A 2 x 3 picture in which no two pixels agree, so that every turn shows."""

STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}
"""How a camera stores `UPRIGHT` under each EXIF orientation (6: the viewer must turn it clockwise by 90 degrees)."""


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def save_turned(path: Path, pixels: np.ndarray, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, pixels, exif=exif.tobytes())


def write_png_header(path: Path, width: int, height: int) -> Path:
    """Write a PNG that promises many pixels and holds none."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    end = b"IEND"
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, end)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    lossless = {"lossless": True} if suffix == ".webp" else {}
    save(path, STORED[orientation], exif=exif.tobytes(), **lossless)
    np.testing.assert_array_equal(read_image(path), UPRIGHT)
    facts = inspect_image(path)
    assert facts.size_hw == (2, 3)
    assert facts.exif_rotated == (orientation != 1)


def test_jpeg_orientation_is_undone_and_reported(tmp_path: Path) -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, :16] = 255  # white on the left of the stored image, on top of the upright one
    path = save_turned(tmp_path / "phone.jpg", pixels, orientation=6)
    image = read_image(path)
    assert image.shape == (48, 16, 3)
    assert image[:12].min() > 200
    assert image[20:].max() < 50
    facts = inspect_image(path)
    assert (facts.size_hw, facts.exif_rotated, facts.format, facts.mode) == ((48, 16), True, "JPEG", "RGB")
    assert facts.problem is None


def test_damaged_exif_leaves_the_pixels_usable(tmp_path: Path) -> None:
    path = save(tmp_path / "odd.jpg", np.full((5, 7, 3), 90, np.uint8), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert read_image(path).shape == (5, 7, 3)
    assert inspect_image(path).exif_rotated is False


def test_grey_is_repeated_in_three_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.png", np.array([[0, 100, 255]], np.uint8))
    assert read_image(path).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    assert inspect_image(path).mode == "L"


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", np.array([[0, 128, 129, 257, 128 * 257, 65535]], np.uint16))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    facts = inspect_image(path)
    assert facts.mode.startswith("I;16")
    assert facts.problem is None


def test_sixteen_bit_colour_is_scaled_and_reported(tmp_path: Path) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\x00" + struct.pack(">HHH", 0x0102, 0x80FF, 0xFFFF))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, b"IEND")]
    path = tmp_path / "deep.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert read_image(path).tolist() == [[[1, 128, 255]]]
    assert inspect_image(path).mode == "RGB;16"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(40, 40, 40, 255), (40, 40, 40, 0), (0, 0, 0, 51)])
    path = tmp_path / "cut-out.png"
    image.convert(mode).save(path)
    assert read_image(path)[0, :, 0].tolist() == [40, 255, 204]  # 255 * (1 - 51 / 255)
    assert inspect_image(path).has_alpha


def test_a_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([200, 0, 0, 0, 0, 200])
    path = tmp_path / "logo.png"
    image.save(path, transparency=1)
    assert read_image(path).tolist() == [[[200, 0, 0], [255, 255, 255]]]
    assert inspect_image(path).has_alpha


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = save(tmp_path / "print.jpg", np.tile(np.array([200, 30, 30], np.uint8), (9, 17, 1)), "CMYK", quality=95)
    image = read_image(path)
    assert image.shape == (9, 17, 3)
    assert np.abs(image.astype(int) - [200, 30, 30]).max() <= 6
    assert inspect_image(path).mode == "CMYK"


def test_the_result_is_writable_and_of_the_promised_type(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8)))
    image[0, 0] = 5
    assert image.shape == (1, 1, 3)
    assert image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_truncated_jpeg_is_named(tmp_path: Path, options: dict[str, bool]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    path = save(tmp_path / "half.jpg", noise, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"half\.jpg: .*truncated"):
        read_image(path)
    facts = inspect_image(path)
    assert facts.problem is not None
    assert "truncated" in facts.problem
    assert facts.size_hw == (64, 96)
    assert len(facts.digest) == 32


def test_truncated_png_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "half.png", np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"half\.png: .*truncated"):
        read_image(path)
    assert inspect_image(path).problem is not None


def test_what_is_no_image_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "folder.jpg").mkdir()
    expected = {
        "empty.jpg": "the file is empty",
        "page.jpg": "not an image",
        "missing.jpg": "there is no such file",
        "folder.jpg": "directory",
    }
    for name, text in expected.items():
        with pytest.raises(DataError, match=text):
            read_image(tmp_path / name)
        assert text in (inspect_image(tmp_path / name).problem or "")
    assert inspect_image(tmp_path / "missing.jpg").digest == ""


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_460, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    path = write_png_header(tmp_path / "bomb.png", side, side)
    with pytest.raises(DataError, match=f"{MAX_PIXELS}.* scale it down"):
        read_image(path)
    assert "scale it down" in (inspect_image(path).problem or "")


def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "depth.tif", np.full((2, 3), np.nan, np.float32))
    with pytest.raises(DataError, match="no pixel is a finite number"):
        read_image(path)
    assert "no pixel is a finite number" in (inspect_image(path).problem or "")


def test_a_picture_of_a_format_that_is_not_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.CR2").write_bytes(b"II*\x00")
    with pytest.raises(DataError, match=r"a\.CR2: \.cr2 is not read here; convert them to JPEG or PNG"):
        read_image(tmp_path / "a.CR2")


def test_equal_bytes_have_equal_digests(tmp_path: Path) -> None:
    one = save(tmp_path / "one.png", UPRIGHT)
    (tmp_path / "two.png").write_bytes(one.read_bytes())
    other = save(tmp_path / "other.png", UPRIGHT[::-1])
    assert inspect_image(one).digest == inspect_image(tmp_path / "two.png").digest != inspect_image(other).digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(["jpg", "png", "webp", "tif", "bmp"]), at=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_damaged_byte_never_escapes_as_another_error(tmp_path: Path, suffix: str, at: float, byte: int) -> None:
    path = tmp_path / f"damaged.{suffix}"
    save(path, np.arange(11 * 6 * 3, dtype=np.uint8).reshape(11, 6, 3))
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] = byte
    path.write_bytes(content)
    problem = inspect_image(path).problem
    try:
        image = read_image(path)
    except DataError:
        assert problem is not None
    else:
        assert image.ndim == 3
        assert problem is None


def write_noise(path: Path, size_hw: tuple[int, int], *, orientation: int = 1) -> None:
    """A JPEG of soft colours, stored as `size_hw`."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (5, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    small.resize(size_hw[::-1], Image.Resampling.BICUBIC).save(path, "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("max_side_px", "draft"), [(400, False), (300, False), (150, False), (60, True), (16, True)])
def test_a_shrunk_image_is_a_shrunk_copy_of_the_image(
    tmp_path: Path, orientation: int, max_side_px: int, draft: bool
) -> None:
    write_noise(tmp_path / "a.jpg", (301, 211), orientation=orientation)
    whole = read_image(tmp_path / "a.jpg")
    found = read_shrunk(tmp_path / "a.jpg", max_side_px)
    expected = limit_side(whole, max_side_px)
    assert found.size_hw == whole.shape[:2]
    assert found.size_hw == ((301, 211) if orientation in (1, 3) else (211, 301))
    assert (found.pixels.dtype, found.pixels.shape) == (np.uint8, expected.shape)
    difference = np.abs(found.pixels.astype(int) - expected)
    assert difference.mean() < 1.5 if draft else difference.max() == 0


def test_other_formats_are_shrunk_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_shrunk(tmp_path / "a.png", 10)
    assert found.size_hw == (40, 90)
    assert np.array_equal(found.pixels, limit_side(pixels, 10))


def test_an_image_without_a_limit_keeps_its_size(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.jpg", (3, 1000))
    assert read_shrunk(tmp_path / "a.jpg", None).pixels.shape == (3, 1000, 3)
    assert read_shrunk(tmp_path / "a.jpg", 100).pixels.shape == (1, 100, 3)  # 3 * 100 / 1000 rounds to 0


def test_a_damaged_image_is_named_when_shrunk(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read image .*a\.jpg: the file is empty"):
        read_shrunk(tmp_path / "a.jpg", 10)
