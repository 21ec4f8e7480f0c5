from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_run import HEIGHT, WIDTH, make_run
from tests.report.test_page import parse
from tests.scoring.test_two_runs import finish
from weakseg.errors import DataError
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.report import two_runs as module
from weakseg.report.two_runs import build_pair, write_comparison
from weakseg.scoring.two_runs import compare_runs


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Context, Context]:
    first, second = finish(make_run(tmp_path / "a")), make_run(tmp_path / "b")
    save_mask(second.folder.mask("val_1"), np.full((HEIGHT, WIDTH), 1, np.uint8))
    config = replace(second.config, refine=replace(second.config.refine, background_threshold=0.5))
    second = finish(replace(second, config=config))
    monkeypatch.setattr(module, "open_run", lambda run: second)
    return first, second


def test_images_are_shown_with_the_masks_of_both(pair: tuple[Context, Context]) -> None:
    found = compare_runs(*(context.folder.root for context in pair))
    view = build_pair(found, max_images=5)
    (item,) = view.images  # no other image differs
    assert (item.image.id, item.split) == ("val_1", "val")
    assert [panel.caption for panel in item.image.panels] == [
        "Image",
        "A: pseudo mask",
        "B: pseudo mask",
        "A: prediction",
        "B: prediction",
        "Truth",
    ]
    assert item.image.scores == ("pseudo mask A 60.0, B 60.0", "prediction A 70.0, B 70.0")
    assert view.pictures == "1 of 1 images whose masks differ, those that differ most first."
    assert (
        view.lead == "B against A, points of mean IoU: masks on train +0.0; masks on val +0.0; segmenter on val +0.0."
    )
    assert view.settings == (("refine.background_threshold", "0.25", "0.5"),)
    assert [row.mark for row in view.scores] == ["equal"] * 6


def test_the_page_is_one_file_and_says_what_was_compared(pair: tuple[Context, Context], tmp_path: Path) -> None:
    first, second = (context.folder.root for context in pair)
    told = write_comparison(first, second, tmp_path / "page.html", max_images=3)
    assert told.startswith(f"{tmp_path / 'page.html'}: 1 images shown, 0.")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = parse(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "http:" not in html
    assert "https:" not in html
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= set(page.attributes("id"))
    assert set(page.attributes("popovertarget")) <= set(page.attributes("id"))
    assert str(first) in page.text
    assert "refine. background_threshold 0.25 0.5" in page.text
    assert "avo unsuspicious 0 of 2" in page.text


def test_images_of_the_first_run_stand_in(pair: tuple[Context, Context], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair

    def open_first(run: Path) -> Context:
        if run == second.folder.root:
            raise DataError("its images have gone")
        return first

    monkeypatch.setattr(module, "open_run", open_first)
    assert len(build_pair(compare_runs(first.folder.root, second.folder.root), max_images=3).images) == 1


def test_without_pictures_no_image_is_opened(pair: tuple[Context, Context], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_run", lambda run: pytest.fail("opened"))
    view = build_pair(compare_runs(*(context.folder.root for context in pair)), max_images=0)
    assert (view.images, view.legend) == ((), ())
