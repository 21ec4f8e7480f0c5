"""A run whose segmenter is a tiny random SegFormer of `transformers`, from tagged images to masks."""

import shutil
from pathlib import Path

import pytest

import weakseg.pipeline.networks
from tests.photos import FEWER_CRITTERS, TINY
from tests.tiny_networks import SEGFORMER, write_config
from weakseg.cli import main
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import load_info, save_state
from weakseg.scoring.metrics_file import load_metrics
from weakseg.train.loop import TrainState


class Killed(BaseException):
    """Stands in for the end of a process."""


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_segformer_goes_through_every_stage_and_a_killed_training_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = write_config(tmp_path / "network" / "config.json", SEGFORMER)
    monkeypatch.chdir(tmp_path)
    settings = (
        *FEWER_CRITTERS,
        *TINY,
        "--segmenter.name=hf:network/config.json",
        "--segmenter.weights=none",
        "--segmenter.optim.optimizer=adamw",
        "--segmenter.optim.learning_rate=1e-3",
        "--segmenter.epochs=3",
    )
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    words = ("run", "demo", *settings)
    assert main([*words, "--out", one]) == 0

    shutil.copytree(one, two)
    saved: list[Path] = []

    def save_and_die(path: Path, state: TrainState) -> None:
        save_state(path, state)
        saved.append(path)
        if len(saved) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(weakseg.pipeline.networks, "save_state", save_and_die)
        with pytest.raises(Killed):
            main([*words, "--out", two, "--redo", "segment"])
    network.rename(tmp_path / "network" / "moved.json")
    assert main([*words, "--out", two]) == 1, "the configuration is needed to go on"
    assert f"segmenter.name: there is no file or folder {network}" in capsys.readouterr().err
    (tmp_path / "network" / "moved.json").rename(network)
    assert main([*words, "--out", two]) == 0
    for name in ("segmenter/model.safetensors", "segmenter/history.json"):
        assert (Path(two) / name).read_bytes() == (Path(one) / name).read_bytes(), name

    shutil.rmtree(network.parent)  # from here on the run folder is all there is
    info = load_info(Path(two) / "segmenter" / "model.safetensors")
    assert (info["name"], info["weights_from"]) == (f"hf:{network}", "random")
    (score,) = [score for score in load_metrics(Path(two) / "metrics.json").scores if score.subject == "segmenter"]
    assert (score.split, score.images, score.given_tags) == ("val", 2, False)
    assert f"hf:{network}, started from random weights, 3 epochs" in (Path(two) / "report.html").read_text()
    capsys.readouterr()
    image = min((Path(two) / "data" / "JPEGImages").iterdir())
    assert main(["predict", two, str(image), "--out", str(tmp_path / "found")]) == 0
    assert str(image) in capsys.readouterr().out
    assert read_mask(tmp_path / "found" / f"{image.stem}.png").shape == read_image(image).shape[:2]
