"""Pixels of more than 8 bits: a file's type says what room it has, its values say which range they have."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.data.depth import PixelRange, choose_range, describe_misfit, find_range, measure_span
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import read_image
from weakseg.errors import DataError

GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6
"""PNG's numbers for kinds of pixels."""


def write_deep_png(path: Path, values: np.ndarray, kind: int) -> Path:
    """Write (H, W, C) uint16 as PNG of 16 bits, which Pillow itself can only do for one channel."""
    height, width = values.shape[:2]
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in (head, b"IDAT" + zlib.compress(rows), b"IEND")
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def write_deep_tiff(path: Path, values: np.ndarray) -> Path:
    """Write (H, W, 3) uint16 as an uncompressed little-endian TIFF."""
    height, width = values.shape[:2]
    fields = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 122),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 128),
    ]
    fields += [(277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, values.size * 2)]
    head = b"II*\x00" + struct.pack("<IH", 8, len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    head = head + struct.pack("<I", 0)
    assert len(head) == 122
    path.write_bytes(head + struct.pack("<HHH", 16, 16, 16) + values.astype("<u2").tobytes())
    return path


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 65535)], (0, 65535)),
        ([(3, 4010)], (0, 4095)),
        ([(0, 1000), (5, 3800)], (0, 4095)),  # one range for all
        ([(0, 1020)], (0, 1023)),
        ([(0, 250)], (0, 255)),  # 8 bits in room for 16
        ([(256, 3900)], (0, 4095)),  # a black level
        ([(0, 2100)], (0, 2100)),  # far from the end of 12 bits
        ([(0, 4100)], (0, 4100)),  # just beyond it
        ([(28_000, 31_000)], (28_000, 31_000)),  # counts of a thermal camera
        ([(-1024, 3071)], (-1024, 3071)),  # computed tomography
        ([(0.0, 0.93)], (0, 1)),
        ([(0.0, 200.5)], (0, 255)),
        ([(-1.0, 1.0)], (-1, 1)),
        ([(7, 7)], (7, 8)),
        ([(0, 0)], (0, 1)),
        ([(0, 4_000_000)], (0, 4_000_000)),
    ],
)
def test_the_range_is_a_usual_one_that_the_values_fill_or_else_their_own(
    spans: list[tuple[float, float]], expected: tuple[float, float]
) -> None:
    assert choose_range([PixelRange(*span) for span in spans]) == PixelRange(*expected)
    assert choose_range([]) is None


def test_hot_and_dead_pixels_do_not_count(tmp_path: Path) -> None:
    values = np.full((40, 60), 4000, np.uint16)
    values[:20] = 100
    values[0, 0], values[39, 59] = 0, 65535
    assert measure_span(values) == PixelRange(100, 4000)
    assert measure_span(np.array([[np.nan, 0.25, np.inf, 0.5]], np.float32)) == PixelRange(0.25, 0.5)
    with pytest.raises(DataError, match="no pixel is a finite number"):
        measure_span(np.full((2, 3), np.nan, np.float32))


def test_values_are_scaled_and_rounded_and_those_beyond_are_clipped() -> None:
    twelve = PixelRange(0, 4095)
    assert twelve.scale(np.array([0, 8, 9, 2048, 4095, 65535], np.uint16)).tolist() == [0, 0, 1, 128, 255, 255]
    assert PixelRange(-1, 1).scale(np.array([-2, -1, 0, 1, np.nan], np.float32)).tolist() == [0, 0, 128, 255, 0]
    whole = np.arange(65536, dtype=np.uint16)
    assert (PixelRange(0, 65535).scale(whole) == (whole.astype(int) + 128) // 257).all()


@pytest.mark.parametrize(("kind", "channels"), [(GREY, 1), (COLOUR, 3), (GREY_ALPHA, 2), (COLOUR_ALPHA, 4)])
def test_all_16_bits_of_a_png_are_read(tmp_path: Path, kind: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (11, 17, channels)).astype(np.uint16)
    if kind in (GREY_ALPHA, COLOUR_ALPHA):
        values[..., -1] = 65535
    path = write_deep_png(tmp_path / "a.png", values, kind)
    colours = values[..., :3] if channels > 2 else values[..., :1].repeat(3, axis=2)
    expected = np.rint(colours / 4095 * 255)
    assert np.abs(read_image(path, pixel_range=PixelRange(0, 4095)) - expected).max() == 0
    span = inspect_image(path).span
    assert span is not None
    assert 4000 < span.high <= 4095


def test_all_16_bits_of_colours_in_a_tiff_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (5, 9, 3)).astype(np.uint16)
    path = write_deep_tiff(tmp_path / "a.tif", values)
    assert (read_image(path, pixel_range=PixelRange(0, 1023)) == np.rint(values / 1023 * 255)).all()


@pytest.mark.parametrize(
    ("name", "values", "darkest", "brightest"),
    [
        ("microscope.png", np.linspace(0, 4095, 600), 0, 255),
        ("camera.tif", np.linspace(20, 1000, 600), 5, 249),
        ("thermal.png", np.linspace(28_000, 31_000, 600), 0, 255),
        ("depth.tif", np.linspace(0.0, 1.0, 600, dtype=np.float32), 0, 255),
        ("heights.tif", np.linspace(-20.0, 80.0, 600, dtype=np.float32), 0, 255),
        ("scan.tif", np.linspace(-1024, 3071, 600).astype(np.int32), 0, 255),
    ],
)
def test_an_image_without_a_range_is_scaled_by_its_own(
    tmp_path: Path, name: str, values: np.ndarray, darkest: int, brightest: int
) -> None:
    pixels = values if values.dtype != np.float64 else np.rint(values).astype(np.uint16)
    Image.fromarray(pixels.reshape(20, 30)).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert (image.shape, image.dtype) == ((20, 30, 3), np.uint8)
    assert (image.min(), image.max()) == (darkest, brightest)
    facts = inspect_image(tmp_path / name)
    assert facts.problem is None
    assert facts.span is not None


def test_images_of_8_bits_have_no_span(tmp_path: Path) -> None:
    for name, mode in (("a.png", "RGB"), ("b.jpg", "L"), ("c.png", "RGBA"), ("d.png", "1")):
        Image.new(mode, (7, 5)).save(tmp_path / name)
        assert inspect_image(tmp_path / name).span is None


def test_a_finding_says_what_becomes_black_and_white() -> None:
    finding = find_range([PixelRange(3, 900), PixelRange(0, 4000)], None)
    assert str(finding) == "2 images have more than 8 bits per channel, with values 0..4000: 0..4095 becomes 0..255"
    assert finding is not None
    assert finding.advice == "; is that the wrong range, add --data.pixel_range [LOW,HIGH]"
    asked = find_range([PixelRange(3, 900)], (0, 65535))
    assert str(asked) == "1 image has more than 8 bits per channel, with values 3..900: 0..65535 becomes 0..255"
    assert asked is not None
    assert asked.advice == ""
    assert find_range([], None) is None


@pytest.mark.parametrize(
    ("span", "used", "said"),
    [
        ((0, 4000), (0, 4095), None),
        ((0, 300), (0, 4095), None),
        ((0, 200), (0, 4095), "are dark beside the range 0..4095"),
        ((0, 0.9), (0, 65535), "are dark beside"),  # numbers from 0 to 1 among 16 bits
        ((5000, 60000), (0, 4095), "lie beyond the range 0..4095"),
        ((100, 60000), (0, 4095), None),
        ((0, 200), (1000, 4095), "lie beyond"),
    ],
)
def test_an_image_that_a_range_leaves_nothing_of_is_told(
    span: tuple[float, float], used: tuple[float, float], said: str | None
) -> None:
    found = describe_misfit(PixelRange(*span), PixelRange(*used))
    assert (found is None) == (said is None)
    assert said is None or said in str(found)
