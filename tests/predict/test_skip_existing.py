import json
from pathlib import Path
from shutil import copy

import pytest

from tests.predict.made_model import list_files, make_model, write_photo
from tests.predict.made_results import predict, run
from weakseg.errors import ArtifactError, UsageError
from weakseg.files import write_text
from weakseg.models.tiling import Tiling
from weakseg.predict import command
from weakseg.predict import work as predicting

pytestmark = pytest.mark.slow

assert run, "a fixture"


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
