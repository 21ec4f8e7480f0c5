import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import write_mask, write_voc
from weakseg.data.instance_masks import PngInstances
from weakseg.data.masks import PngMasks
from weakseg.data.synthetic import CritterSettings, generate_scene, write_critters
from weakseg.data.voc import open_voc
from weakseg.errors import DataError
from weakseg.types import Sample

SAMPLE = Sample("a", Path("a.jpg"), np.zeros(20, np.uint8), np.ones(20, np.bool_))


def make_reader(root: Path, objects: object, labels: object, *, num_classes: int = 20) -> PngInstances:
    for folder, content in (("objects", objects), ("labels", labels)):
        if content is not None:
            write_mask(root / folder / "a.png", content)
    return PngInstances(PngMasks((root / "objects",)), PngMasks((root / "labels",)), num_classes)


def test_objects_get_the_class_of_their_pixels(tmp_path: Path) -> None:
    # Two touching objects of one class, one of another with a number left out, and void around them.
    reader = make_reader(
        tmp_path,
        [[1, 1, 2, 2, 255], [0, 1, 2, 255, 5]],
        [[15, 15, 15, 15, 255], [0, 15, 15, 255, 20]],
    )
    truth = pickle.loads(pickle.dumps(reader))(SAMPLE)
    assert truth is not None
    assert truth.keys.tolist() == [14, 14, 19]
    assert truth.masks.astype(int).tolist() == [
        [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]],
        [[0, 0, 1, 1, 0], [0, 0, 1, 0, 0]],
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]],
    ]
    assert truth.void.astype(int).tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert not truth.crowd.any()


def test_pixels_that_the_two_files_disagree_on_are_void(tmp_path: Path) -> None:
    reader = make_reader(tmp_path, [[1, 1, 1, 1, 0, 255]], [[3, 3, 0, 255, 255, 3]])
    truth = reader(SAMPLE)
    assert truth is not None
    assert truth.keys.tolist() == [2]
    assert truth.masks.astype(int).tolist() == [[[1, 1, 0, 0, 0, 0]]]
    assert truth.void.astype(int).tolist() == [[0, 0, 1, 1, 1, 1]]


def test_the_commonest_class_of_an_object_is_its_class(tmp_path: Path) -> None:
    truth = make_reader(tmp_path, [[1, 1, 1, 1, 1, 1]], [[0, 0, 0, 2, 7, 7]])(SAMPLE)
    assert truth is not None
    assert truth.keys.tolist() == [6]


def test_an_image_without_objects_has_none(tmp_path: Path) -> None:
    truth = make_reader(tmp_path, [[0, 255]], [[0, 255]])(SAMPLE)
    assert truth is not None
    assert truth.masks.shape == (0, 1, 2)
    assert truth.void.tolist() == [[False, True]]


@pytest.mark.parametrize(("objects", "labels"), [([[1]], None), (None, [[1]]), (None, None)])
def test_without_both_files_there_is_no_truth(tmp_path: Path, objects: object, labels: object) -> None:
    assert make_reader(tmp_path, objects, labels)(SAMPLE) is None


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.png has \(1, 2\) pixels, but the mask of 'a' has \(2, 1\)"):
        make_reader(tmp_path, [[0, 1]], [[0], [1]])(SAMPLE)
    with pytest.raises(DataError, match=r"object 2 of .*a.png must have one of the labels 1..20 .* but has none"):
        make_reader(tmp_path, [[1, 2]], [[1, 0]])(SAMPLE)
    with pytest.raises(DataError, match=r"object 1 of .* labels 1..3 .* but has 4"):
        make_reader(tmp_path, [[1]], [[4]], num_classes=3)(SAMPLE)


def test_voc_reads_objects_where_there_are_any(tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"a": ["cat"], "b": ["cat"]}, train=["a", "b"])
    assert open_voc(root, split="train").load_instances(SAMPLE) is None
    write_mask(root / "SegmentationObject" / "a.png", [[0, 1]])
    write_mask(root / "SegmentationClass" / "a.png", [[0, 8]])
    write_mask(root / "SegmentationClassAug" / "a.png", [[9, 9]])  # must not tell the classes of the objects
    train = pickle.loads(pickle.dumps(open_voc(root, split="train")))
    first, second = (train.load_instances(sample) for sample in train)
    assert second is None
    assert first is not None
    assert first.keys.tolist() == [7]
    assert first.masks.tolist() == [[[False, True]]]


def test_critters_have_their_animals_as_true_instances(tmp_path: Path) -> None:
    settings = CritterSettings(size_px=48, p_animals=(0, 0, 1), p_empty=0.3, repeat_classes=True)
    write_critters(tmp_path, settings, images=6, val_images=0, seed=2)
    counts = set()
    for index, sample in enumerate(train := open_voc(tmp_path, split="train")):
        scene, truth = generate_scene(settings, seed=2, index=index), train.load_instances(sample)
        assert truth is not None
        assert truth.keys.tolist() == list(scene.instance_classes)
        for number, mask in enumerate(truth.masks, start=1):
            np.testing.assert_array_equal(mask, scene.instances == number)
        np.testing.assert_array_equal(truth.void, scene.instances == 255)
        counts.add(len(truth))
    assert {0, 3} <= counts
