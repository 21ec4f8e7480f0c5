import json
import os
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.photos import EXIF_ORIENTATION, ROTATED
from tests.predict.made_model import CLASSES, RECIPE, list_files, make_model, write_photo
from tests.tiny import make_classifier, make_segmenter, with_settings
from weakseg.config.schema import ClassifierConfig, RunConfig
from weakseg.data.depth import PixelRange
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError, DataError, UsageError
from weakseg.files import write_text
from weakseg.models.inference import predict_labels, predict_probabilities
from weakseg.models.predictor import Views
from weakseg.models.tiling import Tiling
from weakseg.ops.color import overlay
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.predict import command
from weakseg.predict import files as commanding
from weakseg.predict import work as predicting
from weakseg.predict.command import Predicted
from weakseg.predict.files import predict_files
from weakseg.predict.opened import OpenedModel, find_segmenter, find_settings, open_model, views_of
from weakseg.predict.options import PredictOptions
from weakseg.predict.reading import settle_range
from weakseg.predict.summary import read_summary

pytestmark = pytest.mark.slow

SCALES, FLIP, MAX_SIDE_PX = (1.0, 0.5), True, 30
ALL_OF = ("{}.png", "{}_confidence.png", "{}_overlay.jpg")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("runs") / "run").root


def predict(model: Path, inputs: list[str | Path], out: Path, **options: object) -> Predicted:
    return predict_files(model, inputs, out, device="cpu", options=PredictOptions(**options))  # type: ignore[arg-type]


def results_of(*names: str) -> list[str]:
    return sorted([*(name.format(image) for image in names for name in ALL_OF), "summary.json"])


def expected_labels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return predict_labels(make_segmenter(), image, scales=SCALES, flip=FLIP, max_side_px=MAX_SIDE_PX)


def test_a_file_becomes_a_mask_an_overlay_a_confidence_and_a_line_of_the_summary(run: Path, tmp_path: Path) -> None:
    photo, out = write_photo(tmp_path / "photo.png"), tmp_path / "out"
    done = predict(run, [photo], out)
    assert list_files(out) == results_of("photo")
    image = read_image(photo)
    expected = expected_labels(image)
    assert read_mask(out / "photo.png").tolist() == expected.tolist()
    with Image.open(out / "photo.png") as mask:
        assert mask.mode == "P"
    probabilities = predict_probabilities(
        make_segmenter(), image, scales=SCALES, flip=FLIP, max_side_px=MAX_SIDE_PX
    ).max(axis=0)
    with Image.open(out / "photo_confidence.png") as confidence:
        assert confidence.mode == "L"
        np.testing.assert_allclose(np.asarray(confidence), 255 * probabilities, atol=0.5 + 1e-3)
    painted = read_image(out / "photo_overlay.jpg").astype(int)
    # JPEG blurs, but the overlay is nearer than the photograph.
    assert np.abs(painted - overlay(image, expected)).mean() < 0.5 * np.abs(painted - image).mean()
    (found,) = done.images
    assert (found.name, found.image, found.size_hw, found.tags) == ("photo", str(photo), (22, 40), None)
    assert found.confidence == pytest.approx(float(probabilities.mean()), abs=1e-5)
    for entry in found.labels:
        chosen = expected == entry.label
        assert entry.share == pytest.approx(chosen.mean(), abs=1e-6)
        assert entry.confidence == pytest.approx(float(probabilities[chosen].mean()), abs=1e-5)
        assert entry.name == CLASSES.label_names[entry.label]
    assert {entry.label for entry in found.labels} == set(np.unique(expected))


def test_the_summary_says_what_made_the_results_and_is_read_back(run: Path, tmp_path: Path) -> None:
    photos = [write_photo(tmp_path / "b.png", 1), write_photo(tmp_path / "a.png", 2, (35, 17))]
    done = predict(run, [*photos], tmp_path / "out", tags=("dog",))
    assert done.summary == tmp_path / "out" / "summary.json"
    document = json.loads(done.summary.read_text())
    assert (document["format"], document["complete"], document["unreadable"]) == (1, True, [])
    made_by, images = read_summary(done.summary)
    assert (made_by.kind, made_by.model, made_by.classes) == ("run", str(run), CLASSES.names)
    assert made_by.digest == open_model(run, device="cpu").digest
    assert made_by.settings == {
        "scales": [1.0, 0.5],
        "flip": True,
        "max_side_px": 30,
        "crf": None,
        "pixel_range": None,
        "tile_px": 1024,
        "overlap_px": 256,
    }
    assert [image.name for image in done.images] == ["b", "a"]  # as given; the file sorts them
    assert list(images) == ["a", "b"]
    assert images == {image.name: image for image in done.images}
    assert images["a"].tags == ("dog",)
    assert images["a"].files == {
        "mask": "a.png",
        "overlay": "a_overlay.jpg",
        "confidence": "a_confidence.png",
    }


def test_labels_of_the_summary_are_background_and_then_the_largest_first(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array([[0, 1, 3, 3], [0, 3, 0, 2]], np.uint8)
    found = predicting.LabelledPixels(labels, np.array([[0.5, 0.25, 1, 1], [0.75, 0.5, 1, 0.125]], np.float32))
    monkeypatch.setattr(predicting, "choose_labels", lambda *_, **__: found)
    (image,) = predict(run, [write_photo(tmp_path / "photo.png", 0, (2, 4))], tmp_path / "out").images
    assert [(entry.name, entry.share, entry.confidence) for entry in image.labels] == [
        ("background", 0.375, 0.75),
        ("fox", 0.375, 0.833333),
        ("cat", 0.125, 0.25),
        ("dog", 0.125, 0.125),
    ]
    assert image.shares == (("fox", 0.375), ("cat", 0.125), ("dog", 0.125))
    assert image.confidence == 0.640625


def test_only_outputs_that_are_asked_for_are_written(run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    done = predict(run, [photo], tmp_path / "one", outputs=("confidence",))
    assert list_files(tmp_path / "one") == ["a_confidence.png"]
    assert done.summary is None
    predict(run, [photo], tmp_path / "two", outputs=("mask", "summary"))
    assert list_files(tmp_path / "two") == ["a.png", "summary.json"]


def test_folders_keep_their_sub_folders(run: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/deep/b.PNG", "sub/c.d.png"):
        write_photo(tmp_path / "photos" / name)
    done = predict(run, [tmp_path / "photos"], tmp_path / "out")
    assert [image.name for image in done.images] == ["a", "sub/c.d", "sub/deep/b"]
    assert list_files(tmp_path / "out") == results_of("a", "sub/c.d", "sub/deep/b")


def test_predicting_twice_gives_the_same_bytes_and_does_not_predict_its_results(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_photo(photos / "a.jpg")
    out = photos / "predictions"
    predict(run, [photos], out)
    first = {name: (out / name).read_bytes() for name in list_files(out)}
    assert len(predict(run, [photos], out).images) == 1
    assert {name: (out / name).read_bytes() for name in list_files(out)} == first


def test_only_tagged_classes_and_background_appear(run: Path, tmp_path: Path) -> None:
    photos = [write_photo(tmp_path / f"{name}.png", seed) for seed, name in enumerate("ab")]
    free = predict(run, [*photos], tmp_path / "free")
    assert all(len(image.labels) > 2 for image in free.images)
    write_text(tmp_path / "tags.csv", "image,tags\na.png,dog\nb.png,\n")
    bound = predict(run, [*photos], tmp_path / "bound", tag_file=tmp_path / "tags.csv")
    assert [image.tags for image in bound.images] == [("dog",), ()]
    assert set(np.unique(read_mask(tmp_path / "bound" / "a.png"))) <= {0, 2}
    assert set(np.unique(read_mask(tmp_path / "bound" / "b.png"))) == {0}
    probabilities = predict_probabilities(
        make_segmenter(), read_image(photos[0]), scales=SCALES, flip=FLIP, max_side_px=MAX_SIDE_PX
    )
    expected = np.array([0, 2])[probabilities[[0, 2]].argmax(axis=0)]
    assert (read_mask(tmp_path / "bound" / "a.png") == expected).all()


def test_images_that_the_tag_file_does_not_name_are_told(run: Path, tmp_path: Path, told: list[str]) -> None:
    photos = [write_photo(tmp_path / f"{name}.png") for name in "ab"]
    write_text(tmp_path / "tags.csv", "image,tags\na.png,dog\n")
    predict(run, [*photos], tmp_path / "out", tag_file=tmp_path / "tags.csv")
    assert told[0] == "the tag file does not name 1 of 2 images, such as 'b': any class may appear in them"


def test_a_wrong_tag_is_an_error_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"unknown class 'dogs'; did you mean 'dog'\?"):
        predict(run, [photo], tmp_path / "out", tags=("dogs",))
    assert not (tmp_path / "out").exists()


def test_batches_give_what_images_give_one_by_one(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(22, 40), (31, 27), (22, 40), (31, 27), (22, 40)]
    photos = [write_photo(tmp_path / f"{n}.png", n, size) for n, size in enumerate(sizes)]
    alone = predict(run, [*photos], tmp_path / "alone")
    groups: list[int] = []
    real = predicting.predict_views
    monkeypatch.setattr(
        predicting, "predict_views", lambda net, images, **rest: groups.append(len(images)) or real(net, images, **rest)
    )
    together = predict(run, [*photos], tmp_path / "together", batch=2)
    assert groups == [2, 1, 2]  # images of one size follow one another, whatever the order they were given in
    assert [image.name for image in together.images] == ["0", "1", "2", "3", "4"]
    for one, other in zip(alone.images, together.images, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
        masks = [read_mask(tmp_path / out / f"{one.name}.png") for out in ("alone", "together")]
        assert (masks[0] == masks[1]).mean() > 0.995  # where two labels are equally likely rounding decides


def test_images_that_exif_turns_share_a_batch_with_upright_ones(run: Path, tmp_path: Path) -> None:
    upright = write_photo(tmp_path / "upright.jpg", 0, (20, 30))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = ROTATED
    with Image.open(write_photo(tmp_path / "turned.png", 1, (30, 20))) as image:
        image.save(tmp_path / "turned.jpg", exif=exif)
    done = predict(run, [upright, tmp_path / "turned.jpg"], tmp_path / "out", batch=2)
    assert [image.size_hw for image in done.images] == [(20, 30), (20, 30)]
    assert read_mask(tmp_path / "out" / "turned.png").shape == (20, 30)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "1", "P"])
def test_every_kind_of_photograph_is_predicted_as_it_is_read(mode: str, run: Path, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    with Image.open(write_photo(tmp_path / "plain" / "a.png")) as image:
        image.convert(mode).save(path)
    predict(run, [path], tmp_path / "out")
    assert (read_mask(tmp_path / "out" / "a.png") == expected_labels(read_image(path))).all()


def test_large_images_are_seen_in_tiles(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = write_photo(tmp_path / "a.png", 0, (100, 150))
    seen: list[torch.Size] = []
    real = commanding.open_model

    def spy(path: Path, *, device: str) -> OpenedModel:
        opened = real(path, device=device)
        network = opened.network

        class Spy:
            num_labels, stride = network.num_labels, network.stride

            def __call__(self, batch: torch.Tensor, /) -> torch.Tensor:
                seen.append(batch.shape)
                return network(batch)

        return commanding.replace(opened, network=Spy())

    monkeypatch.setattr(commanding, "open_model", spy)
    done = predict(run, [photo], tmp_path / "out", tiling=Tiling(64, 32), max_side_px=0, batch=3)
    assert read_mask(tmp_path / "out" / "a.png").shape == (100, 150)
    assert max(max(shape[2:]) for shape in seen) == 64
    assert max(shape[0] for shape in seen) == 3
    assert done.summary is not None
    settings = read_summary(done.summary)[0].settings
    assert (settings["tile_px"], settings["overlap_px"], settings["max_side_px"]) == (64, 32, None)


def test_the_limit_of_the_run_may_be_replaced(run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.png", 0, (40, 50))
    predict(run, [photo], tmp_path / "out", max_side_px=20)
    expected = predict_labels(make_segmenter(), read_image(photo), scales=SCALES, flip=FLIP, max_side_px=20)
    assert (read_mask(tmp_path / "out" / "a.png") == expected).all()


def test_an_unreadable_image_is_named_and_left_out(run: Path, tmp_path: Path, told: list[str]) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    write_photo(photos / "good.jpg")
    (photos / "bad.jpg").write_text("no image")
    for batch in (1, 2):
        told.clear()
        done = predict(run, [photos], out, batch=batch)
        assert [image.name for image in done.images] == ["good"]
        assert done.unreadable == 1
        assert list_files(out) == results_of("good")
        problem = f"cannot read image {photos / 'bad.jpg'}: not an image, or of a format that Pillow cannot read"
        assert told == [f"{problem}; left out"]
        document = json.loads((out / "summary.json").read_text())
        assert document["unreadable"] == [{"image": str(photos / "bad.jpg"), "problem": problem}]


def test_what_is_passed_over_is_counted_in_the_log_and_named_in_the_summary(
    run: Path, tmp_path: Path, told: list[str]
) -> None:
    photos = tmp_path / "photos"
    write_photo(photos / "good.jpg")
    for number in range(7):
        (photos / f"{number}.dng").touch()
    os.mkfifo(photos / "pipe.jpg")
    done = predict(run, [photos], tmp_path / "out")
    assert ([image.name for image in done.images], done.passed_over, done.unreadable) == (["good"], 8, 0)
    named = ", ".join(str(photos / f"{number}.dng") for number in range(5))
    assert told[0] == f"passed over 7: {named} and 2 more: .dng is not read here; convert them to JPEG or PNG"
    assert told[1].startswith(f"passed over 1: {photos / 'pipe.jpg'}: not a regular file")
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [Path(entry["image"]).name for entry in document["passed_over"]] == [
        *(f"{number}.dng" for number in range(7)),
        "pipe.jpg",
    ]


@pytest.mark.parametrize("trained", [None, (0.0, 4095.0)])
def test_deep_images_are_scaled_as_in_training_or_else_by_what_all_of_them_span(
    trained: tuple[float, float] | None, tmp_path: Path, told: list[str]
) -> None:
    config = with_settings(RECIPE, ("data.pixel_range", trained))
    model = make_model(tmp_path / "run", config=config).root
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, top in enumerate((300, 1000)):
        ramp = np.linspace(0, top, 22 * 40).reshape(22, 40).astype(np.uint16)
        Image.fromarray(ramp).save(photos / f"{number}.png")
    done = predict(model, [photos], tmp_path / "out", outputs=("overlay", "mask", "summary"))
    high = 4095.0 if trained else 1023.0
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert document["made_by"]["settings"]["pixel_range"] == [0.0, high]
    assert [line.partition(":")[0] for line in told] == (
        [] if trained else ["2 images have more than 8 bits per channel, with values 0..998"]
    )
    for image, path in zip(done.images, sorted(photos.iterdir()), strict=True):
        expected = expected_labels(read_image(path, pixel_range=PixelRange(0.0, high)))
        assert read_mask(tmp_path / "out" / image.files["mask"]).tolist() == expected.tolist()


def test_nothing_readable_is_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(DataError, match="none of the 1 images can be read; each is named above"):
        predict(run, [tmp_path / "bad.jpg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Counted:
    """Counts the images that are predicted, and stops like Ctrl-C before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, stop_at: int | None = None) -> None:
        self.count = 0
        real = predicting.predict_views

        def predict_views(network: object, images: list[object], **rest: object) -> object:
            if self.count == stop_at:
                raise KeyboardInterrupt
            self.count += len(images)
            return real(network, images, **rest)  # type: ignore[arg-type]

        monkeypatch.setattr(predicting, "predict_views", predict_views)


def test_an_interrupted_command_goes_on_where_it_was(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    photos = [write_photo(tmp_path / f"{n}.png", n) for n in range(4)]
    predict(run, [*photos], tmp_path / "whole")
    with monkeypatch.context() as patch:
        Counted(patch, stop_at=2)
        with pytest.raises(KeyboardInterrupt):
            predict(run, [*photos], tmp_path / "out")
    assert told[-1] == "2 images are done; --skip-existing leaves them as they are"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["complete"] is False
    counted = Counted(monkeypatch)
    done = predict(run, [*photos], tmp_path / "out", skip_existing=True)
    assert (counted.count, done.skipped, len(done.images)) == (2, 2, 2)
    for name in list_files(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    again = predict(run, [*photos], tmp_path / "out", skip_existing=True)
    assert (counted.count, again.skipped, again.images) == (2, 4, ())


def test_what_is_done_survives_a_command_that_is_killed_while_it_looks_for_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [write_photo(tmp_path / f"{n}.png", n) for n in range(3)]
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        Counted(patch, stop_at=2)
        patch.setattr(command.Command, "_keep_what_there_is", lambda *_, **__: None)  # as if it had been killed
        with pytest.raises(KeyboardInterrupt):
            predict(run, [*photos], out)
    assert not (out / "summary.json").exists()

    def stop(_: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "digest_image", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(run, [*photos], out, skip_existing=True)
    done = predict(run, [*photos], out, skip_existing=True)
    assert (done.skipped, len(done.images)) == (2, 1)


def test_what_another_model_other_settings_tags_or_images_made_is_made_anew(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos: list[str | Path] = [write_photo(tmp_path / f"{n}.png", n) for n in range(3)]
    out = tmp_path / "out"
    # Weights without a recipe, since reading one takes longer than anything else here.
    weights = copy(run / "segmenter" / "model.safetensors", tmp_path / "model.safetensors")
    other = copy(make_model(tmp_path / "other", seed=1).network("segmenter").model, tmp_path / "other.safetensors")
    counted = Counted(monkeypatch)

    def count(model: Path, **options: object) -> int:
        before = counted.count
        predict(model, photos, out, skip_existing=True, **options)
        return counted.count - before

    assert count(weights) == 3  # there is nothing yet
    assert count(weights) == 0
    assert count(weights, batch=2) == 0  # changes nothing but rounding
    assert count(weights, tiling=Tiling(512, 128)) == 3
    assert count(weights) == 3
    assert count(other) == 3
    assert count(weights, tags=("cat",)) == 3
    write_text(tmp_path / "tags.csv", "image,tags\n0.png,cat\n1.png,dog\n2.png,cat\n")
    assert count(weights, tag_file=tmp_path / "tags.csv") == 1
    (out / "2_overlay.jpg").unlink()
    write_photo(tmp_path / "0.png", 9)
    assert count(weights, tag_file=tmp_path / "tags.csv") == 2
    assert count(weights, tag_file=tmp_path / "tags.csv", outputs=("mask", "summary")) == 3


def test_skipping_needs_the_summary(run: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.png")
    with pytest.raises(UsageError, match="--skip-existing needs the summary"):
        predict(run, [photo], tmp_path / "out", skip_existing=True, outputs=("mask",))
    write_text(tmp_path / "out" / "summary.json", "{}")
    with pytest.raises(ArtifactError, match=r"summary\.json is damaged \('format'\); predict again without"):
        predict(run, [photo], tmp_path / "out", skip_existing=True)


def test_a_gpu_with_too_little_memory_says_what_to_lower(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predicting, "predict_views", fail)
    with pytest.raises(ConfigError, match=r"memory does not suffice for 4 images .* lower --batch or --tile-px"):
        predict(run, [write_photo(tmp_path / "a.png")], tmp_path / "out", batch=4)


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("max_side_px", -1)])
def test_options_out_of_range_are_named(option: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: expected .* got {value}"):
        PredictOptions(**{option: value})  # type: ignore[arg-type]


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


def test_prediction_does_not_depend_on_what_else_is_predicted(run: Path, tmp_path: Path) -> None:
    photos = {name: write_photo(tmp_path / f"{name}.jpg", seed) for seed, name in enumerate("abc")}
    together = predict(run, list(photos.values()), tmp_path / "all")
    torch.manual_seed(5)
    (alone,) = predict(run, [photos["b"]], tmp_path / "one").images
    assert alone == together.images[1]
    assert (tmp_path / "one" / "b.png").read_bytes() == (tmp_path / "all" / "b.png").read_bytes()


@pytest.mark.parametrize(("trained", "named"), [(None, ["dim.tif"]), ((0, 4095), ["dim.tif", "bright.tif"])])
def test_images_that_the_range_leaves_nothing_of_are_named(
    trained: tuple[float, float] | None, named: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramp = np.linspace(0, 1, 20 * 30, dtype=np.float32).reshape(20, 30)
    for name, low, high in (("dim.tif", 0, 200), ("bright.tif", 5000, 60000)):
        Image.fromarray((low + (high - low) * ramp).astype(np.uint16)).save(tmp_path / name)
    settle_range(Views(pixel_range=trained), sorted(tmp_path.iterdir()))
    told = [record.getMessage() for record in caplog.records if "its values" in record.getMessage()]
    assert sorted(line.split(": its")[0] for line in told) == sorted(str(tmp_path / name) for name in named)


def test_what_was_made_of_a_file_that_changed_meanwhile_is_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, other = write_photo(tmp_path / "a.png"), write_photo(tmp_path / "b.png", seed=5)
    choose = predicting.choose_labels

    def swap_first(*arguments: object, **options: object) -> object:
        copy(other, photo)
        return choose(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(predicting, "choose_labels", swap_first)
        predict(run, [photo], tmp_path / "out", skip_existing=True)
    done = predict(run, [photo], tmp_path / "out", skip_existing=True)
    assert (done.skipped, len(done.images)) == (0, 1)


def test_an_image_that_vanishes_once_it_is_read_is_predicted_all_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write_photo(tmp_path / "a.png")
    choose = predicting.choose_labels

    def remove_first(*arguments: object, **options: object) -> object:
        photo.unlink()
        return choose(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(predicting, "choose_labels", remove_first)
    assert len(predict(run, [photo], tmp_path / "out").images) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("name", ["model.onnx", "model.zip", "model.safetensors", "run"])
def test_a_pipe_in_the_place_of_a_model_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArtifactError, match=r"is no model: .* got not a regular file, but a pipe"):
        predict(tmp_path / name, [write_photo(tmp_path / "a.jpg")], tmp_path / "out")
