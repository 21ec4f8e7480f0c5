import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.tiny import AUGMENTATION, COLOURS, DictMasks, make_dataset
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch, CropSet, order_batches
from weakseg.data.donors import DonorPool, PackedDonor, mine_donors
from weakseg.data.pairs import PairedCrops, draw_pasted_sheet, load_pairs
from weakseg.data.pasting import PasteSettings
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError

TAGS = ((0,), (1,), (2,), (0, 1), (1, 2), (), (0, 1, 2), (0,))


def mine(dataset: Dataset, *, truth: bool = True) -> DonorPool:
    return mine_donors(dataset, dataset.mask_reader if truth else DictMasks({}), area_share=(0.05, 0.7))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), TAGS)


@pytest.fixture(scope="module")
def donors(dataset: Dataset) -> DonorPool:
    return mine(dataset)


def make_pairs(
    dataset: Dataset, donors: DonorPool, *, seed: int = 0, augmentation: Augmentation = AUGMENTATION
) -> PairedCrops:
    return PairedCrops(dataset, augmentation, seed=seed, donors=donors, settings=PasteSettings())


def assert_equal(one: Batch, other: Batch) -> None:
    for name in ("images", "tags", "known"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_the_fixture_has_a_donor_of_every_class(donors: DonorPool) -> None:
    assert [entry.kept for entry in donors.statistics] == [2, 1, 1]


def test_a_twin_shows_a_donor_of_a_class_that_its_host_lacks(dataset: Dataset, donors: DonorPool) -> None:
    pairs, pasted_keys = make_pairs(dataset, donors), set()
    for epoch in range(12):
        for position, sample in enumerate(dataset):
            pasted = pairs.paste(epoch, position)
            if sample.id == "train_6":  # shows every class
                assert pasted.key is None
                assert pasted.tags.tolist() == [1, 1, 1]
                continue
            assert pasted.key is not None
            assert sample.tags[pasted.key] == 0
            assert pasted.tags.tolist() == [max(int(t), int(k == pasted.key)) for k, t in enumerate(sample.tags)]
            changed = (pasted.image != dataset.load_image(sample)).any(axis=2)
            assert 0 < changed.mean() <= 0.49
            nearest = np.abs(pasted.image[changed].astype(int) - COLOURS[pasted.key]).max(axis=1)
            assert (nearest < 40).mean() > 0.9, "what changed is the donor"
            pasted_keys.add(pasted.key)
    assert pasted_keys == {0, 1, 2}


def test_hosts_and_samples_are_not_modified(dataset: Dataset, donors: DonorPool) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    before, tags = image.copy(), [sample.tags.copy() for sample in dataset]

    class Held(Dataset):
        def load_image(self, sample: object) -> np.ndarray:
            return image

    held = Held(dataset.name, dataset.split, dataset.classes, dataset.samples)
    pairs = make_pairs(held, donors)
    for position in range(2 * len(held)):
        pairs[0, position]
    assert (image == before).all()
    assert all((sample.tags == tag).all() for sample, tag in zip(dataset, tags, strict=True))


def test_a_host_that_may_show_the_class_gets_no_donor_of_it(dataset: Dataset, donors: DonorPool) -> None:
    known = replace(dataset.samples[0], known=np.array([True, False, True]))  # tagged 0; 1 is unknown
    pairs = make_pairs(replace(dataset, samples=(known,)), donors)
    pasted = [pairs.paste(epoch, 0) for epoch in range(20)]
    assert {image.key for image in pasted} == {2}
    assert all(image.known.tolist() == [True, False, True] for image in pasted)
    nothing = replace(dataset.samples[0], known=np.array([True, False, False]))
    assert make_pairs(replace(dataset, samples=(nothing,)), donors).paste(0, 0).key is None


def test_plain_images_are_those_of_an_ordinary_training(dataset: Dataset, donors: DonorPool) -> None:
    pairs, plain = make_pairs(dataset, donors, seed=4), CropSet(dataset, AUGMENTATION, seed=4)
    for position in range(len(dataset)):
        for one, other in zip(pairs[2, position][:3], plain[2, position][:3], strict=True):
            assert torch.equal(one, other)


def test_a_twin_depends_on_seed_epoch_and_image_alone(dataset: Dataset, donors: DonorPool) -> None:
    def twin(seed: int, epoch: int, position: int) -> Tensor:
        return make_pairs(dataset, donors, seed=seed)[epoch, len(TAGS) + position][0]

    first = twin(0, 0, 0)
    assert torch.equal(twin(0, 0, 0), first)
    assert not torch.equal(twin(1, 0, 0), first)
    assert not torch.equal(twin(0, 1, 0), first)
    pairs = make_pairs(dataset, donors)
    pairs[3, 1], pairs[0, len(TAGS) + 2]
    assert torch.equal(pairs[0, len(TAGS)][0], first), "what was asked for before does not matter"


def test_large_hosts_are_shrunk_to_what_augmentation_makes_of_them(tmp_path: Path, donors: DonorPool) -> None:
    large = make_dataset(tmp_path, [()], sizes_hw=[(300, 401)])
    assert make_pairs(large, donors).paste(0, 0).image.shape == (30, 40, 3)  # long_side_px is at most 40


def test_the_twin_of_a_host_that_shows_everything_is_a_second_plain_view(dataset: Dataset, donors: DonorPool) -> None:
    pairs = make_pairs(dataset, donors)
    (plain, tags, known, _), (twin, twin_tags, twin_known, _) = pairs[0, 6], pairs[0, 8 + 6]
    assert not torch.equal(plain, twin)
    assert torch.equal(tags, twin_tags)
    assert torch.equal(known, twin_known)


def test_a_donor_that_vanishes_is_not_tagged(dataset: Dataset) -> None:
    outline = np.zeros((40, 40), np.bool_)
    outline[::8, ::8] = True
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 40)).save(jpeg, "JPEG")
    Image.fromarray(outline).save(png, "PNG")
    thin = PackedDonor(1, "elsewhere", 0.1, jpeg.getvalue(), png.getvalue())
    pool = DonorPool(dataset.classes, [thin], found_shares=[[], [0.1], []])
    pasted = make_pairs(dataset, pool).paste(0, 0)
    assert (pasted.key, pasted.tags.tolist()) == (None, [1, 0, 0])
    assert (pasted.image == dataset.load_image(dataset.samples[0])).all()


def test_half_a_batch_is_plain_and_half_is_pasted(dataset: Dataset, donors: DonorPool) -> None:
    pairs = make_pairs(dataset, donors, seed=2)
    loaded = load_pairs(pairs, epoch=1, batch_size=4, workers=0)
    order = order_batches(8, batch_size=2, seed=2, epoch=1)
    assert len(loaded) == 4, "twice the steps of an ordinary epoch"
    for batch, positions in zip(loaded, order, strict=True):
        assert batch.images.shape == (4, 3, 32, 32)
        assert (batch.tags.dtype, batch.known.dtype, batch.labels) == (torch.float32, torch.bool, None)
        for row, position in enumerate(positions):
            assert torch.equal(batch.images[2 * row], pairs[1, position][0])
            assert torch.equal(batch.images[2 * row + 1], pairs[1, 8 + position][0])
            assert batch.tags[2 * row].tolist() == dataset.samples[position].tags.tolist()
            assert batch.tags[2 * row + 1].tolist() == pairs.paste(1, position).tags.tolist()


def test_workers_change_no_pair(dataset: Dataset, donors: DonorPool) -> None:
    pairs = make_pairs(dataset, donors)
    here, there = (list(load_pairs(pairs, epoch=0, batch_size=4, workers=workers)) for workers in (0, 2))
    assert len(here) == len(there) == 4
    for one, other in zip(here, there, strict=True):
        assert_equal(one, other)


def test_processes_load_the_pairs_of_one_process(dataset: Dataset, donors: DonorPool) -> None:
    pairs = make_pairs(dataset, donors)
    whole = list(load_pairs(pairs, epoch=0, batch_size=8, workers=0))
    shares = [list(load_pairs(pairs, epoch=0, batch_size=8, workers=0, rank=r, world_size=2)) for r in (0, 1)]
    assert len(whole) == len(shares[0]) == len(shares[1]) == 2
    for step, batch in enumerate(whole):
        for rank, share in enumerate(shares):
            rows = [2 * pair + twin for pair in range(rank, 4, 2) for twin in (0, 1)]
            assert torch.equal(share[step].images, batch.images[rows])


@pytest.mark.parametrize(("batch_size", "world_size", "divisor"), [(5, 1, 2), (6, 2, 4)])
def test_a_batch_that_does_not_hold_whole_pairs_is_refused(
    batch_size: int, world_size: int, divisor: int, dataset: Dataset, donors: DonorPool
) -> None:
    message = f"batch_size {batch_size} must be a multiple of {divisor}: CDA trains on pairs"
    with pytest.raises(ConfigError, match=message):
        load_pairs(make_pairs(dataset, donors), epoch=0, batch_size=batch_size, workers=0, world_size=world_size)


def test_a_class_without_donor_is_never_pasted(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ((0, 1), (2,), ()))
    donors = mine(dataset)
    assert donors.classes_without_donor == ("cat", "dog")
    pairs = make_pairs(dataset, donors)
    keys = [[pairs.paste(epoch, position).key for epoch in range(5)] for position in range(3)]
    assert keys == [[2] * 5, [None] * 5, [2] * 5]


def sheet_of(dataset: Dataset, donors: DonorPool, **options: int) -> Sequence[int]:
    return draw_pasted_sheet(make_pairs(dataset, donors), **options).shape


def test_a_sheet_shows_pasted_images(dataset: Dataset, donors: DonorPool) -> None:
    assert sheet_of(dataset, donors) == (2 * 168, 6 * 168, 3)  # seven of eight images lack some class
    assert sheet_of(dataset, donors, count=3, columns=2) == (2 * 168, 2 * 168, 3)
    assert sheet_of(dataset, mine(dataset, truth=False), count=1) == (168, 6 * 168, 3)
    drawn = [draw_pasted_sheet(make_pairs(dataset, donors)) for _ in range(2)]
    assert (drawn[0] == drawn[1]).all()
