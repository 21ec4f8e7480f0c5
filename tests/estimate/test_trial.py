from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.estimate.made_trial import make_trial, tiny_config
from tests.tiny import SIZE_HW, make_dataset
from weakseg.errors import DataError
from weakseg.estimate.trial import StandInMasks, count_tagged, read_size_hw, write_seeds
from weakseg.pipeline.artifacts import load_seed
from weakseg.types import IGNORE_LABEL, Sample

EXIF_ORIENTATION = 0x0112


def test_images_with_tags_are_tried_and_those_without_are_not_counted(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    assert sorted(trial.pool) == [f"train_{n}" for n in range(5)]  # the sixth has no tag
    assert count_tagged(trial.context) == 5 + 2  # seeds of train and val
    assert trial.sizes_hw["train_0"] == SIZE_HW
    assert trial.mean_pixels() == trial.largest_pixels() == 24 * 33


def test_without_any_tag_other_images_are_tried(tmp_path: Path) -> None:
    trial = make_trial(tmp_path, train=make_dataset(tmp_path / "images", ((), ())), val=False)
    assert sorted(trial.pool) == ["train_0", "train_1"]
    assert count_tagged(trial.context) == 0


def test_without_an_image_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable image with known tags"):
        make_trial(tmp_path, train=make_dataset(tmp_path / "images", ()))


def test_pixels_are_those_that_networks_see(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,), (1,)), sizes_hw=((200, 400), (50, 100)))
    trial = make_trial(tmp_path, tiny_config("--data.max_side_px=200"), train=dataset)
    assert trial.pixels("train_0") == 100 * 200
    assert trial.pixels("train_1") == 50 * 100
    assert trial.pixels("train_0", 40) == 20 * 40
    assert trial.mean_pixels() == (20000 + 5000) / 2
    assert trial.largest_pixels() == 20000


@pytest.mark.parametrize(("side_px", "expected"), [(64, (None,)), (200, (100, 150, None)), (400, (96, 192, 288, None))])
def test_large_images_are_tried_small_first(tmp_path: Path, side_px: int, expected: tuple[int | None, ...]) -> None:
    # The recipe sees images at 384 pixels at most.
    dataset = make_dataset(tmp_path / "images", ((0,),), sizes_hw=((side_px, side_px),))
    assert make_trial(tmp_path, train=dataset, val=False).sides_px() == expected


def test_contexts_are_limited_further_but_never_less(tmp_path: Path) -> None:
    trial = make_trial(tmp_path, tiny_config("--data.max_side_px=60"))
    assert trial.training(trial.pool[:1], 40).config.data.max_side_px == 40
    assert trial.training(trial.pool[:1], 80).config.data.max_side_px == 60
    seeding = trial.seeding(trial.pool[:2], None)
    assert seeding.config.data.max_side_px == 60
    assert len(seeding.train) == 6, "partners come from all of them"
    assert seeding.val is not None
    assert sorted(sample.id for sample in seeding.val) == sorted(trial.pool[:2])


def test_a_trial_needs_no_weights(tmp_path: Path) -> None:
    config = make_trial(tmp_path, tiny_config("--refine.irn.weights=imagenet")).context.config
    assert (config.classifier.weights, config.refine.irn.weights, config.segmenter.weights) == ("none",) * 3


def test_stand_ins_have_the_size_of_the_upright_image(tmp_path: Path) -> None:
    path = tmp_path / "lying.jpg"
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert read_size_hw(path) == (30, 20)
    mask = StandInMasks()(Sample("lying", path, np.array([0, 1], np.uint8), np.ones(2, np.bool_)))
    assert mask.shape == (30, 20)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 2, IGNORE_LABEL}
    Image.new("L", (5, 7)).save(tmp_path / "grey.bmp")
    assert read_size_hw(tmp_path / "grey.bmp") == (7, 5)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.jpg: cannot be read"):
        read_size_hw(tmp_path / "x.jpg")


def test_seeds_stand_in_with_the_tags_and_scales_of_the_recipe(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    write_seeds(trial, trial.pool)
    maps = load_seed(trial.context.folder.seed("train_3"))
    assert (maps.keys, maps.size_hw, len(maps.scales)) == ((0, 1), SIZE_HW, 2)
