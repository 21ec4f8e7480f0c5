import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import write_image, write_mask
from weakseg.data.base import Dataset, Problem
from weakseg.data.masks import MatchedMasks, PngMasks
from weakseg.errors import DataError
from weakseg.types import ClassSet, Sample

CLASSES = ClassSet(("cat", "dog", "fox"))


def make_sample(id: str, root: Path = Path("/nowhere"), *, num_classes: int = 3) -> Sample:
    return Sample(id, root / f"{id}.png", np.zeros(num_classes, np.uint8), np.ones(num_classes, np.bool_))


def make_dataset(*ids: str, root: Path = Path("/nowhere"), masks: PngMasks | None = None) -> Dataset:
    return Dataset("folder", "train", CLASSES, tuple(make_sample(id, root) for id in ids), masks)


def test_samples_come_in_the_order_given() -> None:
    dataset = make_dataset("b", "sub/a", "c")
    assert len(dataset) == 3
    assert [sample.id for sample in dataset] == ["b", "sub/a", "c"]


def test_two_images_of_one_id_are_refused() -> None:
    with pytest.raises(DataError, match="folder train: two images share the id 'a'; rename one of them"):
        make_dataset("a", "b", "a")


def test_tags_must_be_as_many_as_the_classes() -> None:
    with pytest.raises(DataError, match="folder train: image 'a' has 2 tags for 3 classes"):
        Dataset("folder", "train", CLASSES, (make_sample("a", num_classes=2),))


def test_an_empty_split_is_a_dataset() -> None:
    assert list(make_dataset()) == []


def test_keeping_ids_leaves_order_and_everything_else() -> None:
    problem = Problem("note", "odd", "b", "something")
    dataset = Dataset("voc", "val", CLASSES, tuple(make_sample(id) for id in "dcba"), None, (problem,))
    kept = dataset.keep(id for id in ("a", "c", "nothing"))
    assert [sample.id for sample in kept] == ["c", "a"]
    assert (kept.name, kept.split, kept.classes, kept.problems) == ("voc", "val", CLASSES, (problem,))
    assert len(dataset) == 4


def test_images_are_decoded_upright_as_rgb(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (5, 7), shade=33)
    dataset = make_dataset("a", root=tmp_path)
    image = dataset.load_image(dataset.samples[0])
    assert (image.shape, image.dtype) == ((5, 7, 3), np.uint8)
    assert (image == 33).all()


def test_masks_are_read_where_there_are_any(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", [[0, 1, 255]])
    dataset = make_dataset("a", "b", root=tmp_path, masks=PngMasks((tmp_path,)))
    mask = dataset.load_mask(dataset.samples[0])
    assert mask is not None
    assert mask.tolist() == [[0, 1, 255]]
    assert dataset.load_mask(dataset.samples[1]) is None
    assert make_dataset("a").load_mask(dataset.samples[0]) is None


def test_a_mask_is_known_without_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"damaged")
    dataset = make_dataset("a", "b", root=tmp_path, masks=PngMasks((tmp_path,)))
    assert [dataset.has_mask(sample) for sample in dataset] == [True, False]
    matched = replace(dataset, mask_reader=MatchedMasks({"b": tmp_path / "a.png"}))
    assert [matched.has_mask(sample) for sample in matched] == [False, True]
    read = replace(dataset, mask_reader=lambda sample: np.zeros((1, 3), np.uint8) if sample.id == "b" else None)
    assert [read.has_mask(sample) for sample in read] == [False, True]
    assert not make_dataset("a").has_mask(dataset.samples[0])


def test_a_dataset_travels_to_workers() -> None:
    dataset = make_dataset("a", "b", masks=PngMasks((Path("masks"),)))
    copy = pickle.loads(pickle.dumps(dataset))
    assert [sample.id for sample in copy] == ["a", "b"]
    assert (copy.classes, copy.mask_reader) == (CLASSES, dataset.mask_reader)
