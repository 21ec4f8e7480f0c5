from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import pytest

from weakseg.report.figures import Line, draw_epochs, draw_thresholds


def draw_curve(key: str, *, chosen: float | None = 0.25) -> str:
    lines = [Line("main", (0.2, 0.6, None)), Line("second", (None, None, None), dashed=True)]
    return draw_thresholds((0.0, 0.5, 0.9), lines, best=1, chosen=chosen, key=key, label="IoU <1> & more")


def test_drawing_leaves_matplotlibs_global_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    draw_curve("a")
    assert dict(matplotlib.rcParams) == before


def test_users_settings_do_not_reach_the_chart() -> None:
    plain = draw_curve("a")
    with matplotlib.rc_context({"axes.linewidth": 5, "lines.dash_capstyle": "round", "svg.fonttype": "path"}):
        assert draw_curve("a") == plain


def test_chart_is_an_element_without_metadata_styles_or_namespaces() -> None:
    svg = ElementTree.fromstring(draw_curve("a"))
    assert svg.tag == "svg"
    assert svg.attrib["aria-label"] == "IoU <1> & more"
    assert "width" not in svg.attrib
    assert {element.tag for element in svg.iter()} <= {"svg", "g", "defs", "path", "use", "text", "clipPath", "rect"}
    assert "background threshold" in [element.text for element in svg.iter("text")]


def test_colours_are_variables_of_the_page() -> None:
    svg = draw_curve("a")
    assert "var(--main)" in svg
    assert "var(--muted)" in svg
    assert "#4338ca" not in svg


@pytest.mark.slow
def test_charts_of_one_page_share_no_ids() -> None:
    ids = [{e.attrib["id"] for e in ElementTree.fromstring(draw_curve(key)).iter() if "id" in e.attrib} for key in "ab"]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_fixed_threshold_adds_a_line() -> None:
    with_line, without = (ElementTree.fromstring(draw_curve("a", chosen=chosen)) for chosen in (0.25, None))
    assert len(list(with_line.iter("path"))) == len(list(without.iter("path"))) + 1


def test_single_epoch_is_marked_with_a_dot() -> None:
    svg = ElementTree.fromstring(draw_epochs(Line("main", [0.5]), percent=True, key="a", label="mAP"))
    assert [use for use in svg.iter("use") if "var(--main)" in use.attrib.get("style", "")]
    assert "1" in [text.text for text in svg.iter("text")]


def test_chart_without_any_defined_value_is_drawn() -> None:
    svg = draw_epochs(Line("third", [None, None]), percent=False, key="a", label="loss")
    assert "epoch" in svg
