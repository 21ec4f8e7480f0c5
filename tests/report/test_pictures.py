from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from weakseg.ops.instances import Instances
from weakseg.report.pictures import Painter, Panel, Swatch, hex_colour, label_swatches, picture_side, unsure_swatch


def decode(panel: Panel) -> NDArray[np.uint8]:
    assert panel.source is not None
    head, _, content = panel.source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_swatches_have_the_bright_colours_of_the_pictures() -> None:
    assert [(swatch.name, swatch.colour) for swatch in label_swatches(("background", "cat"))] == [
        ("background", "#000000"),
        ("cat", "#ff5e5b"),
    ]
    assert hex_colour(np.array([1, 171, 255], np.uint8)) == "#01abff"


def test_small_image_keeps_its_size_and_its_pixels() -> None:
    image = np.full((5, 9, 3), (200, 100, 50), np.uint8)
    panel = Painter("a/b", image).show_image()
    assert (panel.caption, panel.alt, panel.size_wh) == ("Image", "Image of a/b", (9, 5))
    assert decode(panel).shape == (5, 9, 3)
    assert decode(panel)[2, 4] == pytest.approx([200, 100, 50], abs=3)


def test_pictures_of_a_large_image_are_shrunk_to_one_size() -> None:
    painter = Painter("a", np.zeros((600, 960, 3), np.uint8))
    labels, scores = np.ones((600, 960), np.uint8), np.ones((600, 960), np.float32)
    for panel in (painter.show_image(), painter.show_labels("Truth", labels), painter.show_heat("Seed", scores)):
        assert panel.size_wh == (480, 300)
        assert decode(panel).shape == (300, 480, 3)


def test_one_pixel_high_image_is_drawn() -> None:
    panel = Painter("a", np.zeros((1, 500, 3), np.uint8), side_px=240).show_labels("Truth", np.ones((1, 500), np.uint8))
    assert panel.size_wh == (240, 1)


def test_pictures_of_many_images_are_smaller() -> None:
    assert [picture_side(images) for images in (0, 24, 48, 49, 200)] == [480, 480, 480, 240, 240]


def test_labels_are_painted_over_the_grey_image_within_a_line_of_the_colour_of_the_legend() -> None:
    labels = np.zeros((32, 64), np.uint8)
    labels[:, 32:] = 1
    pixels = decode(Painter("a", np.full((32, 64, 3), (30, 60, 120), np.uint8)).show_labels("Truth", labels)).astype(
        int
    )
    # The grey of (30, 60, 120) is 70; class 0 is (255, 94, 91) and weighs 0.5 within its line.
    assert pixels[16, 6] == pytest.approx([70, 70, 70], abs=4)
    assert pixels[16, 50] == pytest.approx([162, 82, 80], abs=6)
    line, halo = pixels[16, 32], pixels[16, 31]
    assert line[0] > 200
    assert halo[1] < 60  # darkened, so that the line also stands out on a bright wall


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_unlabelled_pixels_are_striped_so_that_they_show_on_any_brightness(brightness: int) -> None:
    labels = np.full((32, 48), 255, np.uint8)
    labels[:, 24:] = 0
    image = np.full((32, 48, 3), brightness, np.uint8)
    pixels = decode(Painter("a", image).show_labels("Confident labels", labels)).astype(np.int64)
    # The pale stripe is 0.5 of (224, 224, 192) and the dark one 0 over 0.5 of the image: 112 apart, whatever it is.
    unsure = pixels[4:28, 4:20, 1]
    assert np.ptp(unsure) == pytest.approx(112, abs=25)
    assert np.ptp(pixels[4:28, 34:, 1]) <= 3
    # Stripes run from the lower left to the upper right.
    assert np.abs(unsure[1:, :-1] - unsure[:-1, 1:]).max() < 40


def test_the_legend_names_unlabelled_pixels() -> None:
    assert unsure_swatch() == Swatch("void or unsure", "#e0e0c0", striped=True)


def test_instances_of_one_class_have_colours_of_their_own_over_the_grey_image() -> None:
    masks = np.zeros((2, 32, 48), np.bool_)
    masks[0, :, :16] = masks[1, :, 16:32] = True
    instances = Instances(masks, np.zeros(2, np.int64), np.ones(2, np.float32))
    panel = Painter("a", np.full((32, 48, 3), (30, 60, 120), np.uint8)).show_instances("Instances", instances)
    assert (panel.caption, panel.alt, panel.size_wh) == ("Instances", "Instances of a", (48, 32))
    pixels = decode(panel).astype(np.int64)
    assert pixels[16, 42] == pytest.approx([70, 70, 70], abs=4)
    # The first colour is (255, 64, 64) and weighs 0.5 over the grey of 70.
    assert pixels[16, 7] == pytest.approx([162, 67, 67], abs=8)
    assert np.abs(pixels[16, 24] - pixels[16, 7]).max() > 60


def test_instances_of_a_large_image_are_shrunk_with_it() -> None:
    instances = Instances(np.ones((1, 300, 480), np.bool_), np.zeros(1, np.int64), np.ones(1, np.float32))
    panel = Painter("a", np.zeros((300, 480, 3), np.uint8), side_px=240).show_instances("Instances", instances)
    assert decode(panel).shape == (150, 240, 3)


def test_heat_is_laid_over_the_grey_image() -> None:
    scores = np.zeros((32, 32), np.float32)
    scores[:, 16:] = 1.0
    pixels = decode(Painter("a", np.zeros((32, 32, 3), np.uint8)).show_heat("Seed", scores))
    # The heat of 1 is (252, 253, 191) and weighs 0.65; that of 0 is all but black.
    assert pixels[16, 6] == pytest.approx([0, 0, 3], abs=4)
    assert pixels[16, 26] == pytest.approx([164, 164, 124], abs=4)


def test_missing_labels_give_an_empty_panel() -> None:
    panel = Painter("a", np.zeros((4, 6, 3), np.uint8)).show_labels("Prediction", None)
    assert panel == Panel("Prediction", None, "Prediction of a: missing", (6, 4))


def test_drawing_does_not_change_the_image() -> None:
    image = np.full((4, 6, 3), 9, np.uint8)
    painter = Painter("a", image)
    painter.show_heat("Seed", np.ones((4, 6), np.float32))
    painter.show_labels("Truth", np.full((4, 6), 255, np.uint8))
    painter.show_instances("Instances", Instances(np.ones((1, 4, 6), np.bool_), np.zeros(1, np.int64), np.ones(1, "f")))
    assert (image == 9).all()
