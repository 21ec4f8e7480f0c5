from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.studies.seeds.test_table import LAYOUT, make_counts
from weakseg.ops.coverage import CoverageCounts
from weakseg.studies.seeds.figure import PANEL_IN, Trace, draw_seeds, figure_size_in
from weakseg.studies.seeds.table import Layout, Row, make_table
from weakseg.studies.table import Table


def make_rows(choices: tuple[str, ...], sides: int = 2, layout: Layout = LAYOUT) -> Table:
    rows = [Row(f"run {side}", choice, 0.5, make_counts()) for choice in choices for side in range(sides)]
    return make_table("a title", rows, layout, ())


def make_trace(label: str) -> Trace:
    given, hits = np.array([40, 20, 0]), np.array([20, 15, 0])
    parts = np.stack([hits // 3, hits // 5])
    counts = CoverageCounts(np.array([0.0, 0.5, 0.9]), given, hits, parts, 100, 25, np.array([10, 15]))
    return Trace(label, counts, 0.5)


def test_each_choice_of_threshold_has_a_line_of_panels() -> None:
    table = make_rows(("oracle", "equal coverage"))
    figure = Figure()
    draw_seeds(figure, table, LAYOUT, (make_trace("run 0"), make_trace("run 1")))
    assert len(figure.axes) == 8
    assert figure_size_in(table) == (4 * PANEL_IN[0], 2 * PANEL_IN[1])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "threshold by oracle"
    assert titles[4] == "threshold by equal coverage"
    assert figure.axes[7].get_xlabel() == "body recall (%)"
    assert figure.get_suptitle() == "a title"


def test_the_parts_of_a_union_fill_the_bar() -> None:
    figure = Figure()
    draw_seeds(figure, make_rows(("as written",), sides=1), LAYOUT, ())
    errors, scores, sizes = figure.axes
    widths = [bar.get_width() for bar in errors.patches]
    assert sum(widths) == pytest.approx(100, abs=1e-3)
    assert widths == pytest.approx([26.09, 17.39, 6.52, 50.0], abs=0.01)
    assert [bar.get_height() for bar in scores.patches] == pytest.approx([57.14, 60, 100, 33.33, 12.5], abs=0.01)
    assert [bar.get_height() for bar in sizes.patches] == pytest.approx([25, 66.67], abs=0.01)


def test_a_trace_shows_recall_and_precision_and_a_dot_at_the_best_threshold() -> None:
    figure = Figure()
    draw_seeds(figure, make_rows(("oracle",)), LAYOUT, (make_trace("run 0"),))
    line, dot = figure.axes[3].lines
    np.testing.assert_allclose(line.get_xdata(), [80, 60, 0])
    np.testing.assert_allclose(line.get_ydata(), [50, 75, np.nan])
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (60, 75)


@pytest.mark.slow
def test_without_parts_no_panel_shows_them() -> None:
    plain = Layout(size_edges=(0.1,), part_names=())
    counts = make_counts()
    counts = type(counts)(counts.confusion, counts.boundaries, counts.sizes, counts.parts[:, :0])
    rows = [Row("a", choice, 0.5, counts) for choice in ("oracle", "equal coverage")]
    trace = make_trace("a")
    figure = Figure()
    draw_seeds(figure, make_table("t", rows, plain, ()), plain, (trace,))
    assert len(figure.axes[1].patches) == 3
    assert figure.axes[7].get_xlabel() == "recall (%)"
