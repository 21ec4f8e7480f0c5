from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from weakseg.tasks.report_pictures import Painter, Panel, hex_colour, label_swatches


def decode(panel: Panel) -> NDArray[np.uint8]:
    assert panel.source is not None
    head, _, content = panel.source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_swatches_have_the_colours_of_the_voc_palette() -> None:
    assert [(swatch.name, swatch.colour) for swatch in label_swatches(("background", "cat"))] == [
        ("background", "#000000"),
        ("cat", "#800000"),
    ]
    assert hex_colour(np.array([1, 171, 255], np.uint8)) == "#01abff"


def test_small_image_keeps_its_size_and_its_pixels() -> None:
    image = np.full((5, 9, 3), (200, 100, 50), np.uint8)
    panel = Painter("a/b", image).show_image()
    assert (panel.caption, panel.alt, panel.size_wh) == ("Image", "Image of a/b", (9, 5))
    assert decode(panel).shape == (5, 9, 3)
    assert decode(panel)[2, 4] == pytest.approx([200, 100, 50], abs=3)


def test_pictures_of_a_large_image_are_shrunk_to_one_size() -> None:
    painter = Painter("a", np.zeros((300, 480, 3), np.uint8))
    labels, scores = np.ones((300, 480), np.uint8), np.ones((300, 480), np.float32)
    for panel in (painter.show_image(), painter.show_labels("Truth", labels), painter.show_heat("Seed", scores)):
        assert panel.size_wh == (240, 150)
        assert decode(panel).shape == (150, 240, 3)


def test_one_pixel_high_image_is_drawn() -> None:
    panel = Painter("a", np.zeros((1, 500, 3), np.uint8)).show_labels("Truth", np.ones((1, 500), np.uint8))
    assert panel.size_wh == (240, 1)


def test_labels_are_painted_over_the_grey_image_in_the_colours_of_the_legend() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[:, 16:] = 1
    pixels = decode(Painter("a", np.full((32, 32, 3), (30, 60, 120), np.uint8)).show_labels("Truth", labels))
    # The grey of (30, 60, 120) is 70; class 0 is (128, 0, 0) and weighs 0.6.
    assert pixels[16, 6] == pytest.approx([70, 70, 70], abs=4)
    assert pixels[16, 26] == pytest.approx([0.4 * 70 + 0.6 * 128, 28, 28], abs=4)


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
    painter.show_labels("Truth", np.ones((4, 6), np.uint8))
    assert (image == 9).all()
