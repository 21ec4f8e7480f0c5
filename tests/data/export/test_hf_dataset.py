import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tests.data.export.made_split import CASES, make_split, read_files
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.hf_dataset import write_hf_dataset
from weakseg.data.export.split import LabelledSplit


def export(root: Path, split: LabelledSplit, *, link_images: bool = False) -> list[str]:
    folder = ExportFolder(root, format="hf-dataset", link_images=link_images)
    notes = write_hf_dataset(split, folder)
    folder.finish()
    return notes


def read_rows(place: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (place / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_row_leads_to_an_image_and_its_label_map_void_included(tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos")
    assert export(tmp_path / "out", split) == []
    rows = read_rows(tmp_path / "out/train")
    assert [row["id"] for row in rows] == list(CASES)
    for row, sample in zip(rows, split.samples, strict=True):
        assert set(row) == {"file_name", "mask_file_name", "id", "tags"}
        image = tmp_path / "out/train" / row["file_name"]
        assert image.read_bytes() == sample.image_path.read_bytes()
        with Image.open(tmp_path / "out/train" / row["mask_file_name"]) as mask:
            np.testing.assert_array_equal(np.asarray(mask), CASES[row["id"]])
        assert unquote(image.stem) == row["id"]
        assert tuple(row["tags"].split(";")) == (split.classes.decode(sample.tags) or ("",))


def test_nothing_lies_where_a_folder_would_be_taken_for_a_class_or_a_split(tmp_path: Path) -> None:
    masks = {"test/dog/1": np.zeros((3, 4), np.uint8), "validation/2": np.ones((3, 4), np.uint8)}
    export(tmp_path / "out", make_split(tmp_path / "photos", masks))
    assert list(read_files(tmp_path / "out")) == [
        "id2label.json",
        "train/images/test%2Fdog%2F1.png",
        "train/images/validation%2F2.png",
        "train/masks/test%2Fdog%2F1.png",
        "train/masks/validation%2F2.png",
        "train/metadata.jsonl",
    ]


def test_the_validation_split_has_the_name_that_the_library_knows(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos", role="val"))
    assert len(read_rows(tmp_path / "out/validation")) == len(CASES)


@pytest.mark.parametrize("count", [1, 3, 80])
def test_labels_have_names(count: int, tmp_path: Path) -> None:
    names = ("hund: groß", *(f"class {n}" for n in range(1, count)))
    export(tmp_path / "out", make_split(tmp_path / "photos", {"a": np.ones((2, 3), np.uint8)}, names=names))
    id2label = json.loads((tmp_path / "out/id2label.json").read_text(encoding="utf-8"))
    assert id2label == {str(label): name for label, name in enumerate(("background", *names))}


def test_images_can_be_linked_and_masks_are_files_of_their_own(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"), link_images=True)
    for row in read_rows(tmp_path / "out/train"):
        assert (tmp_path / "out/train" / row["file_name"]).is_symlink()
        assert not (tmp_path / "out/train" / row["mask_file_name"]).is_symlink()
