from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.layouts import write_image
from tests.tiny import draw, make_classifier, make_segmenter, with_settings
from weakseg.config.load import build_config, read_recipe, to_yaml
from weakseg.config.schema import ClassifierConfig, RunConfig, SegmenterConfig
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_text
from weakseg.models.deeplab import Segmenter
from weakseg.models.inference import predict_labels
from weakseg.ops.color import overlay
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.tasks.predict import find_segmenter, find_settings, list_targets, predict_files
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
RECIPE = with_settings(RunConfig(), ("evaluate.scales", (1.0, 0.5)), ("evaluate.flip", True), ("data.max_side_px", 30))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a segmenter, which knows nothing, and a recipe."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    config = SegmenterConfig(name="critter", aspp_rates=(1, 2))
    info = describe_network(config, CLASSES, kind="segmenter", weights_from="random")
    save_network(folder.network("segmenter"), make_segmenter(), info, ())
    write_text(folder.recipe, to_yaml(RECIPE))
    return folder.root


@pytest.fixture
def segmenter() -> Segmenter:
    return make_segmenter()


def write_photo(path: Path, seed: int = 0, size_hw: tuple[int, int] = (22, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw((0, 1), seed, size_hw)[0]).save(path)
    return path


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_file_becomes_a_mask_and_an_overlay(run: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    photo, out = write_photo(tmp_path / "photo.png"), tmp_path / "out"
    (found,) = predict_files(run, [photo], out, device="cpu")
    assert files(out) == ["photo.png", "photo_overlay.jpg"]
    image = read_image(photo)
    expected = predict_labels(segmenter, image, scales=(1.0, 0.5), flip=True, max_side_px=30)
    assert (found.image, found.mask) == (photo, out / "photo.png")
    assert read_mask(found.mask).tolist() == expected.tolist()
    painted = read_image(out / "photo_overlay.jpg").astype(int)
    assert painted.shape == image.shape
    # JPEG blurs, but the overlay is nearer than the photograph.
    assert np.abs(painted - overlay(image, expected)).mean() < 0.5 * np.abs(painted - image).mean()


def test_shares_are_those_of_the_classes_found_largest_first(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array([[0, 1, 3, 3], [0, 3, 0, 0]], np.uint8)
    monkeypatch.setattr("weakseg.tasks.predict.predict_labels", lambda *_, **__: labels)
    photo = write_image(tmp_path / "photo.png", (2, 4))
    (found,) = predict_files(run, [photo], tmp_path / "out", device="cpu")
    assert found.shares == (("fox", 3 / 8), ("cat", 1 / 8))


def test_folders_keep_their_sub_folders(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("a.jpg", "sub/deep/b.PNG", "sub/c.d.png"):
        write_photo(photos / name)
    (photos / "notes.txt").touch()
    found = predict_files(run, [photos], tmp_path / "out", device="cpu")
    assert [path.image.name for path in found] == ["a.jpg", "c.d.png", "b.PNG"]
    assert files(tmp_path / "out") == [
        "a.png",
        "a_overlay.jpg",
        "sub/c.d.png",
        "sub/c.d_overlay.jpg",
        "sub/deep/b.png",
        "sub/deep/b_overlay.jpg",
    ]


def test_predicting_twice_gives_the_same_bytes_and_does_not_predict_its_results(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_photo(photos / "a.jpg")
    out = photos / "predictions"
    predict_files(run, [photos], out, device="cpu")
    first = {name: (out / name).read_bytes() for name in files(out)}
    assert len(predict_files(run, [photos], out, device="cpu")) == 1
    assert {name: (out / name).read_bytes() for name in files(out)} == first


def test_photographs_below_the_folder_to_write_to_are_inputs(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    assert list(list_targets([tmp_path / "photos"], out=tmp_path)) == ["a"]
    assert list(list_targets([tmp_path], out=tmp_path)) == ["photos/a"]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = write_photo(tmp_path / "x" / "a.jpg"), write_photo(tmp_path / "y" / "a.png")
    with pytest.raises(DataError, match=rf"{one} and {other} would both be written as 'a\.png'; rename one of them"):
        list_targets([one, other], out=tmp_path / "out")
    with pytest.raises(DataError, match=r"would both be written as 'a\.png'"):
        list_targets([tmp_path / "x", tmp_path / "y"], out=tmp_path / "out")


@pytest.mark.parametrize(("name", "result"), [("a.png", "a.png"), ("sub/a.png", "sub/a.png")])
def test_an_image_is_never_replaced_by_its_mask(name: str, result: str, run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / name)
    before = photo.read_bytes()
    with pytest.raises(DataError, match=rf"{tmp_path / result} is one of the images and would be replaced by a result"):
        predict_files(run, [tmp_path], tmp_path, device="cpu")
    assert photo.read_bytes() == before
    assert files(tmp_path) == [name]


def test_an_image_is_never_replaced_by_the_overlay_of_another(run: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "a_overlay.jpg")
    with pytest.raises(DataError, match=r"a_overlay\.jpg is one of the images and would be replaced"):
        predict_files(run, [tmp_path], tmp_path, device="cpu")


def test_an_unreadable_image_is_named_and_left_out(run: Path, tmp_path: Path, told: list[str]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    write_photo(photos / "good.jpg")
    (photos / "bad.jpg").write_text("no image")
    found = predict_files(run, [photos], out, device="cpu")
    assert [prediction.image.name for prediction in found] == ["good.jpg"]
    assert files(out) == ["good.png", "good_overlay.jpg"]
    assert told == [
        f"cannot read image {photos / 'bad.jpg'}: not an image, or of a format that Pillow cannot read; left out"
    ]


def test_nothing_readable_is_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(DataError, match="none of the 1 images can be read; each is named above"):
        predict_files(run, [tmp_path / "bad.jpg"], tmp_path / "out", device="cpu")


def test_a_file_given_by_name_may_have_any_suffix(run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.gif")
    assert len(predict_files(run, [photo], tmp_path / "out", device="cpu")) == 1
    with pytest.raises(DataError, match=rf"no images \(\.jpg, .*\) in {tmp_path}"):
        list_targets([tmp_path], out=tmp_path / "out")


def test_an_input_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no file or folder {tmp_path / 'gone'}"):
        list_targets([tmp_path / "gone"], out=tmp_path)


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    with pytest.raises(ArtifactError, match=f"{tmp_path} has no trained segmenter; finish the run with 'weakseg run"):
        predict_files(tmp_path, [photo], tmp_path / "out", device="cpu")
    with pytest.raises(ArtifactError, match="expected a safetensors file at gone/model"):
        predict_files(Path("gone/model.safetensors"), [photo], tmp_path / "out", device="cpu")


def test_a_classifier_is_no_segmenter(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run").network("classifier")
    info = describe_network(ClassifierConfig(name="critter"), CLASSES, kind="classifier", weights_from="random")
    save_network(folder, make_classifier(), info, ())
    with pytest.raises(ArtifactError, match="expected a segmenter that weakseg trained, got classifier"):
        predict_files(folder.model, [write_photo(tmp_path / "a.jpg")], tmp_path / "out", device="cpu")


def test_a_weights_file_brings_the_settings_of_its_run(run: Path, tmp_path: Path) -> None:
    weights = run / "segmenter" / "model.safetensors"
    assert find_segmenter(run) == find_segmenter(weights) == weights
    assert find_settings(run) == find_settings(weights) == RECIPE
    moved = tmp_path / "elsewhere" / "model.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(weights.read_bytes())
    assert find_settings(moved) == RunConfig()
    assert build_config(read_recipe(str(run / "recipe.yaml"))) == RECIPE


def test_prediction_does_not_depend_on_what_else_is_predicted(run: Path, tmp_path: Path) -> None:
    photos: Mapping[str, Path] = {name: write_photo(tmp_path / f"{name}.jpg", seed) for seed, name in enumerate("abc")}
    together = predict_files(run, list(photos.values()), tmp_path / "all", device="cpu")
    torch.manual_seed(5)
    (alone,) = predict_files(run, [photos["b"]], tmp_path / "one", device="cpu")
    assert alone.mask.read_bytes() == together[1].mask.read_bytes()
    assert alone.shares == together[1].shares
