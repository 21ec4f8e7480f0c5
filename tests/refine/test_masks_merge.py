import numpy as np
import pytest
from numpy.typing import NDArray

from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.masks_merge import merge_masks


def row(text: str) -> NDArray[np.uint8]:
    """Read a label map of one row; `x` is void."""
    return np.array([[255 if letter == "x" else int(letter) for letter in text]], np.uint8)


def masks(*rows: str) -> NDArray[np.bool_]:
    """Read masks of one row; `#` is covered."""
    return np.array([[[letter == "#" for letter in text]] for text in rows], bool).reshape(len(rows), 1, -1)


CASES = {
    "more than half within: taken whole": ("11100", ["..###", "####."], "11110"),
    "exactly half within is not enough, and what it covers is lost": ("11110000", ["..####.."], "11000000"),
    "what no mask covers stays": ("11100", [".....", "....."], "11100"),
    "a mask that holds 0.85 of a small class is taken, however large": ("00110000", ["########"], "11111111"),
    "just below 0.85 it is not": ("1111110000000000", [".###############"], "1000000000000000"),
    "nested masks are united": ("11110", ["##...", "#####"], "11111"),
    "a mask of nothing counts for nothing": ("110", ["...", "##."], "110"),
    "a larger share wins, whichever label comes first": ("112222", ["######", "##...."], "112222"),
    "the lower label wins a tie": ("1122", ["####", "####"], "1111"),
    "void stays where no mask is taken": ("x110", ["#...", ".##."], "x110"),
    "void goes to the class that a mask is taken for": ("x110", ["###."], "1110"),
    "an image of background": ("0000", ["##..", "####"], "0000"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule(name: str) -> None:
    labels, covers, expected = CASES[name]
    found = merge_masks(row(labels), masks(*covers), held_share=0.85, within_share=0.5)
    assert found.dtype == np.uint8
    assert found.tolist() == row(expected).tolist()


def merge_slowly(labels: NDArray[np.uint8], covers: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Ask for every pixel which masks claim it."""
    merged = np.zeros_like(labels)
    classes = [label for label in range(1, 255) if (labels == label).any()]
    for y, x in np.ndindex(*labels.shape):
        at = [mask for mask in covers if mask[y, x]]
        claims = []
        for mask in at:
            for label in classes:
                common = (mask & (labels == label)).sum()
                if 2 * common > mask.sum() or common / (labels == label).sum() >= 0.85:
                    claims.append((-common / mask.sum(), label))
        if claims:
            merged[y, x] = min(claims)[1]
        elif not at or labels[y, x] == 255:
            merged[y, x] = labels[y, x]
    return merged


@pytest.mark.parametrize(("num_classes", "num_masks"), [(1, 1), (3, 12), (80, 30), (2, 0)])
def test_it_agrees_with_the_rule_pixel_by_pixel(num_classes: int, num_masks: int) -> None:
    rng = np.random.default_rng(num_masks)
    labels = np.repeat(rng.integers(0, num_classes + 1, (7, 3)), 4, axis=1).astype(np.uint8)
    labels[0, :3] = 255
    covers = np.zeros((num_masks, *labels.shape), bool)
    for mask in covers:
        top, left = rng.integers(0, 5), rng.integers(0, 9)
        mask[top : top + rng.integers(1, 5), left : left + rng.integers(1, 9)] = True
    before = labels.copy(), covers.copy()
    assert np.array_equal(merge_masks(labels, covers), merge_slowly(labels, covers))
    assert np.array_equal(labels, before[0])
    assert np.array_equal(covers, before[1])


def test_the_order_of_masks_makes_no_difference() -> None:
    rng = np.random.default_rng(0)
    labels, covers = rng.integers(0, 4, (9, 7)).astype(np.uint8), rng.random((10, 9, 7)) < 0.4
    assert np.array_equal(merge_masks(labels, covers), merge_masks(labels, covers[::-1]))


def test_what_does_not_fit_is_refused() -> None:
    labels, covers = np.zeros((2, 3), np.uint8), np.zeros((1, 2, 3), bool)
    with pytest.raises(ShapeError, match=r"expected masks \(M, 2, 3\) bool of the labels' size, got bool \(1, 3, 2\)"):
        merge_masks(labels, covers.transpose(0, 2, 1))
    with pytest.raises(ShapeError, match=r"got uint8 \(1, 2, 3\)"):
        merge_masks(labels, covers.astype(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"expected labels \(H, W\) uint8, got int64"):
        merge_masks(labels.astype(np.int64), covers)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="within_share: expected"):
        merge_masks(labels, covers, within_share=1.5)
    with pytest.raises(ConfigError, match="held_share: expected"):
        merge_masks(labels, covers, held_share=0)
