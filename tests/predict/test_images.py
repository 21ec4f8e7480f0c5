import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.photos import EXIF_ORIENTATION, ROTATED
from tests.predict.made_model import RECIPE, list_files, make_model, write_photo
from tests.predict.made_results import FLIP, SCALES, expected_labels, predict, results_of, run
from tests.tiny import make_segmenter, with_settings
from weakseg.data.depth import PixelRange
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError, DataError
from weakseg.models.inference import predict_labels
from weakseg.models.predictor import Views
from weakseg.models.tiling import Tiling
from weakseg.predict import files as commanding
from weakseg.predict import work as predicting
from weakseg.predict.opened import OpenedModel
from weakseg.predict.reading import settle_range
from weakseg.predict.summary import read_summary

pytestmark = pytest.mark.slow

assert run, "a fixture"


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


def test_a_gpu_with_too_little_memory_says_what_to_lower(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predicting, "predict_views", fail)
    with pytest.raises(ConfigError, match=r"memory does not suffice for 4 images .* lower --batch or --tile-px"):
        predict(run, [write_photo(tmp_path / "a.png")], tmp_path / "out", batch=4)
