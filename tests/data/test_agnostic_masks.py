import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from weakseg.data.agnostic_masks import AgnosticMasks, read_agnostic_masks
from weakseg.errors import DataError
from weakseg.files import JsonValue

SIZE_HW = (4, 5)


def two_masks() -> NDArray[np.bool_]:
    masks = np.zeros((2, *SIZE_HW), bool)
    masks[0, :2, 1:4] = True
    masks[1, 3, 2:] = True
    return masks


def as_numbers(masks: NDArray[np.bool_], *numbers: int) -> NDArray[np.int64]:
    total = np.zeros(masks.shape[1:], np.int64)
    for mask, number in zip(masks, numbers, strict=True):
        total[mask] = number
    return total


def as_rle(mask: NDArray[np.bool_]) -> dict[str, JsonValue]:
    packed = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(packed["size"]), "counts": packed["counts"].decode()}


def write(folder: Path, form: str) -> None:
    masks = two_masks()
    stem = folder / "a"
    rles = [as_rle(mask) for mask in masks]
    if form == "sam":
        stem.with_suffix(".json").write_text(json.dumps([{"segmentation": rle, "area": 6, "bbox": []} for rle in rles]))
    elif form == "sa-1b":
        stem.with_suffix(".json").write_text(
            json.dumps({"image": {}, "annotations": [{"segmentation": r} for r in rles]})
        )
    elif form == "rles":
        stem.with_suffix(".json").write_text(json.dumps(rles))
    elif form == "npz":
        np.savez_compressed(stem.with_suffix(".npz"), masks=masks.astype(np.uint8), scores=np.ones(2))
    elif form == "npz of numbers":
        np.savez(stem.with_suffix(".npz"), whatever=as_numbers(masks, -3, 70000))
    elif form == "grey":
        Image.fromarray(as_numbers(masks, 2, 255).astype(np.uint8)).save(stem.with_suffix(".png"))
    elif form == "16 bits":
        Image.fromarray(as_numbers(masks, 2, 700).astype(np.uint16)).save(stem.with_suffix(".png"))
    elif form == "palette":
        image = Image.fromarray(as_numbers(masks, 1, 2).astype(np.uint8))
        image.putpalette([0] * 9)
        image.save(stem.with_suffix(".png"))
    elif form == "colours":
        colours = np.array([[0, 0, 0], [0, 0, 9], [200, 0, 0]], np.uint8)
        Image.fromarray(colours[as_numbers(masks, 1, 2)]).save(stem.with_suffix(".png"))
    else:
        stem.mkdir()
        for at, mask in enumerate(masks):
            Image.fromarray((mask * 255).astype(np.uint8)).save(stem / f"{at}.png")


FORMS = ("sam", "sa-1b", "rles", "npz", "npz of numbers", "grey", "16 bits", "palette", "colours", "folder")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_masks(tmp_path: Path, form: str) -> None:
    write(tmp_path, form)
    found = AgnosticMasks(tmp_path).read("a", size_hw=SIZE_HW)
    assert found is not None
    assert found.dtype == np.bool_
    assert np.array_equal(found, two_masks())


@pytest.mark.parametrize("form", FORMS)
def test_masks_of_another_size_are_refused(tmp_path: Path, form: str) -> None:
    write(tmp_path, form)
    with pytest.raises(DataError, match=r"masks .*a.*(does not fit an image of|expected 5 x 4 px)"):
        AgnosticMasks(tmp_path).read("a", size_hw=SIZE_HW[::-1])


def test_images_without_masks_are_named(tmp_path: Path) -> None:
    write(tmp_path, "grey")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.json").write_text("[]")
    masks = AgnosticMasks(tmp_path)
    assert masks.missing(["b", "a", "sub/c", "sub/d"]) == ("b", "sub/d")
    assert masks.read("b", size_hw=SIZE_HW) is None
    empty = masks.read("sub/c", size_hw=SIZE_HW)
    assert empty is not None
    assert empty.shape == (0, *SIZE_HW)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "not readable as JSON"),
        ("a.json", b"{}", "expected a list of masks as RLE"),
        ("a.json", b'[{"size": [4, 5], "counts": "zz"}]', "an outline cannot be drawn"),
        ("a.json", b"[3]", "an outline cannot be drawn: there is no segmentation"),
        ("a.npz", b"PK", "not a readable npz file"),
        ("a.png", b"BM", "not a PNG file"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "damaged"),
        ("b.png", b"", "cannot read masks .*b.png: No such file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_agnostic_masks(path, size_hw=SIZE_HW)


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    for arrays, message in (
        ({"one": np.zeros((4, 5), bool), "two": np.zeros((4, 5), bool)}, "one called 'masks', got one, two"),
        ({"one": np.zeros((4, 5))}, "expected an array of bool or integers, got float64"),
        ({"one": np.zeros(3, bool)}, r"got \(3,\)"),
        ({"one": np.zeros((5000, 4, 5), bool)}, "at most 4096 masks, got 5000"),
        ({"one": np.array([{}], object)}, "not a readable npz file of plain arrays"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(DataError, match=message):
            read_agnostic_masks(tmp_path / "a.npz", size_hw=SIZE_HW)
