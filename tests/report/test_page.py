from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.made_run import HEIGHT, WIDTH, add_instances, make_run
from weakseg.config.schema import ReportConfig
from weakseg.data.base import Problem
from weakseg.pipeline.context import Context
from weakseg.report import page as report_module
from weakseg.report import rendering
from weakseg.report.page import report
from weakseg.report.words import WORDS

pytestmark = pytest.mark.slow

VOID_ELEMENTS = {"meta", "link", "img", "br", "hr", "input", "wbr"}
HOSTILE = """<script>alert('x')</script> & "cat\""""


@dataclass
class Page(HTMLParser):
    """A parsed page; parsing fails on an element that is not closed or closed in the wrong order."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"repeated attribute in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(text for text in self.texts if text)

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.elements if (value := attrs.get(name)) is not None]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def read_report(context: Context) -> str:
    report(context)
    return context.folder.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("report")
    context = make_run(root, classes=("avo", HOSTILE, "cim"))
    problem = Problem("warning", "unreadable", "<img src=x>", "expected an image, got <nothing>; left out")
    return read_report(replace(context, train=replace(context.train, problems=(problem,))))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return parse(html)


def test_page_is_well_formed_and_its_links_lead_somewhere(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = [link for link in page.attributes("href") if link.startswith("#")]
    assert len(targets) > 6
    assert {target[1:] for target in targets} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)


def test_page_loads_nothing_from_elsewhere_and_runs_one_script(html: str, page: Page) -> None:
    assert page.count("script") == 1
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert all(source.startswith(("data:image/", "data:,")) for source in page.attributes("src"))
    assert all(link.startswith(("#", "data:,")) for link in page.attributes("href"))
    assert re.findall(r"url\((?!#)", html) == []
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]


def test_page_forbids_the_browser_to_load_anything_and_to_run_any_other_script(html: str, page: Page) -> None:
    (script,) = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_names_are_shown_as_text_whatever_they_hold(html: str, page: Page) -> None:
    assert "<script>alert" not in html
    assert HOSTILE in page.text
    assert "<img src=x>: expected an image, got <nothing>; left out" in page.text
    assert f"Seed: {HOSTILE} of train_1" in page.attributes("alt")


def test_every_picture_has_a_text_and_a_size(page: Page) -> None:
    pictures = [attrs for tag, attrs in page.elements if tag == "img" and attrs["src"] != "data:,"]
    assert pictures
    for attrs in pictures:
        assert attrs["alt"]
        assert (attrs["width"], attrs["height"]) == (str(WIDTH), str(HEIGHT))
    charts = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(charts) == 2 + 3 + 2  # two thresholds; loss, mAP and rate; loss and rate
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)


def test_every_score_says_what_it_is(page: Page) -> None:
    for row in (
        "train 3 given 0.3 (oracle)",
        "train 3 given 0.25 (fixed)",
        "val 3 given 0.25 (fixed)",
        "val 3 not given none",
    ):
        assert row in page.text
    for detail in (
        "train, 3 images, tags given, threshold 0.25 (fixed)",
        "val, 3 images, no tags given, no threshold",
        "val, 3 images, tags as truth",
    ):
        assert detail in page.text
    assert "Seeds and masks were made with each image's own tags given; the segmenter saw the image alone." in page.text


def test_header_cells_have_a_scope(page: Page) -> None:
    scopes = [attrs.get("scope") for tag, attrs in page.elements if tag == "th"]
    assert set(scopes) == {"col", "row", "colgroup"}


def test_label_that_never_occurs_has_a_dash_and_its_pixel_count(page: Page) -> None:
    # No image has the third class: 0 pixels, and no IoU in any of the two and three columns.
    assert "cim 0 – – 0 – – –" in page.text
    assert "3 of 4" in page.text


def test_same_run_gives_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    context = make_run(tmp_path / "one", train_tags=(0,), val_tags=None)
    other = make_run(tmp_path / "two", train_tags=(0,), val_tags=None)
    first = read_report(context)
    assert read_report(context) == first
    assert read_report(other).replace(str(other.folder.root), str(context.folder.root)) == first


def test_missing_prediction_has_an_empty_place(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=(0,))
    context.folder.prediction("val_0").unlink()
    page = parse(read_report(context))
    assert page.texts.count("missing") == 1
    assert "Prediction" in page.texts


def test_run_without_truth_has_no_numbers_and_says_so(tmp_path: Path) -> None:
    context = make_run(tmp_path, truth=lambda id: False)
    page = parse(read_report(context))
    assert "There are no truth masks, so that nothing can be scored" in page.text
    assert "train: no truth masks, so seeds and masks are not scored" in page.text
    assert "classes" not in page.attributes("id")
    assert "thresholds" not in page.attributes("id")
    assert "No image of this split has a truth mask: the most doubtful masks come first." in page.text
    assert "There are no truth masks, so that nobody has measured it" in page.text
    assert "Truth of train_0" not in page.attributes("alt")
    assert "missing" not in page.texts
    assert "Mean IoU, %" not in page.text


def test_run_without_validation_split_shows_training_images_only(tmp_path: Path) -> None:
    page = parse(read_report(make_run(tmp_path, val_tags=None, report=ReportConfig(title="t", gallery_images=2))))
    assert "train: 2 of 3 images" in page.text
    assert "Validation split none" in page.text
    assert "Classifier, mAP" not in page.text
    assert not [alt for alt in page.attributes("alt") if alt.startswith("Prediction")]


def test_instances_have_their_section_and_say_that_tags_were_given(tmp_path: Path) -> None:
    page = parse(read_report(add_instances(make_run(tmp_path))))
    assert "instances" in page.attributes("id")
    assert "#instances" in page.attributes("href")
    assert "Instances, AP50 50.0 % val, 3 images, 1,235 objects, tags given, threshold 0.25 (fixed)" in page.text
    assert "val 50.0 25.0 30.0 3 1,235 2 of 3 given 0.25 (fixed)" in page.text
    assert "avo 1 75.0 50.0 60.0 1 75.0 50.0 60.0 bex 1,234 25.0 0.0 0.0" in page.text
    assert "cim 0 – – – 0 – – –" in page.text
    assert "not comparable with those of detectors" in page.text
    assert "Instances have a colour each, whatever their class." in page.text
    assert "Confident labels of train_0" in page.attributes("alt")
    assert "Instances of val_2" in page.attributes("alt")


def test_run_without_instances_does_not_mention_them(page: Page) -> None:
    assert "instances" not in page.attributes("id")
    assert "Instances, AP50" not in page.text


def test_unlabelled_pixels_are_in_the_legend_with_their_stripes(page: Page) -> None:
    assert "void or unsure" in page.texts
    striped = [attrs for _, attrs in page.elements if attrs.get("class") == "swatch striped"]
    assert [attrs["style"] for attrs in striped] == ["--colour: #e0e0c0"]


@pytest.mark.parametrize("num_classes", [1, 80])
def test_every_class_has_a_row(tmp_path: Path, num_classes: int) -> None:
    names = [f"class {index}" for index in range(num_classes)]
    context = make_run(
        tmp_path,
        classes=names,
        train_tags=(num_classes - 1,),
        val_tags=None,
        report=ReportConfig(gallery_images=0),
    )
    html = read_report(context)
    page = parse(html)
    table = html[html.index('<table class="classes">') : html.index("</table>", html.index('<table class="classes">'))]
    assert table.count('scope="row"') == num_classes + 1
    lengths = [float(length) for length in re.findall(r"width: ([\d.]+)%", table)]
    assert len(lengths) == 2 * 2  # seeds and masks, of the background and of the one class in the image
    assert min(lengths) >= 0
    assert 50 < max(lengths) <= 100
    assert "gallery" not in page.attributes("id")
    assert page.count("img") == 1  # of the dialog, empty
    assert page.count("h1") == 1
    assert "run" in page.texts  # without a title, the folder's name


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=None)
    monkeypatch.setattr(report_module, "rank", lambda: 1)
    assert report(context) == ""
    assert not context.folder.report.exists()


def test_words_are_explained_where_they_stand(page: Page) -> None:
    ids = page.attributes("id")
    targets = page.attributes("popovertarget")
    assert len(targets) > 10
    assert set(targets) <= set(ids)
    assert {f"word-{word.key}" for word in WORDS} <= set(ids)


def test_the_commands_name_the_run(html: str, page: Page) -> None:
    root = re.search(r"weakseg review (\S+)</code>", html)
    assert root is not None
    assert f"weakseg run {root[1]} --out {root[1]}-2" in page.text
    assert f"weakseg report {root[1]} {root[1]}-2" in page.text


def _brightness(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(theme: int) -> None:
    style = (Path(rendering.__file__).parent / "templates" / rendering.STYLE).read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
    for text in ("ink", "muted", "main", "second", "third", "bad"):
        for ground in ("page", "surface"):
            bright, dim = sorted((_brightness(colours[text]), _brightness(colours[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)
    for line in ("edge", "seeds", "masks", "segmenter", "instances", "classifier"):  # borders and bars need less
        bright, dim = sorted((_brightness(colours[line]), _brightness(colours["surface"])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3, line
