"""The recipe `clip_es` on a folder of photographs with a tiny random CLIP: from tags to a segmenter, no classifier."""

import shutil
from pathlib import Path

import pytest

from tests.photos import TINY, make_photos
from tests.tiny_clip import save_clip
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.records import read_records
from weakseg.scoring.scores import load_metrics

SETTINGS = (
    *(word for word in TINY if "localize" not in word),
    "--segmenter.weights=none",
    '--localize.clip_es.words=["sofa=couch, settee"]',
    "--localize.clip_es.backgrounds=[grass, sky]",
)


@pytest.mark.slow
def test_tags_become_a_segmenter_without_a_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos")
    save_clip(tmp_path / "clip")
    words = ("clip_es", "--data.root=photos", "--localize.clip_es.model=clip", *SETTINGS, "--out", "run")
    assert main(["run", *words]) == 0
    told = capsys.readouterr()
    assert "classify: not needed, since localize.method 'clip_es' works without a classifier" in told.err
    assert "mAP" not in told.out
    folder = RunFolder(tmp_path / "run")
    assert not folder.network("classifier").root.exists()
    assert "classify" not in read_records(folder)
    assert f"model: {tmp_path / 'clip'}" in folder.recipe.read_text()
    seed = load_seed(folder.seed("home/garden/photo 02"))
    assert seed.keys == (0, 1)
    assert read_mask(folder.mask("home/garden/photo 02")).shape == seed.size_hw
    assert load_metrics(folder.metrics).classifier is None
    assert "none: the localiser clip_es works without" in folder.report.read_text()

    before = {path: path.read_bytes() for path in folder.seeds.rglob("*.npz")}
    texts = (folder.localizer / "texts.safetensors").read_bytes()
    assert b"a clean origami couch, settee." in texts
    (folder.seed("home/garden/photo 02")).unlink()
    assert main(["run", "run"]) == 0
    assert {path: path.read_bytes() for path in folder.seeds.rglob("*.npz")} == before
    assert (folder.localizer / "texts.safetensors").read_bytes() == texts

    capsys.readouterr()
    assert main(["export", "run", "--to", "bundle", "--out", "bundle"]) == 0
    assert main(["study", "threshold", "run"]) == 1
    assert "works without a classifier, which this study looks at" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "clip")
    assert main(["run", "run"]) == 0, "what is finished needs no CLIP"
    capsys.readouterr()
    assert main(["run", "run", "--redo", "localize"]) == 1
    assert f"localize.clip_es.model: there is no file or folder {tmp_path / 'clip'}" in capsys.readouterr().err
    assert any(folder.seeds.rglob("*.npz")), "nothing is removed before"
