"""Tagged photographs, without training."""

from pathlib import Path

import numpy as np
import pytest

from tests.photos import make_photos
from weakseg.api import Photos, Run
from weakseg.config.load import to_yaml
from weakseg.errors import ConfigError, DataError, UnknownImage
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.corrections.taught import Taught, TaughtImage
from weakseg.types import ClassSet


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    root = tmp_path_factory.mktemp("photos")
    make_photos(root, count=8)
    return Photos.open(root)


def test_a_folder_says_what_its_images_show(photos: Photos) -> None:
    assert photos.classes == ("cat", "sofa")
    assert len(photos) == len(photos.ids) == 8
    assert photos.ids[:2] == ("holiday/photo 01", "holiday/photo 03")
    assert photos.tags["home/garden/photo 00"] == ("cat",)
    assert photos.tags["home/garden/photo 02"] == ("cat", "sofa")
    assert photos.tags["holiday/photo 03"] == ()
    assert photos.problems == ()


def test_an_image_is_read_upright_and_has_no_truth(photos: Photos) -> None:
    image = photos.image("holiday/photo 05")  # EXIF: 80 x 60 px, turned
    assert (image.shape, image.dtype) == ((60, 80, 3), np.uint8)
    assert photos.truth("holiday/photo 05") is None


def test_an_id_that_is_not_there_is_named_with_the_nearest(photos: Photos) -> None:
    with pytest.raises(UnknownImage, match=r"there is no image 'photo 05' with tags; did you mean 'holiday/photo 05'"):
        photos.image("photo 05")


def test_settings_reach_the_reader(photos: Photos, tmp_path: Path) -> None:
    make_photos(tmp_path, count=8)
    (tmp_path / "tags.csv").rename(tmp_path / "labels.csv")
    opened = Photos.open(tmp_path, settings={"data.tags": "labels.csv"})
    assert opened.tags == photos.tags


def test_a_run_knows_the_tags_that_it_was_taught(photos: Photos, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.recipe.write_text(to_yaml(photos.config))
    id = "home/garden/photo 00"
    assert Run.open(tmp_path).photos.tags[id] == ("cat",)
    image = TaughtImage(id, added_tags=("sofa",), removed_tags=("cat",))
    taught = Taught(folder.taught, "elsewhere", ClassSet(photos.classes), {id: image})
    write_json(folder.taught_index, taught.to_json())
    assert Run.open(tmp_path).photos.tags == {**photos.tags, id: ("sofa",)}


def test_a_folder_that_is_not_there_and_a_setting_that_is_not_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Photos.open(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"data\.tag: .*did you mean 'data\.tags'"):
        Photos.open(tmp_path, settings={"data.tag": "x.csv"})
