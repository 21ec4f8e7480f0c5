"""Runs whose classifier, IRNet and segmenter stand on a tiny random backbone of `transformers`."""

import shutil
from pathlib import Path

import pytest

import weakseg.pipeline.networks
from tests.photos import FEWER_CRITTERS, TINY, TINY_IRN, TINY_RIB
from tests.tiny_networks import DINOV2, write_config
from weakseg.cli import main
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import load_info, save_state
from weakseg.scoring.metrics_file import load_metrics
from weakseg.train.loop import TrainState


class Killed(BaseException):
    """Stands in for the end of a process."""


def save_and_die(path: Path, state: TrainState) -> None:
    save_state(path, state)
    raise Killed


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_backbone_goes_through_every_stage_and_a_killed_training_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = write_config(tmp_path / "network" / "config.json", DINOV2)
    monkeypatch.chdir(tmp_path)
    settings = (
        *FEWER_CRITTERS,
        *TINY,
        *TINY_RIB,
        *TINY_IRN,
        "--classifier.name=hf:network/config.json",
        "--classifier.optim.optimizer=adamw",
        "--classifier.optim.learning_rate=1e-3",
        "--refine.irn.name=hf:network/config.json",
        "--segmenter.name=hf:network/config.json",
    )
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    words = ("run", "demo", *settings)
    assert main([*words, "--out", one]) == 0
    shutil.copytree(one, two)
    with monkeypatch.context() as patch:
        patch.setattr(weakseg.pipeline.networks, "save_state", save_and_die)
        with pytest.raises(Killed):
            main([*words, "--out", two, "--redo", "classify"])
    assert main([*words, "--out", two]) == 0
    shutil.rmtree(network.parent)  # from here on the run folder is all there is
    for part in ("classifier", "refiner", "segmenter"):
        files = [Path(run) / part / "model.safetensors" for run in (one, two)]
        assert files[0].read_bytes() == files[1].read_bytes(), part
        assert load_info(files[1])["name"] == f"hf:{network}"
    seeds = sorted((Path(one) / "seeds").iterdir())
    assert [path.read_bytes() for path in seeds] == [(Path(two) / "seeds" / path.name).read_bytes() for path in seeds]
    assert {score.subject for score in load_metrics(Path(two) / "metrics.json").scores} >= {"seeds", "segmenter"}
    capsys.readouterr()
    image = min((Path(two) / "data" / "JPEGImages").iterdir())
    assert main(["predict", two, str(image), "--out", str(tmp_path / "found")]) == 0
    assert read_mask(tmp_path / "found" / f"{image.stem}.png").shape == read_image(image).shape[:2]
