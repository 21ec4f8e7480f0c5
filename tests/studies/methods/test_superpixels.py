from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.tiny import make_dataset
from weakseg.data.agnostic_masks import AgnosticMasks
from weakseg.studies.methods.superpixels import write_superpixels


def test_tagged_images_get_a_file_that_merge_reads_and_keep_what_they_have(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,), (), (1, 2)))
    write_superpixels(dataset, tmp_path / "masks")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["train_0.png", "train_2.png"]
    size_hw = dataset.load_image(dataset.samples[0]).shape[:2]
    masks = AgnosticMasks(tmp_path / "masks").read("train_0", size_hw=size_hw)
    assert masks is not None
    assert masks.shape[1:] == size_hw
    # Every pixel lies in just one region.
    assert np.all(masks.sum(axis=0) == 1)

    other = (tmp_path / "masks" / "train_2.png").read_bytes()
    (tmp_path / "masks" / "train_0.png").write_bytes(other)
    write_superpixels(dataset, tmp_path / "masks")
    assert (tmp_path / "masks" / "train_0.png").read_bytes() == other
