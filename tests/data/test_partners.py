from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from weakseg.data.base import Dataset
from weakseg.data.partners import PartnerIndex, PartnerMode, PartnerSource
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError
from weakseg.types import ClassSet, Sample

AUGMENTATION = Augmentation(long_side_px=(12, 20), crop_px=16, flip=True, colour=0.0)

TAGS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 0, 0), (0, 1, 0), (0, 0, 1))


def make_dataset(root: Path, *, unknown: tuple[tuple[int, int], ...] = ()) -> Dataset:
    """Seven flat images whose grey value tells their position."""
    samples = []
    for position, tags in enumerate(TAGS):
        path = root / f"{position}.png"
        Image.fromarray(np.full((14, 18, 3), 10 * position, np.uint8)).save(path)
        known = np.array([(position, key) not in unknown for key in range(3)])
        samples.append(Sample(str(position), path, np.array(tags, np.uint8), known))
    return Dataset("folder", "train", ClassSet(("a", "b", "c")), tuple(samples))


def open_source(dataset: Dataset, mode: PartnerMode, *, seed: int = 0, batch_size: int = 2) -> PartnerSource:
    return PartnerSource(dataset, AUGMENTATION, batch_size=batch_size, iterations=3, mode=mode, seed=seed, threads=2)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [((0,), [1, 2, 5, 6]), ((1,), [0, 2, 6]), ((2,), [0, 1, 3, 5]), ((0, 1), [2, 6]), ((), [0, 1, 2, 3, 5, 6])],
)
def test_disjoint_images_share_no_class_and_show_some(
    tmp_path: Path, keys: tuple[int, ...], expected: list[int]
) -> None:
    assert PartnerIndex(make_dataset(tmp_path)).find_disjoint(keys).tolist() == expected


def test_an_unknown_class_may_be_there(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, unknown=((1, 0), (2, 0)))
    assert PartnerIndex(dataset).find_disjoint((0,)).tolist() == [5, 6]


@pytest.mark.parametrize("mode", ["fresh", "pooled"])
def test_batches_are_disjoint_and_of_the_promised_form(tmp_path: Path, mode: PartnerMode) -> None:
    dataset = make_dataset(tmp_path)
    with open_source(dataset, mode) as source:
        for position, sample in enumerate(dataset):
            batches = list(source.draw(position, sample.keys))
            assert len(batches) == 3
            for images, tags in batches:
                assert images.shape == (2, 3, 16, 16)
                assert (images.dtype, tags.dtype) == (torch.float32, torch.float32)
                assert tags.sum(dim=1).min() >= 1
                assert not (tags.numpy() * sample.tags).any()


@pytest.mark.parametrize("mode", ["fresh", "pooled"])
def test_what_is_drawn_depends_on_seed_and_position_alone(tmp_path: Path, mode: PartnerMode) -> None:
    dataset = make_dataset(tmp_path)

    def draw(positions: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
        with open_source(dataset, mode, seed=seed) as source:
            drawn = {at: torch.stack([images for images, _ in source.draw(at, (0,))]) for at in positions}
        return [drawn[at] for at in sorted(drawn)]

    whole, resumed, backwards = draw((0, 1, 2, 3)), draw((2, 3)), draw((3, 1, 2, 0))
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], resumed, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole, backwards, strict=True))
    assert not torch.equal(whole[0], draw((0,), seed=1)[0])
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize("mode", ["fresh", "pooled"])
def test_without_a_disjoint_image_the_batches_are_empty(tmp_path: Path, mode: PartnerMode) -> None:
    with open_source(make_dataset(tmp_path), mode) as source:
        assert not source.has_partners((0, 1, 2))
        assert source.has_partners((0, 1))
        for images, tags in source.draw(0, (0, 1, 2)):
            assert images.shape == (0, 3, 16, 16)
            assert tags.shape == (0, 3)


def test_few_disjoint_images_are_repeated_and_enough_are_not(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    with open_source(dataset, "fresh", batch_size=4) as source:
        for images, _ in source.draw(0, (0,)):  # four disjoint images, each once
            assert len({round(float(image[0].abs().max()), 3) for image in images}) == 4
        for images, _ in source.draw(0, (0, 1)):  # two, repeated
            assert len(images) == 4


def test_stopping_early_leaves_the_source_usable(tmp_path: Path) -> None:
    with open_source(make_dataset(tmp_path), "fresh") as source:
        next(iter(source.draw(0, (0,))))
        assert len(list(source.draw(1, (1,)))) == 3


def test_a_pooled_image_costs_few_new_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path)
    decoded: list[str] = []
    monkeypatch.setattr(
        Dataset, "load_image", lambda self, sample: decoded.append(sample.id) or np.zeros((9, 9, 3), np.uint8)
    )
    with open_source(dataset, "pooled") as source:
        list(source.draw(0, (0,)))
        first = len(decoded)
        list(source.draw(1, (0,)))
    assert first <= 22  # ten batches of two and the two of the next image
    assert len(decoded) - first <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "pool"}, "mode of partners: expected one of fresh, pooled, got 'pool'"),
        ({"batch_size": -1}, "expected a batch_size of at least 0, .* got -1, 3 and 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(make_dataset(tmp_path), **({"mode": "fresh"} | options))


@pytest.mark.parametrize("mode", ["fresh", "pooled"])
def test_batches_may_be_empty_by_request(tmp_path: Path, mode: PartnerMode) -> None:
    with open_source(make_dataset(tmp_path), mode, batch_size=0) as source:
        assert [(tuple(images.shape), tuple(tags.shape)) for images, tags in source.draw(0, (0,))] == [
            ((0, 3, 16, 16), (0, 3))
        ] * 3
