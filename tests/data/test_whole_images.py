from pathlib import Path

import numpy as np
import pytest

from tests.data.test_crops import lose_image
from tests.tiny import SIZE_HW, make_dataset
from weakseg.data.base import Dataset
from weakseg.data.whole_images import iterate_images, iterate_shrunk
from weakseg.errors import DataError
from weakseg.ops.images import limit_side


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six images."""
    return make_dataset(tmp_path_factory.mktemp("images"))


SIZES_HW = ((8, 9), (8, 9), (8, 9), (9, 8), (8, 9), (8, 9))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("batch_size", "groups"),
    [(1, [[0], [1], [2], [3], [4], [5]]), (2, [[0, 1], [2], [3], [4, 5]]), (9, [[0, 1, 2], [3], [4, 5]])],
)
def test_images_come_in_order_in_runs_of_one_size(
    batch_size: int, groups: list[list[int]], workers: int, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=SIZES_HW)
    runs = list(iterate_images(dataset, dataset.samples, batch_size=batch_size, workers=workers))
    assert [[sample.id for sample in samples] for samples, _ in runs] == [[f"train_{k}" for k in g] for g in groups]
    for samples, images in runs:
        assert all((image == dataset.load_image(sample)).all() for sample, image in zip(samples, images, strict=True))
        assert {image.dtype for image in images} == {np.dtype(np.uint8)}


def test_only_the_samples_asked_for_are_decoded(dataset: Dataset) -> None:
    chosen = (dataset.samples[4], dataset.samples[1])
    runs = list(iterate_images(lose_image(dataset, "train_0"), chosen, batch_size=9))
    assert [[sample.id for sample in samples] for samples, _ in runs] == [["train_4", "train_1"]]
    assert runs[0][1][0].shape == (*SIZE_HW, 3)
    assert list(iterate_images(dataset, [])) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_from_any_process(workers: int, dataset: Dataset) -> None:
    damaged = lose_image(dataset, "train_2")
    with pytest.raises(DataError) as raised:
        list(iterate_images(damaged, damaged.samples, workers=workers))
    assert str(raised.value) == "cannot read image /gone.png: there is no such file"


@pytest.mark.parametrize("workers", [0, 1])
def test_whole_images_come_shrunk_with_their_full_size(workers: int, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=((24, 33), (17, 20)))
    found = list(iterate_shrunk(dataset, dataset.samples[:2], max_side_px=20, workers=workers))
    assert [sample.id for sample, _ in found] == ["train_0", "train_1"]
    assert [image.pixels.shape for _, image in found] == [(15, 20, 3), (17, 20, 3)]
    assert [image.size_hw for _, image in found] == [(24, 33), (17, 20)]
    assert np.array_equal(found[0][1].pixels, limit_side(dataset.load_image(dataset.samples[0]), 20))
