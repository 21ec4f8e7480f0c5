import os
from pathlib import Path
from shutil import copy

import pytest

from tests.predict.made_model import CLASSES, RECIPE, make_model, write_photo
from tests.predict.made_results import predict, run
from tests.tiny import make_classifier
from weakseg.config.schema import ClassifierConfig, RunConfig
from weakseg.errors import ArtifactError
from weakseg.models.predictor import Views
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.predict.opened import find_segmenter, find_settings, open_model, views_of

pytestmark = pytest.mark.slow

assert run, "a fixture"


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(ArtifactError, match=f"{tmp_path} has no trained segmenter; finish the run with 'weakseg run"):
        predict(tmp_path, [photo], tmp_path / "out")


@pytest.mark.parametrize("place", [".", "segmenter"])
def test_weights_are_used_as_their_run_uses_them_from_any_working_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(tmp_path / "run")
    monkeypatch.chdir(folder.root / place)
    weights = Path(os.path.relpath(folder.network("segmenter").model))
    assert views_of(find_settings(weights)) == views_of(RECIPE)
    copy(weights, folder.root / "copy.safetensors")
    monkeypatch.chdir(folder.root)
    assert views_of(find_settings(Path("copy.safetensors"))) == Views(), "elsewhere than in its run"


def test_a_folder_that_is_no_model_is_named_with_the_bundle_in_it(tmp_path: Path) -> None:
    """Unpacking a zip often makes a folder around the bundle's."""
    photo = write_photo(tmp_path / "a.jpg")
    with pytest.raises(ArtifactError, match=rf"{tmp_path} is no model: .* got a folder without recipe\.yaml$"):
        predict(tmp_path, [photo], tmp_path / "out")
    (tmp_path / "animals").mkdir()
    (tmp_path / "animals" / "bundle.json").touch()
    with pytest.raises(ArtifactError, match=f"; did you mean {tmp_path / 'animals'}"):
        predict(tmp_path, [photo], tmp_path / "out")


def test_what_is_no_model_is_named_and_left_alone(tmp_path: Path) -> None:
    """An image in the place of the model is most likely one of the images: nobody is told to delete it."""
    photo = write_photo(tmp_path / "a.jpg")
    missing = Path("gone/model.safetensors")
    for model, found in ((photo, "another file"), (missing, "nothing of that name"), (Path("b.zip"), "nothing of")):
        with pytest.raises(
            ArtifactError, match=rf"{model} is no model: expected a run folder, a bundle .* got {found}"
        ):
            predict(model, [photo], tmp_path / "out")


def test_a_classifier_is_no_segmenter(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run").network("classifier")
    info = describe_network(ClassifierConfig(name="critter"), CLASSES, kind="classifier", weights_from="random")
    save_network(folder, make_classifier(), info, ())
    with pytest.raises(ArtifactError, match="expected a segmenter that weakseg trained, got classifier"):
        predict(folder.model, [write_photo(tmp_path / "a.jpg")], tmp_path / "out")


def test_a_weights_file_brings_the_settings_of_its_run(run: Path, tmp_path: Path) -> None:
    weights = run / "segmenter" / "model.safetensors"
    assert find_segmenter(run) == find_segmenter(weights) == weights
    assert find_settings(run) == find_settings(weights) == RECIPE
    assert (open_model(run, device="cpu").kind, open_model(weights, device="cpu").kind) == ("run", "weights")
    moved = tmp_path / "elsewhere" / "model.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(weights.read_bytes())
    assert find_settings(moved) == RunConfig()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("name", ["model.onnx", "model.zip", "model.safetensors", "run"])
def test_a_pipe_in_the_place_of_a_model_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArtifactError, match=r"is no model: .* got not a regular file, but a pipe"):
        predict(tmp_path / name, [write_photo(tmp_path / "a.jpg")], tmp_path / "out")
