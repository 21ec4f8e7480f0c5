from __future__ import annotations

import pytest

from weakseg.studies.spread import Measure, describe_spread, mean_and_spread
from weakseg.studies.table import Column

MAP = Measure(Column("map", "mAP %", percent=True))


def test_the_spread_is_the_sample_standard_deviation() -> None:
    assert mean_and_spread([0.1, 0.2, 0.6]) == (pytest.approx(0.3), pytest.approx(0.264575))
    assert mean_and_spread([0.4, 0.4]) == (0.4, 0.0)


def test_one_value_has_no_spread_and_an_undefined_one_leaves_no_mean() -> None:
    assert mean_and_spread([0.5]) == (0.5, None)
    assert mean_and_spread([0.5, None]) == (None, None)
    assert mean_and_spread([]) == (None, None)


def test_a_measure_has_a_mean_its_spread_and_every_seeds_own_value() -> None:
    columns = MAP.columns((0, 7))
    assert [column.name for column in columns] == ["map", "map_sd", "map_seed0", "map_seed7"]
    assert [column.hidden for column in columns] == [False, True, True, True]
    assert columns[0].spread == "map_sd"
    assert MAP.cells([{"map": 0.25}, {"map": 0.75}]) == (0.5, 0.353553, 0.25, 0.75)


def test_what_was_not_measured_is_missing() -> None:
    assert MAP.cells([{}, {"map": 0.75}]) == (None, None, None, 0.75)


def test_people_see_no_spread_where_it_does_not_matter() -> None:
    column = Measure(Column("updates", "updates"), has_spread=False).columns((0,))[0]
    assert column.spread is None


def test_times_are_means_alone() -> None:
    time = Measure(Column("crf_s", "crf s", is_time=True), has_spread=False)
    assert [column.name for column in time.columns((0, 1))] == ["crf_s"]
    assert time.cells([{"crf_s": 1.0}, {"crf_s": 2.0}]) == (1.5,)


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ((4,), "one seed, 4: no spread is known"),
        ((0, 1, 2), "mean ± sample standard deviation over n = 3 seeds (0, 1, 2)"),
    ],
)
def test_a_note_says_what_the_spread_is(seeds: tuple[int, ...], text: str) -> None:
    assert describe_spread(seeds) == text
