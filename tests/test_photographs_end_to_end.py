"""A folder of photographs through the whole chain, one of them damaged and one lying on its side."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photos import TINY, make_photos
from weakseg.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]


def test_a_folder_of_photographs_runs_around_its_damaged_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    bad = make_photos(photos)
    assert main(["run", "folder", "--data.root", str(photos), "--out", str(run), *TINY]) == 0
    captured = capsys.readouterr()
    assert bad in captured.err
    assert "left out" in captured.err
    assert "no truth masks" in captured.out
    masks = {path.relative_to(run / "masks").with_suffix("").as_posix() for path in (run / "masks").rglob("*.png")}
    assert len(masks) == 13
    assert bad not in masks
    # Photo 05 is stored lying on its side; its mask stands upright, as viewers show the photo.
    with Image.open(photos / "holiday" / "photo 05.jpg") as stored:
        width, height = stored.size
    assert np.asarray(Image.open(run / "masks" / "holiday" / "photo 05.png")).shape == (width, height)
