from __future__ import annotations

import io
import math

from rich.console import Console

from weakseg.studies.table import Column, Table, column_numbers

TABLE = Table(
    title="RIB over [K]",
    columns=(
        Column("value", "K"),
        Column("mean_iou", "mIoU %", percent=True),
        Column("oracle_threshold", "oracle threshold", digits=2),
        Column("logit", "logit %", digits=0, percent=True, only_if_any=True),
        Column("area", "area %", digits=0, percent=True, only_if_any=True),
        Column("seconds_per_image", "s/image", digits=2, is_time=True),
    ),
    rows=(("CAM", 0.5, 0.125, None, None, 0.017), ("[1]", None, 0.3, 0.25, 0.0, 2.5)),
    notes=("one [note]",),
)


def printed(table: Table, *, width: int) -> str:
    stream = io.StringIO()
    table.print_to(Console(file=stream, width=width))
    return stream.getvalue()


def test_markdown_shows_percentages_rounded_numbers_and_dashes_and_leaves_out_columns_of_zeros() -> None:
    assert TABLE.to_markdown() == (
        "# RIB over [K]\n"
        "\n"
        "| K | mIoU % | oracle threshold | logit % | s/image |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| CAM | 50.0 | 0.12 | – | 0.02 |\n"
        "| [1] | – | 0.30 | 25 | 2.50 |\n"
        "\n"
        "- one [note]\n"
    )


def test_csv_holds_fractions_and_every_column_but_the_times() -> None:
    assert TABLE.to_csv(times=False) == (
        "value,mean_iou,oracle_threshold,logit,area\nCAM,0.5,0.125,,\n[1],,0.3,0.25,0.0\n"
    )


def test_times_have_a_csv_of_their_own_with_the_first_column() -> None:
    assert TABLE.to_csv(times=True) == "value,seconds_per_image\nCAM,0.017\n[1],2.5\n"


def test_records_name_every_cell() -> None:
    assert TABLE.to_records()[1] == {
        "value": "[1]",
        "mean_iou": None,
        "oracle_threshold": 0.3,
        "logit": 0.25,
        "area": 0.0,
        "seconds_per_image": 2.5,
    }


def test_a_column_is_found_by_its_name_and_its_gaps_become_nan() -> None:
    assert TABLE.column("oracle_threshold") == (0.125, 0.3)
    first, second = column_numbers(TABLE.column("mean_iou"))
    assert first == 0.5
    assert math.isnan(second)


def test_the_terminal_shows_brackets_as_they_are() -> None:
    text = printed(TABLE, width=100)
    assert "RIB over [K]" in text
    assert "[1]" in text
    assert "note: one [note]" in text


def test_a_terminal_that_is_too_narrow_gets_whole_words_all_the_same() -> None:
    text = printed(TABLE, width=20)
    assert "…" not in text
    assert all(word in text for word in ("mIoU", "oracle", "threshold", "logit", "s/image"))


def test_a_table_without_notes_ends_with_its_last_row() -> None:
    assert Table("t", (Column("value", "K"),), (("a",),), ()).to_markdown() == "# t\n\n| K |\n| --- |\n| a |\n"


def test_people_see_a_spread_behind_its_mean_and_programs_a_column_of_its_own() -> None:
    table = Table(
        "t",
        (
            Column("method", "method"),
            Column("map", "mAP %", percent=True, spread="map_sd"),
            Column("map_sd", "", percent=True, hidden=True),
        ),
        (("CAM", 0.5, 0.0123), ("RIB", 0.25, None)),
        (),
    )
    assert table.to_markdown() == "# t\n\n| method | mAP % |\n| --- | ---: |\n| CAM | 50.0 ± 1.2 |\n| RIB | 25.0 |\n"
    assert table.to_csv(times=False) == "method,map,map_sd\nCAM,0.5,0.0123\nRIB,0.25,\n"
    assert "50.0 ± 1.2" in printed(table, width=80)


def test_a_gain_that_rounds_to_nothing_has_no_sign() -> None:
    assert Column("gain", "gain", percent=True).show(-0.0004) == "0.0"
