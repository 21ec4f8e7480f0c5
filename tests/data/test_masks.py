import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from weakseg.data.mask_colours import find_palette_fault
from weakseg.data.masks import PngMasks, encode_mask, read_mask
from weakseg.errors import DataError, ShapeError
from weakseg.ops.color import colourise, label_palette
from weakseg.types import Sample

LABELS = np.array([[0, 1, 2], [255, 20, 0]], np.uint8)


def write_png(path: Path, *, depth: int, colour_type: int, size_hw: tuple[int, int], rows: list[bytes]) -> Path:
    """Write a PNG whose packed rows are given, for depths that Pillow does not write."""
    head = b"IHDR" + struct.pack(">IIBBBBB", size_hw[1], size_hw[0], depth, colour_type, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"".join(b"\x00" + row for row in rows))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, b"IEND")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def make_sample(name: str) -> Sample:
    return Sample(name, Path(f"{name}.jpg"), np.zeros(1, np.uint8), np.ones(1, np.bool_))


@settings(max_examples=40, deadline=None)
@given(labels=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_what_was_written_is_read_back(labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.png"
    path.write_bytes(encode_mask(labels))
    read = read_mask(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, labels)


def test_written_masks_show_voc_colours_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    content = encode_mask(LABELS)
    assert content == encode_mask(LABELS.copy()) == encode_mask(np.asfortranarray(LABELS))
    (tmp_path / "mask.png").write_bytes(content)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colourise(LABELS))


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3), np.int64), np.zeros((2, 3, 1), np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_only_label_maps_are_written(labels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"non-empty labels \(H, W\) uint8"):
        encode_mask(labels)


def test_palette_index_is_the_label_whatever_its_colour(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS)
    image.putpalette([7, 7, 7] * 256)
    image.save(tmp_path / "odd.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "odd.png"), LABELS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_bits_are_read(tmp_path: Path, bits: int) -> None:
    labels = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
    image = Image.fromarray(labels)
    image.putpalette(label_palette()[: 2**bits].tobytes())
    image.save(tmp_path / "few.png", bits=bits)
    np.testing.assert_array_equal(read_mask(tmp_path / "few.png"), labels)


@pytest.mark.parametrize(("depth", "row", "expected"), [(1, 0b10100000, [1, 0, 1]), (2, 0b00011011, [0, 1, 2, 3])])
def test_grey_of_few_bits_keeps_the_stored_numbers(tmp_path: Path, depth: int, row: int, expected: list[int]) -> None:
    path = write_png(tmp_path / "grey.png", depth=depth, colour_type=0, size_hw=(1, len(expected)), rows=[bytes([row])])
    assert read_mask(path).tolist() == [expected]


def test_four_bit_grey_keeps_the_stored_numbers(tmp_path: Path) -> None:
    path = write_png(tmp_path / "grey.png", depth=4, colour_type=0, size_hw=(1, 3), rows=[bytes([0x0F, 0x30])])
    assert read_mask(path).tolist() == [[0, 15, 3]]


def test_grey_value_is_the_label_and_the_array_is_writable(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "grey.png")
    read = read_mask(tmp_path / "grey.png")
    np.testing.assert_array_equal(read, LABELS)
    read[0, 0] = 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_voc_colours_become_labels(tmp_path: Path, mode: str) -> None:
    Image.fromarray(colourise(LABELS)).convert(mode).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "colour.png"), LABELS)


def test_an_unknown_colour_is_named_with_its_place(tmp_path: Path) -> None:
    pixels = colourise(LABELS)
    pixels[1, 2] = (1, 2, 3)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match=r"colour\.png: 1 pixels .* \(1, 2, 3\) at row 1, column 2"):
        read_mask(tmp_path / "colour.png")


def test_files_that_cannot_hold_labels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "lossy.jpg")
    Image.fromarray(LABELS.astype(np.uint16) + np.uint16(300)).save(tmp_path / "deep.png")
    Image.fromarray(LABELS).convert("RGBA").save(tmp_path / "clear.png")
    clear = Image.new("RGBA", (3, 2), (0, 0, 0, 10))
    clear.save(tmp_path / "clear.png")
    (tmp_path / "cut.png").write_bytes(encode_mask(np.tile(LABELS, (40, 40)))[:-60])
    expected = {
        "lossy.jpg": "is no PNG file but JPEG",
        "deep.png": "16 bits per channel",
        "clear.png": "transparent pixels",
        "cut.png": "cannot read mask .*truncated",
        "missing.png": "No such file",
    }
    for name, text in expected.items():
        with pytest.raises(DataError, match=text) as caught:
            read_mask(tmp_path / name)
        assert name in str(caught.value)


def test_a_mask_is_taken_from_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for folder, value in (("first", 1), ("second", 2)):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "b.png").write_bytes(encode_mask(np.full((2, 3), value, np.uint8)))
    (tmp_path / "second" / "a.png").write_bytes(encode_mask(np.full((1, 1), 9, np.uint8)))
    reader = pickle.loads(pickle.dumps(PngMasks((tmp_path / "first", tmp_path / "second"))))
    assert reader(make_sample("sub/b")).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert reader(make_sample("a")).tolist() == [[9]]
    assert reader(make_sample("none")) is None
    assert reader.find(make_sample("a")) == tmp_path / "second" / "a.png"


def test_palette_faults_are_described(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encode_mask(LABELS))
    Image.fromarray(LABELS).save(tmp_path / "grey.png")
    swapped = Image.fromarray(np.array([[0, 1]], np.uint8))
    swapped.putpalette(label_palette()[[0, 12]].tobytes())
    swapped.save(tmp_path / "swapped.png")
    own = Image.fromarray(np.array([[0, 1]], np.uint8))
    own.putpalette([1, 1, 1, 255, 255, 254])
    own.save(tmp_path / "own.png")
    assert find_palette_fault(tmp_path / "good.png") is None
    assert find_palette_fault(tmp_path / "own.png") is None
    grey, reordered = find_palette_fault(tmp_path / "grey.png"), find_palette_fault(tmp_path / "swapped.png")
    assert grey is not None
    assert not grey.misleading
    assert "not a palette PNG (Pillow mode L)" in grey.message
    assert reordered is not None
    assert reordered.misleading
    assert "palette index 1 has the VOC colour of label 12" in reordered.message
