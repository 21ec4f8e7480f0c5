from pathlib import Path

import numpy as np
import pytest

from tests.photos import TINY, make_photos
from tests.tiny import SIZE_HW, make_dataset
from tests.tiny_sam import save_sam
from weakseg.cli import main
from weakseg.data.agnostic_masks import read_agnostic_masks
from weakseg.errors import DataError, UsageError
from weakseg.ops.superpixels import find_superpixels
from weakseg.predict.outlines import OutlineOptions, OutlinesMade, make_outlines

SUPERPIXELS = OutlineOptions(method="superpixels", scale=100)


def test_every_tagged_image_gets_superpixels_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,), (), (1, 2)))
    made = make_outlines([dataset, dataset], tmp_path / "out", SUPERPIXELS)
    assert (made.made, made.kept, made.failed) == (2, 0, 0)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["train_0.json", "train_2.json"]
    masks = read_agnostic_masks(tmp_path / "out" / "train_0.json", size_hw=SIZE_HW)
    labels = find_superpixels(dataset.load_image(dataset.samples[0]), scale=100)
    assert np.array_equal(masks, labels == np.arange(labels.max() + 1)[:, None, None])
    assert np.array_equal(masks.sum(axis=0), np.ones(SIZE_HW))
    (tmp_path / "out" / "train_2.json").unlink()
    again = make_outlines([dataset], tmp_path / "out", SUPERPIXELS)
    assert (again.made, again.kept) == (1, 1)
    assert make_outlines([dataset], tmp_path / "out", SUPERPIXELS) == OutlinesMade(0, 2, 0, 0)


def test_images_that_cannot_be_read_are_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,), (1,)))
    dataset.samples[0].image_path.write_bytes(b"no image")
    made = make_outlines([dataset], tmp_path / "out", SUPERPIXELS)
    assert (made.made, made.failed) == (1, 1)
    assert f"{dataset.samples[0].image_path}" in caplog.text
    assert "; left out" in caplog.text
    with pytest.raises(DataError, match="none of 1 tagged images can be read"):
        make_outlines([dataset.keep(["train_0"])], tmp_path / "out", SUPERPIXELS)
    with pytest.raises(DataError, match="no image has a tag"):
        make_outlines([make_dataset(tmp_path / "images", ((),))], tmp_path / "out", SUPERPIXELS)


def test_a_method_that_is_none_or_lacks_its_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--method: there is no 'superpixel'; did you mean 'superpixels'"):
        OutlineOptions(method="superpixel")
    with pytest.raises(UsageError, match=r"^--model: expected a repository .* '--method superpixels' stands in$"):
        OutlineOptions()


@pytest.mark.slow
def test_a_sams_masks_are_what_merge_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    damaged = make_photos(tmp_path / "photos")
    save_sam(tmp_path / "sam")
    words = ["outlines", "photos", "--out", "masks", "--model", "sam", "--points", "2"]
    words += ["--least-score", "0", "--least-stability", "0"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert " images in masks" in told.out
    assert f"photos/{damaged}" in told.err
    assert main(words) == 0
    assert "images had theirs before" in capsys.readouterr().out
    merge = ("--refine.method=merge", "--refine.merge.folder=masks", "--localize.method=cam")
    plain = ("--localize.similarity_temperature=null", "--refine.background_threshold=0.3")
    assert main(["refine", "photos", *TINY, *merge, *plain, "--out", "run"]) == 1, "there are no seeds yet"
    for verb in ("classify", "localize", "refine"):
        assert main([verb, "photos", *TINY, *merge, *plain, "--out", "run"]) == 0
    assert "cannot be used" not in capsys.readouterr().err
