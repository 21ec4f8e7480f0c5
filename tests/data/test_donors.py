import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tiny import DictMasks, make_dataset
from weakseg.data.base import Dataset
from weakseg.data.donors import DonorPool, PackedDonor, mine_donors
from weakseg.data.masks import PngMasks, encode_mask
from weakseg.errors import ConfigError, DataError

ALL = np.ones(3, np.bool_)


def packed(pool: DonorPool, key: int) -> list[PackedDonor]:
    return list(pool._by_class[key])


def block(size_hw: tuple[int, int], label: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
    mask = np.zeros(size_hw, np.uint8)
    mask[rows, columns] = label
    return mask


def with_masks(dataset: Dataset, masks: Mapping[int, NDArray[np.uint8]]) -> DictMasks:
    return DictMasks({dataset.samples[index].id: mask for index, mask in masks.items()})


def smooth(dataset: Dataset, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Overwrite the first image by a ramp, which JPEG keeps to within a few levels."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    image = np.stack([4 * rows + 20, 3 * columns + 40, 2 * (rows + columns) + 30], axis=2).astype(np.uint8)
    Image.fromarray(image).save(dataset.samples[0].image_path)
    return image


def test_a_donor_is_the_tight_crop_of_its_mask(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(1,)], sizes_hw=[(20, 31)])
    image = smooth(dataset, (20, 31))
    mask = block((20, 31), 2, slice(4, 14), slice(5, 27))  # 220 of 620 pixels
    mask[4, 5] = 0
    mask[0, 0] = 255
    (donor,) = packed(mine_donors(dataset, with_masks(dataset, {0: mask})), 1)
    assert (donor.key, donor.source_id, donor.area_share) == (1, "train_0", pytest.approx(219 / 620))
    unpacked = donor.unpack()
    assert (unpacked.pixels.dtype, unpacked.pixels.shape) == (np.uint8, (10, 22, 3))
    assert (unpacked.outline == (mask[4:14, 5:27] == 2)).all()
    assert unpacked.outline.sum() == 219
    assert np.abs(unpacked.pixels.astype(int) - image[4:14, 5:27]).max() <= 4


@pytest.mark.parametrize(
    ("rows", "kept"),
    [(1, False), (2, True), (14, True), (15, False)],  # of 20 rows: 5, 10, 70 and 75 %
)
def test_a_donor_covers_10_to_70_percent_of_its_image(rows: int, kept: bool, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    mask = block((20, 31), 1, slice(0, rows), slice(None))
    assert len(mine_donors(dataset, with_masks(dataset, {0: mask}))) == kept


def test_ignored_pixels_count_in_the_size_of_the_image_and_not_in_the_object(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    mask = block((20, 31), 1, slice(0, 2), slice(None))
    mask[2:] = 255
    pool = mine_donors(dataset, with_masks(dataset, {0: mask}))
    assert pool.statistics[0].mean_share == pytest.approx(0.1)
    assert packed(pool, 0)[0].unpack().outline.shape == (2, 31)


def test_images_that_show_two_classes_or_none_give_no_donor(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0, 1), (0, 1), ()], sizes_hw=[(20, 31)])
    two = block((20, 31), 1, slice(0, 8), slice(None))
    two[19, 30] = 2
    one = block((20, 31), 1, slice(0, 8), slice(None))
    pool = mine_donors(dataset, with_masks(dataset, {0: two, 1: one, 2: np.zeros((20, 31), np.uint8)}))
    assert [donor.source_id for donor in packed(pool, 0)] == ["train_1"], "what counts is what the mask shows"
    assert len(pool) == 1


def test_a_class_that_its_image_is_not_tagged_with_gives_no_donor(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    assert len(mine_donors(dataset, with_masks(dataset, {0: block((20, 31), 2, slice(0, 8), slice(None))}))) == 0


def found_in_classes(tmp_path: Path, keys: Sequence[int], **options: int) -> DonorPool:
    """Mine images of 10 x 13 whose rows 0, 1, ... show the class of each; shares 2/10, 3/10, ..."""
    dataset = make_dataset(tmp_path, [(key,) for key in keys], sizes_hw=[(10, 13)])
    masks = {i: block((10, 13), key + 1, slice(0, 2 + i % 5), slice(None)) for i, key in enumerate(keys)}
    return mine_donors(dataset, with_masks(dataset, masks), **options)


def test_statistics_name_every_class_and_those_without_donor(tmp_path: Path) -> None:
    pool = found_in_classes(tmp_path, [0, 2, 0])
    cat, dog, fox = pool.statistics
    assert (cat.name, cat.found, cat.kept, cat.mean_share) == ("cat", 2, 2, pytest.approx(0.3))
    assert (dog.name, dog.found, dog.kept, dog.mean_share) == ("dog", 0, 0, None)
    assert (fox.name, fox.found, fox.kept, fox.mean_share) == ("fox", 1, 1, pytest.approx(0.3))
    assert pool.classes_without_donor == ("dog",)
    assert len(pool) == 3


def test_a_class_keeps_a_random_choice_of_limited_size(tmp_path: Path) -> None:
    chosen = []
    for seed in range(8):
        pool = found_in_classes(tmp_path, [0] * 6 + [1], max_per_class=2, seed=seed)
        assert (pool.statistics[0].found, pool.statistics[0].kept, pool.statistics[1].kept) == (6, 2, 1)
        chosen.append(tuple(donor.source_id for donor in packed(pool, 0)))
    assert len(set(chosen)) > 2
    assert set().union(*chosen) > {"train_0", "train_5"}


def test_threads_change_no_donor(tmp_path: Path) -> None:
    one, three = (found_in_classes(tmp_path, [0, 1, 2] * 4, max_per_class=3, threads=n) for n in (1, 3))
    kept = [
        [(d.source_id, d.jpeg, d.outline_png) for key in range(3) for d in packed(pool, key)] for pool in (one, three)
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 9


def test_the_seed_changes_nothing_where_every_donor_is_kept(tmp_path: Path) -> None:
    pools = [found_in_classes(tmp_path, [0, 0, 1, 0], seed=seed) for seed in range(4)]
    for pool in pools:
        assert [donor.source_id for donor in packed(pool, 0)] == ["train_0", "train_1", "train_3"]


def test_donors_keep_colours_that_alternate_by_pixel(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(16, 32)])
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, ::2], image[:, 1::2] = (200, 60, 60), (60, 60, 200)
    Image.fromarray(image).save(dataset.samples[0].image_path)
    pool = mine_donors(dataset, with_masks(dataset, {0: block((16, 32), 1, slice(0, 8), slice(None))}))
    assert np.abs(packed(pool, 0)[0].unpack().pixels.astype(int) - image[:8]).max() <= 25


def test_large_donors_are_shrunk(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(90, 201)])
    mask = block((90, 201), 1, slice(10, 90), slice(1, 201))
    mask[10:50, 1:101] = 0  # a quarter of the crop
    donor = packed(mine_donors(dataset, with_masks(dataset, {0: mask}), max_side_px=50, area_share=(0.1, 0.9)), 0)[0]
    unpacked = donor.unpack()
    assert unpacked.pixels.shape == (20, 50, 3)
    assert unpacked.outline.shape == (20, 50)
    assert not unpacked.outline[:9, :24].any()
    assert unpacked.outline[11:].all()
    assert unpacked.outline[:, 26:].all()


def test_an_object_that_shrinking_leaves_nothing_of_is_left_out(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(40, 61)])
    mask = np.zeros((40, 61), np.uint8)
    mask[::3, ::2] = 1  # a sixth of the pixels, none of them two in a row
    pool = mine_donors(dataset, with_masks(dataset, {0: mask}), max_side_px=10)
    assert (len(pool), pool.statistics[0].found, pool.classes_without_donor) == (0, 1, ("cat", "dog", "fox"))


def test_images_without_mask_give_no_donors(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,), (1,), (2,)], sizes_hw=[(20, 31)])
    folder = tmp_path / "masks"
    folder.mkdir()
    (folder / "train_1.png").write_bytes(encode_mask(block((20, 31), 2, slice(0, 8), slice(None))))
    pool = mine_donors(dataset, PngMasks((folder,)))
    assert (len(pool), [entry.found for entry in pool.statistics]) == (1, [0, 1, 0])
    nothing = mine_donors(dataset, PngMasks((tmp_path / "none",)))
    assert (len(nothing), nothing.size_bytes) == (0, 0)
    assert nothing.draw(np.random.default_rng(0), ALL) is None


def test_progress_counts_images(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,), (1,)], sizes_hw=[(20, 31)])
    ticks = []
    mine_donors(dataset, with_masks(dataset, {}), tick=lambda done, total: ticks.append((done, total)))
    assert ticks == [(1, 2), (2, 2)]


def test_drawing_gives_every_donor_of_the_allowed_classes_and_no_other(tmp_path: Path) -> None:
    pool = found_in_classes(tmp_path, [0, 1, 1, 2, 1])
    rng = np.random.default_rng(0)
    for allowed, expected in (
        ([True, True, True], {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2}),
        ([True, False, True], {0: 0.5, 3: 0.5}),
        ([False, True, False], {1: 1 / 3, 2: 1 / 3, 4: 1 / 3}),
    ):
        drawn = [pool.draw(rng, np.array(allowed)) for _ in range(400)]
        ids = [donor.source_id for donor in drawn if donor is not None]
        shares = {int(id.removeprefix("train_")): ids.count(id) / 400 for id in set(ids)}
        assert shares == pytest.approx(expected, abs=0.08)
        assert all(donor is not None and allowed[donor.key] for donor in drawn)


def test_without_an_allowed_donor_nothing_is_drawn(tmp_path: Path) -> None:
    pool = found_in_classes(tmp_path, [0])
    rng = np.random.default_rng(3)
    assert pool.draw(rng, np.array([False, True, True])) is None
    assert rng.random() == np.random.default_rng(3).random()


def test_a_pool_survives_pickling(tmp_path: Path) -> None:
    pool = found_in_classes(tmp_path, [0, 1])
    copy = pickle.loads(pickle.dumps(pool))
    drawn = [p.draw(np.random.default_rng(1), ALL) for p in (pool, copy)]
    assert (drawn[0].pixels == drawn[1].pixels).all()
    assert (copy.statistics, copy.size_bytes) == (pool.statistics, pool.size_bytes)


@pytest.mark.parametrize("num_classes", [1, 80])
def test_one_class_and_eighty_classes(num_classes: int, tmp_path: Path) -> None:
    names = [f"class {index}" for index in range(num_classes)]
    dataset = make_dataset(tmp_path, [(num_classes - 1,)], names=names, sizes_hw=[(20, 31)])
    mask = block((20, 31), num_classes, slice(0, 8), slice(None))
    pool = mine_donors(dataset, with_masks(dataset, {0: mask}))
    assert [entry.kept for entry in pool.statistics] == [0] * (num_classes - 1) + [1]
    donor = pool.draw(np.random.default_rng(0), np.ones(num_classes, np.bool_))
    assert donor is not None
    assert donor.key == num_classes - 1


def test_a_mask_of_another_data_set_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    with pytest.raises(DataError, match="mask of image 'train_0' has label 4, but there are 3 classes"):
        mine_donors(dataset, with_masks(dataset, {0: block((20, 31), 4, slice(0, 8), slice(None))}))


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    with pytest.raises(DataError, match=r"image 'train_0' is \(20, 31\) .*, but its mask is \(31, 20\)"):
        mine_donors(dataset, with_masks(dataset, {0: block((31, 20), 1, slice(0, 8), slice(None))}), threads=2)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [(0,)], sizes_hw=[(20, 31)])
    lost = replace(dataset, samples=(replace(dataset.samples[0], image_path=Path("/gone.png")),))
    with pytest.raises(DataError, match=r"cannot read image /gone\.png"):
        mine_donors(lost, with_masks(lost, {0: block((20, 31), 1, slice(0, 8), slice(None))}))


@pytest.mark.parametrize("share", [(0.0, 0.7), (0.7, 0.1), (0.1, 1.1)])
def test_a_range_of_shares_that_is_none_is_refused(share: tuple[float, float], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="area_share of donors: expected 0 < smallest <= largest <= 1"):
        mine_donors(make_dataset(tmp_path, [(0,)]), DictMasks({}), area_share=share)


@pytest.mark.parametrize("limits", [{"max_per_class": 0}, {"max_side_px": 0}])
def test_limits_below_one_are_refused(limits: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_per_class and max_side_px of at least 1"):
        mine_donors(make_dataset(tmp_path, [(0,)]), DictMasks({}), **limits)
