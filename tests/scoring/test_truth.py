from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import DictMasks, make_dataset
from weakseg.data.base import Dataset
from weakseg.errors import DataError
from weakseg.scoring.truth import digest_truth
from weakseg.types import Sample


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), ((0,), (1,), ()))


def with_mask(dataset: Dataset, id: str, mask: NDArray[np.uint8] | None) -> Dataset:
    assert isinstance(dataset.mask_reader, DictMasks)
    masks = {**dataset.mask_reader.masks, id: mask}
    if mask is None:
        del masks[id]
    return replace(dataset, mask_reader=DictMasks(masks))


def test_the_digest_of_truth_depends_on_labels_sizes_and_which_images_have_any(dataset: Dataset) -> None:
    mask = dataset.load_mask(dataset.samples[0])
    assert mask is not None
    changed = mask.copy()
    changed[0, 0] = 3
    digests = {
        digest_truth(other)
        for other in (
            dataset,
            with_mask(dataset, "train_0", changed),
            with_mask(dataset, "train_0", mask.T.copy()),
            with_mask(dataset, "train_0", mask.reshape(mask.shape[1], -1)),
            with_mask(dataset, "train_0", None),
            replace(dataset, mask_reader=None),
            dataset.keep(["train_0", "train_1"]),
        )
    }
    assert len(digests) == 7
    assert digest_truth(with_mask(dataset, "train_0", mask.copy())) == digest_truth(dataset)
    assert digest_truth(with_mask(dataset, "stranger", mask)) == digest_truth(dataset)


def test_truth_that_cannot_be_read_is_digested_as_missing(dataset: Dataset) -> None:
    whole = dataset.mask_reader
    assert whole is not None

    def read(sample: Sample, /) -> NDArray[np.uint8] | None:
        if sample.id == "train_0":
            raise DataError("damaged")
        return whole(sample)

    assert digest_truth(replace(dataset, mask_reader=read)) == digest_truth(with_mask(dataset, "train_0", None))
