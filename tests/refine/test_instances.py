import math

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.instances import Instances
from weakseg.refine.instances import cut_maps, find_instances

GRID_HW = (9, 13)
SIZE_HW = (34, 51)  # neither is a multiple of the stride: 34 / 4 and 51 / 4 are rounded up


def field_to(*centres: tuple[slice, int, int], grid_hw: tuple[int, int] = GRID_HW) -> Tensor:
    """Make the exact field of objects that share the columns among them: (columns, row and column of the centre)."""
    field = torch.zeros(2, *grid_hw)
    rows, columns = torch.meshgrid(torch.arange(grid_hw[0]), torch.arange(grid_hw[1]), indexing="ij")
    for place, row, column in centres:
        field[0][:, place] = (row - rows).float()[:, place]
        field[1][:, place] = (column - columns).float()[:, place]
    return field


LEFT_AND_RIGHT = field_to((slice(0, 6), 4, 2), (slice(6, None), 4, 9))
ONE_CENTRE = field_to((slice(None), 4, 6))
NO_EDGE = torch.zeros(GRID_HW)


def paint(*boxes: tuple[int, int, int, int, float], grid_hw: tuple[int, int] = GRID_HW) -> Tensor:
    """Make a map of boxes (top, left, bottom, right, value)."""
    single = torch.zeros(grid_hw)
    for top, left, bottom, right, value in boxes:
        single[top:bottom, left:right] = value
    return single


def find(
    maps: Tensor, keys: list[int], field: Tensor = LEFT_AND_RIGHT, edge: Tensor = NO_EDGE, **options: float
) -> Instances:
    """Find instances with a walk that stays where it is: no pixel is closer to another one than 1."""
    return find_instances(maps, keys, edge, field, size_hw=SIZE_HW, radius=1, **options)


def walls(*boxes: tuple[int, int, int, int]) -> Tensor:
    """Make an edge map that keeps the walk within boxes (top, left, bottom, right): it is 1 around each."""
    edge = torch.zeros(GRID_HW)
    for top, left, bottom, right in boxes:
        edge[top - 1 : bottom + 1, left - 1 : right + 1] = 1
    for top, left, bottom, right in boxes:
        edge[top:bottom, left:right] = 0
    return edge


def test_one_map_is_parted_into_two_touching_instances() -> None:
    maps = paint((2, 1, 7, 12, 1.0))[None]
    maps_before, field_before = maps.clone(), LEFT_AND_RIGHT.clone()
    found = find(maps, [7])
    assert isinstance(found, Instances)
    assert found.size_hw == SIZE_HW
    assert found.keys.tolist() == [7, 7]
    assert not (found.masks[0] & found.masks[1]).any()
    left, right = found.masks
    assert left[16, 10]
    assert right[16, 40]
    # They meet where the field changes, between the columns 5 and 6 of the grid.
    assert left[16, :24].sum() + right[16, 24:].sum() == (left | right)[16].sum()
    assert torch.equal(maps, maps_before)
    assert torch.equal(LEFT_AND_RIGHT, field_before)


def test_walls_and_walk_give_the_whole_objects() -> None:
    # A seed of one pixel each fills its box of the grid, and nothing beyond the wall around it.
    edge = walls((2, 1, 7, 5), (2, 7, 7, 12))
    maps = paint((4, 2, 5, 3, 1.0), (4, 9, 5, 10, 1.0))[None]
    found = find_instances(maps, [0], edge, LEFT_AND_RIGHT, size_hw=SIZE_HW)
    assert found.keys.tolist() == [0, 0]
    for mask, (top, left, bottom, right) in zip(found.masks, ((2, 1, 7, 5), (2, 7, 7, 12)), strict=True):
        inside = np.zeros(SIZE_HW, bool)
        inside[4 * top : 4 * bottom, 4 * left : 4 * right] = True
        assert mask[inside].all()
        grown = np.zeros(SIZE_HW, bool)
        grown[4 * top - 3 : 4 * bottom + 3, 4 * left - 3 : 4 * right + 3] = True
        assert not mask[~grown].any()


def test_classes_compete_for_pixels_and_the_surer_wins() -> None:
    maps = torch.stack([paint((0, 0, 9, 13, 0.5)), paint((2, 2, 7, 5, 1.0))])
    found = find(maps, [3, 11], ONE_CENTRE)
    assert sorted(found.keys.tolist()) == [3, 11]
    weak, strong = found.masks[found.keys == 3][0], found.masks[found.keys == 11][0]
    assert strong[16, 12]
    assert weak[16, 40]
    assert not (weak & strong).any()


def test_scores_are_the_largest_value_over_that_of_the_image() -> None:
    maps = torch.stack([paint((2, 1, 7, 5, 0.8)), paint((2, 7, 7, 12, 0.4))])
    maps_found = find(maps, [0, 2])
    assert maps_found.keys.tolist() == [0, 2]
    np.testing.assert_allclose(maps_found.scores, [1.0, 0.5], rtol=1e-6)


def test_power_sharpens_seeds_before_they_are_compared() -> None:
    maps = torch.stack([paint((2, 1, 7, 5, 0.8)), paint((2, 7, 7, 12, 0.4))])
    np.testing.assert_allclose(find(maps, [0, 2], power=1.3).scores, [1.0, 0.5**1.3], rtol=1e-5)
    assert find(maps, [0, 2], power=2.1).keys.tolist() == [0]  # 0.5^2.1 is below 0.25


@pytest.mark.parametrize(("value", "count"), [(0.25, 1), (0.26, 2)])
def test_background_is_what_does_not_exceed_the_threshold(value: float, count: int) -> None:
    maps = torch.stack([paint((2, 1, 7, 5, 1.0)), paint((2, 7, 7, 12, value))])
    assert len(find(maps, [0, 2], min_area_share=0.0)) == count


def test_pieces_that_hang_apart_are_instances_of_their_own() -> None:
    maps = paint((0, 0, 3, 3, 1.0), (6, 0, 9, 3, 0.6))[None]
    found = find(maps, [4], ONE_CENTRE)
    assert found.keys.tolist() == [4, 4]
    np.testing.assert_allclose(found.scores, [1.0, 0.6], rtol=1e-6)
    assert found.masks[0, 0, 0]
    assert found.masks[1, 33, 0]


def test_fragments_are_left_out_or_kept_with_score_zero() -> None:
    maps = paint((0, 0, 4, 5, 1.0), (7, 11, 8, 12, 0.9))[None]
    options = {"min_area_share": 0.05}  # the second, four pixels wide, covers 1 %
    assert find(maps, [4], ONE_CENTRE, **options).scores.tolist() == [1.0]
    kept = find(maps, [4], ONE_CENTRE, keep_fragments=True, **options)
    assert kept.scores.tolist() == [1.0, 0.0]
    assert kept.masks[1, 30, 46]


def test_an_image_without_tags_has_no_instances() -> None:
    found = find(torch.zeros(0, *GRID_HW), [])
    assert (len(found), found.size_hw) == (0, SIZE_HW)


def test_an_image_without_evidence_has_no_instances() -> None:
    assert len(find(torch.zeros(2, *GRID_HW), [0, 1])) == 0
    assert len(find(paint((2, 1, 7, 5, 1.0))[None], [0], edge=torch.ones(GRID_HW))) == 0


def test_an_image_of_one_pixel_is_one_instance() -> None:
    found = find_instances(torch.ones(1, 1, 1), [0], torch.zeros(1, 1), torch.zeros(2, 1, 1), size_hw=(1, 1))
    assert found.masks.tolist() == [[[True]]]
    assert found.scores.tolist() == [1.0]


def test_eighty_classes_are_told_apart() -> None:
    maps = torch.zeros(80, *GRID_HW)
    for key in range(80):
        maps[key, key // 13, key % 13] = 1  # one pixel of the grid each, row by row
    found = find(maps, list(range(80)), torch.zeros(2, *GRID_HW), min_area_share=0.0)
    assert found.keys.tolist() == list(range(80))
    assert found.scores.tolist() == pytest.approx([1.0] * 80, abs=0.25)  # upsampling flattens the peaks


def test_another_stride_is_followed() -> None:
    maps = paint((2, 1, 7, 5, 1.0))[None]
    found = find_instances(maps, [0], NO_EDGE, LEFT_AND_RIGHT, size_hw=(65, 97), stride_px=8, radius=1)
    assert found.size_hw == (65, 97)
    assert found.masks[0, 40, 24]
    assert (
        find_instances(maps, [0], NO_EDGE, LEFT_AND_RIGHT, size_hw=GRID_HW, stride_px=1, radius=1).masks[0].tolist()
        == (maps[0] > 0).tolist()
    )


def test_maps_are_cut_class_by_class() -> None:
    maps = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])
    parts = torch.tensor([[[True, False, False]], [[False, True, True]]])
    assert cut_maps(maps, parts)[:, 0].tolist() == [[1, 0, 0], [0, 2, 3], [4, 0, 0], [0, 5, 6]]
    assert cut_maps(maps[:0], parts).shape == (0, 1, 3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"maps": torch.zeros(1, 9, 12)}, r"float maps \(K, 9, 13\) for an image of \(34, 51\) at stride 4"),
        ({"maps": torch.zeros(1, 9, 13, dtype=torch.uint8)}, r"got torch.uint8"),
        ({"maps": torch.full((1, 9, 13), -0.1)}, r"in 0..1, got -0.1..-0.1; delete the image's seed"),
        ({"maps": torch.full((1, 9, 13), 1.5)}, r"in 0..1, got 1.5..1.5; delete the image's seed"),
        ({"maps": torch.full((1, 9, 13), torch.nan)}, "in 0..1, got NaN"),
        ({"edge": torch.zeros(13, 9)}, r"edge map \(9, 13\) and a displacement field \(2, 9, 13\), got \(13, 9\)"),
        ({"displacement": torch.zeros(2, 9, 14)}, r"got \(9, 13\) and \(2, 9, 14\)"),
        ({"displacement": torch.full((2, 9, 13), torch.inf)}, "not finite; did training diverge"),
        ({"keys": [1, 2]}, r"1 distinct class indices below 254, got \[1, 2\]"),
        ({"keys": [254]}, r"got \[254\]"),
        ({"size_hw": (34, 53)}, r"for an image of \(34, 53\)"),
        ({"size_hw": (0, 53)}, "at least 1 px"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], text: str) -> None:
    given: dict[str, object] = {
        "maps": torch.ones(1, *GRID_HW),
        "keys": [0],
        "edge": NO_EDGE,
        "displacement": LEFT_AND_RIGHT,
        "size_hw": SIZE_HW,
    }
    with pytest.raises(ShapeError, match=text):
        find_instances(**(given | changes))


@pytest.mark.parametrize(
    ("option", "value"),
    [("power", 0.0), ("power", math.inf), ("background_threshold", 1.2), ("min_area_share", -0.1), ("iterations", -1)],
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{option}: expected .* got {value}"):
        find(torch.ones(1, *GRID_HW), [0], **{option: value})


def test_pieces_of_one_map_are_told_apart_within_each_others_boxes() -> None:
    """A ring and a block inside it: two instances of one part, the block in the ring's box."""
    maps = torch.zeros(1, *GRID_HW)
    maps[0, 1:8, 2:11] = 1
    maps[0, 2:7, 3:10] = 0
    maps[0, 4, 5:8] = 0.5
    found = find_instances(maps, [7], NO_EDGE, torch.zeros(2, *GRID_HW), size_hw=GRID_HW, stride_px=1, radius=1)
    assert found.keys.tolist() == [7, 7]
    assert found.scores.tolist() == [1.0, 0.5]
    assert found.masks[0].tolist() == (maps[0] == 1).tolist()
    assert found.masks[1].tolist() == (maps[0] == 0.5).tolist()
