import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.predict.made_model import CLASSES, list_files, write_photo
from tests.predict.made_results import FLIP, MAX_SIDE_PX, SCALES, expected_labels, predict, results_of, run
from tests.tiny import make_segmenter
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import DataError, UsageError
from weakseg.files import write_text
from weakseg.models.inference import predict_probabilities
from weakseg.ops.color import overlay
from weakseg.predict import work as predicting
from weakseg.predict.opened import open_model
from weakseg.predict.options import PredictOptions
from weakseg.predict.summary import read_summary

pytestmark = pytest.mark.slow

assert run, "a fixture"


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


def test_prediction_does_not_depend_on_what_else_is_predicted(run: Path, tmp_path: Path) -> None:
    photos = {name: write_photo(tmp_path / f"{name}.jpg", seed) for seed, name in enumerate("abc")}
    together = predict(run, list(photos.values()), tmp_path / "all")
    torch.manual_seed(5)
    (alone,) = predict(run, [photos["b"]], tmp_path / "one").images
    assert alone == together.images[1]
    assert (tmp_path / "one" / "b.png").read_bytes() == (tmp_path / "all" / "b.png").read_bytes()


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("max_side_px", -1)])
def test_options_out_of_range_are_named(option: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: expected .* got {value}"):
        PredictOptions(**{option: value})  # type: ignore[arg-type]
