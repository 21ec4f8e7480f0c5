from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import make_context
from tests.tiny import SIZE_HW, make_dataset
from weakseg.config.schema import RefineConfig
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError, DataError
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.refiner_files import lacks_folder, name_refiner_files, require_refiner_files, without_files
from weakseg.pipeline.refiners import refine_seeds
from weakseg.pipeline.requirements import require_for_refine
from weakseg.types import ScoreMaps

KEY = "contents of refine.merge.folder"
MERGE = (("refine.method", "merge"), ("refine.merge.on", "none"), ("localize.splits", ("train",)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, None]:
    return make_dataset(tmp_path_factory.mktemp("images"), ((0,), (1,), ())), None


def write_masks(folder: Path, *names: str, value: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        np.savez(folder / f"{name}.npz", masks=np.full((1, *SIZE_HW), value, np.uint8))
    return folder


def context_with(root: Path, splits: tuple[Dataset, None], folder: Path | None) -> Context:
    return make_context(root, splits, *MERGE, ("refine.merge.folder", None if folder is None else str(folder)))


def test_other_contents_are_another_fingerprint(tmp_path: Path, splits: tuple[Dataset, None]) -> None:
    folder = write_masks(tmp_path / "masks", "train_0", "train_2")
    context = context_with(tmp_path / "run", splits, folder)
    before = name_refiner_files(context)
    assert list(before) == [KEY]
    write_masks(folder, "train_2", "elsewhere", value=0)  # without a tag, and of no image
    assert name_refiner_files(context) == before
    write_masks(folder, "train_1")
    more = name_refiner_files(context)
    write_masks(folder, "train_0", value=0)
    assert len({str(parts[KEY]) for parts in (before, more, name_refiner_files(context))}) == 3
    others = replace(context.config, refine=replace(context.config.refine, method="none"))
    assert name_refiner_files(replace(context, config=others)) == {}


def test_a_folder_that_is_none_or_fits_no_image_is_an_error_before_the_stage(
    tmp_path: Path, splits: tuple[Dataset, None]
) -> None:
    context = context_with(tmp_path / "run", splits, None)
    assert name_refiner_files(context) == {}
    with pytest.raises(ConfigError, match=r"^refine.merge.folder: refine.method 'merge' needs the folder of the"):
        require_for_refine(context, afresh=True)
    context = context_with(tmp_path / "run", splits, tmp_path / "gone")
    with pytest.raises(DataError, match=r"^refine.merge.folder: there is no folder .*gone; name the one that"):
        require_for_refine(context, afresh=True)
    context = context_with(tmp_path / "run", splits, write_masks(tmp_path / "masks", "train_2", "other"))
    with pytest.raises(DataError, match=r"masks has class-agnostic masks for none of 2 images, such as 'train_0'"):
        require_for_refine(context, afresh=True)


def test_images_without_files_are_counted_in_one_line(
    tmp_path: Path, splits: tuple[Dataset, None], told: list[str]
) -> None:
    context = context_with(tmp_path / "run", splits, write_masks(tmp_path / "masks", "train_0"))
    for sample in splits[0]:
        maps = torch.zeros(len(sample.keys), 8, 8)
        maps[:, :2, :2] = 1
        save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), SIZE_HW))
    refine_seeds(context, seeded_datasets(context))
    counted = [line for line in told if "class-agnostic" in line]
    assert counted == ["1 of 2 tagged images have no class-agnostic masks and do without: train_1"]
    masks = {sample.id: read_mask(context.folder.mask(sample.id)) for sample in splits[0]}
    assert (masks["train_0"] == 1).all()  # the mask is the whole image, and so holds all of the class
    assert set(np.unique(masks["train_1"])) == {0, 2}
    assert not masks["train_2"].any()


def test_a_section_without_the_folder_does_without() -> None:
    section = RefineConfig(method="merge", merge=replace(RefineConfig().merge, folder="masks"))
    assert without_files(section) == RefineConfig(method="merge")
    assert without_files(RefineConfig()) == RefineConfig()
    assert not lacks_folder(section, "merge")
    assert [name for name in ("none", "par", "merge") if lacks_folder(RefineConfig(), name)] == ["merge"]


def test_other_refiners_read_none(tmp_path: Path, splits: tuple[Dataset, None]) -> None:
    context = make_context(tmp_path, splits)
    assert require_refiner_files(context, seeded_datasets(context)) == {}
