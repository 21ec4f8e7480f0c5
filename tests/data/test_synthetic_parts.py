from __future__ import annotations

from pathlib import Path

import numpy as np

from weakseg.data.synthetic import CritterSettings, generate_scene, write_critters
from weakseg.data.synthetic.parts import PARTS, open_parts
from weakseg.data.voc import open_voc

SETTINGS = CritterSettings(size_px=48, p_empty=0.0)


def test_the_parts_of_critters_are_those_they_were_drawn_with(tmp_path: Path) -> None:
    write_critters(tmp_path, SETTINGS, images=2, val_images=1, seed=4)
    reader = open_parts(tmp_path)
    assert reader is not None
    sample = open_voc(tmp_path, split="train").samples[1]
    parts = reader(sample)
    scene = generate_scene(SETTINGS, seed=4, index=1)
    assert parts is not None
    np.testing.assert_array_equal(parts, scene.parts)
    assert set(np.unique(parts)) - {0, 255} == set(PARTS.values())


def test_labels_of_parts_count_from_1_in_the_order_of_their_names() -> None:
    assert list(PARTS.items()) == [("head", 1), ("body", 2)]


def test_another_folder_has_no_parts(tmp_path: Path) -> None:
    assert open_parts(tmp_path / "nowhere") is None
    (tmp_path / "SegmentationParts").mkdir()
    assert open_parts(tmp_path) is None
