from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import AUGMENTATION, DictMasks, make_dataset
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch, CropSet, load_crops, order_batches
from weakseg.data.transforms import augment_image, make_rng
from weakseg.data.whole_images import iterate_images
from weakseg.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six images."""
    return make_dataset(tmp_path_factory.mktemp("images"))


def flat(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def equal(one: Batch, other: Batch) -> bool:
    assert one.labels is not None
    assert other.labels is not None
    pairs = ((one.images, other.images), (one.tags, other.tags), (one.known, other.known), (one.labels, other.labels))
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own() -> None:
    orders = [flat(order_batches(20, batch_size=5, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == flat(order_batches(20, batch_size=5, seed=0, epoch=0))
    assert all(type(position) is int for position in orders[0])


def test_an_incomplete_last_batch_is_dropped() -> None:
    batches = order_batches(11, batch_size=4, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(set(flat(batches))) == 8


def test_other_images_are_dropped_in_other_epochs() -> None:
    used = [set(flat(order_batches(5, batch_size=4, seed=0, epoch=epoch))) for epoch in range(30)]
    assert set.union(*used) == {0, 1, 2, 3, 4}


def test_fewer_images_than_a_batch_make_one_batch() -> None:
    assert [sorted(batch) for batch in order_batches(3, batch_size=16, seed=0, epoch=0)] == [[0, 1, 2]]
    assert order_batches(1, batch_size=16, seed=0, epoch=0) == [[0]]


def test_an_image_with_more_tickets_is_drawn_more_often_in_as_many_steps(dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=0, masks=dataset.mask_reader, often=(1, 4), times=3)
    assert crops.tickets == (0, 1, 2, 3, 4, 5, 1, 4, 1, 4)
    drawn = [
        crops.tickets[ticket]
        for epoch in range(200)
        for batch in load_crops(crops, epoch=epoch, batch_size=2, workers=0).keys
        for _, ticket in batch
    ]
    assert len(drawn) == 200 * 6
    counts = [drawn.count(position) / 200 for position in range(6)]
    assert counts == pytest.approx([0.6, 1.8, 0.6, 0.6, 1.8, 0.6], abs=0.12)  # of 6 draws 3 tickets of 10, or 1
    first, second = crops[0, 1], crops[0, 6]
    assert not torch.equal(first[0], second[0])  # the same image, changed otherwise


def test_without_more_tickets_nothing_changes(dataset: Dataset) -> None:
    plain = CropSet(dataset, AUGMENTATION, seed=3)
    keys = load_crops(plain, epoch=1, batch_size=2, workers=0).keys
    for often, times in (((), 9), ((2,), 1)):
        crops = CropSet(dataset, AUGMENTATION, seed=3, often=often, times=times)
        assert crops.tickets == tuple(range(6))
        assert load_crops(crops, epoch=1, batch_size=2, workers=0).keys == keys
    with pytest.raises(ConfigError, match="at least once as often as others, got 0"):
        CropSet(dataset, AUGMENTATION, seed=3, times=0)


def test_too_few_images_for_the_processes_make_one_batch_they_can_share() -> None:
    shares = [order_batches(5, batch_size=16, seed=0, epoch=0, rank=rank, world_size=2) for rank in (0, 1)]
    assert [len(batch) for share in shares for batch in share] == [2, 2]


@given(
    num_images=st.integers(1, 60),
    per_process=st.integers(1, 5),
    world_size=st.integers(1, 4),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
def test_processes_share_out_the_batches_of_one_process(
    num_images: int, per_process: int, world_size: int, seed: int, epoch: int
) -> None:
    batch_size = per_process * world_size
    num_images = max(num_images, batch_size)
    whole = order_batches(num_images, batch_size=batch_size, seed=seed, epoch=epoch)
    shares = [
        order_batches(num_images, batch_size=batch_size, seed=seed, epoch=epoch, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len(whole) == num_images // batch_size
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert {len(part) for part in parts} == {per_process}
        assert sorted(flat(parts)) == sorted(batch)


def test_a_batch_that_does_not_divide_over_the_processes_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size 16 must be a multiple of the 3 processes"):
        order_batches(100, batch_size=16, seed=0, epoch=0, world_size=3)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size: expected at least 1 image, got 0"):
        order_batches(5, batch_size=0, seed=0, epoch=0)


def test_fewer_images_than_processes_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 images cannot be shared by 4 processes; start fewer"):
        order_batches(3, batch_size=16, seed=0, epoch=0, world_size=4)


def test_a_batch_holds_crops_tags_and_masks_of_its_images(dataset: Dataset) -> None:
    unknown = replace(dataset.samples[0], known=np.array([True, False, True]))
    dataset = replace(dataset, samples=(unknown, *dataset.samples[1:]))
    crops = CropSet(dataset, AUGMENTATION, seed=5, masks=dataset.mask_reader)
    loaded = load_crops(crops, epoch=3, batch_size=4, workers=0)
    assert len(loaded) == 1
    (batch,) = loaded
    positions = order_batches(6, batch_size=4, seed=5, epoch=3)[0]
    assert (batch.images.dtype, batch.images.shape) == (torch.float32, (4, 3, 32, 32))
    assert (batch.labels.dtype, batch.labels.shape) == (torch.int64, (4, 32, 32))
    assert (batch.tags.dtype, batch.known.dtype) == (torch.float32, torch.bool)
    for row, position in enumerate(positions):
        sample = dataset.samples[position]
        image, labels = augment_image(
            dataset.load_image(sample), dataset.load_mask(sample), AUGMENTATION, make_rng(5, 3, position)
        )
        assert torch.equal(batch.images[row], image)
        assert torch.equal(batch.labels[row], labels)
        assert batch.tags[row].tolist() == sample.tags.tolist()
        assert batch.known[row].tolist() == sample.known.tolist()


def test_without_masks_a_batch_has_none(dataset: Dataset) -> None:
    (batch,) = load_crops(CropSet(dataset, AUGMENTATION, seed=0), epoch=0, batch_size=6, workers=0)
    assert batch.labels is None
    assert batch.to(torch.device("cpu")).labels is None


def test_workers_change_no_batch_and_an_epoch_can_be_loaded_twice(dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=1, masks=dataset.mask_reader)
    here = list(load_crops(crops, epoch=2, batch_size=2, workers=0))
    loaded = load_crops(crops, epoch=2, batch_size=2, workers=2)
    assert len(loaded) == len(here) == 3
    for _ in range(2):
        assert all(equal(one, other) for one, other in zip(loaded, here, strict=True))


def test_another_epoch_shows_other_crops(dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=1)
    first, second = (crops[epoch, 0][0] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_processes_load_the_crops_of_one_process(dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=1)
    (whole,) = load_crops(crops, epoch=0, batch_size=6, workers=0)
    for rank in (0, 1):
        (share,) = load_crops(crops, epoch=0, batch_size=6, workers=0, rank=rank, world_size=2)
        assert torch.equal(share.images, whole.images[rank::2])
        assert torch.equal(share.tags, whole.tags[rank::2])


def lose_mask(dataset: Dataset, id: str) -> Dataset:
    masks = {sample.id: dataset.load_mask(sample) for sample in dataset if sample.id != id}
    return replace(dataset, mask_reader=DictMasks(masks))


def shrink_mask(dataset: Dataset, id: str) -> Dataset:
    masks = {sample.id: dataset.load_mask(sample) for sample in dataset}
    return replace(dataset, mask_reader=DictMasks({**masks, id: masks[id][:20]}))


def lose_image(dataset: Dataset, id: str) -> Dataset:
    samples = [replace(s, image_path=Path("/gone.png")) if s.id == id else s for s in dataset]
    return replace(dataset, samples=tuple(samples))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_mask, "image 'train_4' has no mask to train on; run the stage 'refine' again"),
        (
            shrink_mask,
            "image 'train_4' is (24, 33) (height, width), but its training mask is (20, 33); "
            "draw it again at the size of the image, or move it away and run the stage 'refine' again",
        ),
        (lose_image, "cannot read image /gone.png: there is no such file"),
    ],
)
def test_what_is_wrong_with_a_file_reaches_the_user_as_one_line_from_any_process(
    damage: Callable[[Dataset, str], Dataset], message: str, workers: int, dataset: Dataset
) -> None:
    damaged = damage(dataset, "train_4")
    crops = CropSet(damaged, AUGMENTATION, seed=0, masks=damaged.mask_reader)
    with pytest.raises(DataError) as raised:
        list(load_crops(crops, epoch=0, batch_size=2, workers=workers))
    assert str(raised.value) == message


def test_loading_leaves_the_global_generators_alone(dataset: Dataset) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    crops = CropSet(dataset, AUGMENTATION, seed=0)
    list(load_crops(crops, epoch=0, batch_size=2, workers=1))
    list(iterate_images(dataset, dataset.samples, workers=0))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


@pytest.mark.parametrize(("workers", "max_bytes"), [(0, 1), (0, 2_000), (0, 10_000_000), (2, 2_000)])
def test_images_kept_in_memory_change_no_batch(workers: int, max_bytes: int, dataset: Dataset) -> None:
    plain = CropSet(dataset, AUGMENTATION, seed=3, masks=dataset.mask_reader)
    kept = CropSet(dataset, AUGMENTATION, seed=3, masks=dataset.mask_reader)
    kept.keep_images(max_bytes=max_bytes, threads=2)
    for epoch in (0, 1):
        pairs = zip(
            load_crops(plain, epoch=epoch, batch_size=2, workers=0),
            load_crops(kept, epoch=epoch, batch_size=2, workers=workers),
            strict=True,
        )
        for one, other in pairs:
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)


def test_kept_images_are_not_read_again(dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=3)
    crops.keep_images(max_bytes=10_000_000, threads=1)
    crops.dataset = lose_image(dataset, "train_1")
    assert len(list(load_crops(crops, epoch=0, batch_size=2, workers=0))) == 3


def test_large_images_and_their_masks_are_shrunk_to_what_augmentation_can_make_of_them(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=((64, 97),))
    crops = CropSet(dataset, replace(AUGMENTATION, long_side_px=(20, 48)), seed=0, masks=dataset.mask_reader)
    picture = crops.cache[0]
    assert picture.pixels.shape == (32, 48, 3)  # 64 * 48 / 97 = 31.7
    assert picture.labels is not None
    assert picture.labels.shape == (32, 48)
    assert crops[0, 0][0].shape == (3, AUGMENTATION.crop_px, AUGMENTATION.crop_px)
