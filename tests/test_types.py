import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weakseg.errors import DataError, ShapeError
from weakseg.types import ClassSet, Sample, ScoreMaps

PETS = ClassSet(("cat", "dog", "horse"))


def make_sample(
    *, id: str = "a", tags: tuple[int, ...] = (1, 0, 1), known: tuple[bool, ...] = (True, True, True)
) -> Sample:
    return Sample(id, Path("a.jpg"), np.array(tags, np.uint8), np.array(known, np.bool_))


def test_class_set_counts_labels_with_the_background() -> None:
    assert (len(PETS), PETS.num_classes, PETS.num_labels) == (3, 3, 4)
    assert PETS.label_names == ("background", "cat", "dog", "horse")
    assert list(PETS) == ["cat", "dog", "horse"]


@pytest.mark.parametrize("count", [1, 3, 80, 254])
def test_class_set_holds_up_to_254_classes(count: int) -> None:
    assert ClassSet(tuple(f"c{i}" for i in range(count))).num_labels == count + 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds 1 to 254 classes .* got 0"),
        (tuple(f"c{i}" for i in range(255)), "got 255"),
        (("cat", "dog", "cat"), "these repeat: cat"),
        (("cat", ""), "non-empty"),
        (("cat;dog",), "without ';'"),
        ((" cat",), "outer spaces"),
    ],
)
def test_names_that_cannot_be_classes_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ClassSet(names)


@pytest.mark.parametrize("ids", [(1, 2), (1, 2, 2), (1, 2, 3, 3)])
def test_source_ids_are_one_per_class_and_distinct(ids: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected 3 distinct source ids"):
        ClassSet(("cat", "dog", "horse"), ids)


def test_names_become_tags_and_tags_names() -> None:
    tags = PETS.encode(["horse", "cat"])
    assert tags.tolist() == [1, 0, 1]
    assert tags.dtype == np.uint8
    assert PETS.decode(tags) == ("cat", "horse")
    assert PETS.encode([]).tolist() == [0, 0, 0]
    assert PETS.decode(np.zeros(3)) == ()


@given(st.sets(st.sampled_from(PETS.names)))
def test_decoding_undoes_encoding(names: set[str]) -> None:
    assert set(PETS.decode(PETS.encode(names))) == names


def test_unknown_class_names_the_nearest() -> None:
    assert PETS.index("dog") == 1
    with pytest.raises(DataError, match="unknown class 'hors'; did you mean 'horse'"):
        PETS.index("hors")


def test_tags_of_another_class_set_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected tags of shape \(3,\), got \(4,\)"):
        PETS.decode(np.zeros(4))


def test_sample_keys_are_the_present_classes() -> None:
    assert make_sample().keys == (0, 2)
    assert make_sample(tags=(0, 0, 0)).keys == ()


@pytest.mark.parametrize("id", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b"])
def test_ids_that_leave_their_folder_are_refused(id: str) -> None:
    with pytest.raises(DataError, match="must be a relative path"):
        make_sample(id=id)


@pytest.mark.parametrize("id", ["a", "2007_000032", "folder/sub folder/é.b", "..a"])
def test_ids_may_name_sub_folders(id: str) -> None:
    assert make_sample(id=id).id == id


def test_present_class_must_be_known() -> None:
    with pytest.raises(DataError, match="a present class is a known one"):
        make_sample(known=(False, True, True))


def test_tag_vectors_must_agree() -> None:
    with pytest.raises(DataError, match=r"tags \(3,\) and known \(2,\)"):
        make_sample(known=(True, True))
    with pytest.raises(DataError, match="tags must be uint8 and known bool"):
        Sample("a", Path("a.jpg"), np.array([1.0]), np.array([True]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="tags are 0 or 1"):
        make_sample(tags=(2, 0, 0))


def make_maps(*scales: torch.Tensor, size_hw: tuple[int, int]) -> ScoreMaps:
    return ScoreMaps(keys=tuple(range(scales[0].shape[0])), scales=scales, size_hw=size_hw)


def test_maps_are_divided_by_their_own_maximum() -> None:
    raw = torch.tensor([[[2.0, 4.0]], [[0.5, 0.25]]])
    maps = make_maps(raw, size_hw=(4, 8)).strided(4)
    expected = torch.tensor([[[2 / (4 + 1e-5), 4 / (4 + 1e-5)]], [[0.5 / (0.5 + 1e-5), 0.25 / (0.5 + 1e-5)]]])
    torch.testing.assert_close(maps, expected)


def test_scales_are_upsampled_and_added() -> None:
    coarse, fine = torch.full((1, 1, 1), 3.0), torch.tensor([[[0.0, 1.0]]])
    maps = make_maps(coarse, fine, size_hw=(4, 8)).strided(4)
    torch.testing.assert_close(maps, torch.tensor([[[3 / (4 + 1e-5), 4 / (4 + 1e-5)]]]))


def test_sizes_are_rounded_up_at_the_stride() -> None:
    maps = make_maps(torch.rand(2, 3, 4), size_hw=(75, 110))
    assert maps.strided().shape == (2, 19, 28)
    assert maps.strided(16).shape == (2, 5, 7)
    assert maps.full().shape == (2, 75, 110)


def test_full_size_is_cropped_from_the_next_multiple_of_16() -> None:
    raw = torch.tensor([[[0.0, 1.0]]])
    full = make_maps(raw, size_hw=(1, 24)).full()
    # Over 32 columns, pixel x lies at (x + 0.5) / 16 - 0.5 of the way from the first cell's centre to the second's.
    ramp = [min(max((x + 0.5) / 16 - 0.5, 0.0), 1.0) for x in range(24)]
    torch.testing.assert_close(full[0, 0], torch.tensor(ramp) / (max(ramp) + 1e-5))


def test_flat_zero_maps_stay_zero() -> None:
    maps = make_maps(torch.zeros(1, 2, 2), size_hw=(8, 8))
    assert not maps.full().any()
    assert not maps.strided().any()


def test_image_without_tags_has_empty_maps() -> None:
    maps = make_maps(torch.zeros(0, 2, 3), size_hw=(9, 13))
    assert maps.strided().shape == (0, 3, 4)
    assert maps.full().shape == (0, 9, 13)


def test_rebuilding_leaves_the_raw_maps_alone() -> None:
    raw = torch.rand(1, 3, 3)
    before = raw.clone()
    maps = make_maps(raw, size_hw=(12, 12))
    assert torch.equal(maps.full(), maps.full())
    maps.strided()
    assert torch.equal(raw, before)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_seeds_lie_between_zero_and_one(height: int, width: int, seed: int) -> None:
    raw = 100 * torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(seed))
    for seed_maps in (
        make_maps(raw, size_hw=(height, width)).full(),
        make_maps(raw, size_hw=(height, width)).strided(),
    ):
        assert bool((seed_maps >= 0).all())
        assert bool((seed_maps <= 1).all())


@pytest.mark.parametrize(
    ("keys", "scales", "message"),
    [
        ((0,), (), "at least one scale"),
        ((1, 0), (torch.zeros(2, 1, 1),), "ascend"),
        ((0, 0), (torch.zeros(2, 1, 1),), "without repeats"),
        ((0,), (torch.zeros(2, 1, 1),), r"expected float32 maps \(1, h, w\), got torch.float32 \(2, 1, 1\)"),
        ((0,), (torch.zeros(1, 1),), r"got torch.float32 \(1, 1\)"),
        ((0,), (torch.zeros(1, 1, 1).double(),), "got torch.float64"),
        ((0,), (torch.zeros(1, 0, 1),), r"expected float32 maps \(1, h, w\), got torch.float32 \(1, 0, 1\)"),
        ((-1,), (torch.zeros(1, 1, 1),), r"class indices in 0\.\.253, got \(-1,\)"),
        ((254,), (torch.zeros(1, 1, 1),), r"class indices in 0\.\.253, got \(254,\)"),
    ],
)
def test_maps_that_do_not_fit_their_keys_are_refused(
    keys: tuple[int, ...], scales: tuple[torch.Tensor, ...], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        ScoreMaps(keys=keys, scales=scales, size_hw=(4, 4))


def test_image_without_a_pixel_has_no_maps() -> None:
    with pytest.raises(ShapeError, match="at least 1 x 1 px, got 0 x 4"):
        make_maps(torch.zeros(1, 1, 1), size_hw=(0, 4))


@pytest.mark.parametrize("stride_px", [0, -4])
def test_stride_below_one_is_refused(stride_px: int) -> None:
    with pytest.raises(ShapeError, match=f"stride_px: expected 1 or more, got {stride_px}"):
        make_maps(torch.zeros(1, 1, 1), size_hw=(4, 4)).strided(stride_px)


@pytest.mark.parametrize("value", [PETS, make_maps(torch.zeros(1, 1, 1), size_hw=(2, 2)), make_sample()])
def test_values_are_frozen(value: ClassSet | ScoreMaps | Sample) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.keys = ()  # type: ignore[misc]
