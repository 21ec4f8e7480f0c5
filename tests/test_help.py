"""What `--help` shows: two screens, the values of the recipe that is named, a section where one is asked for."""

import json
from pathlib import Path

import pytest

from weakseg.cli import STUDIES, VERBS, main
from weakseg.config.complaints import field_types
from weakseg.config.load import build_config, read_recipe
from weakseg.config.own_recipes import list_recipes
from weakseg.help.layout import two_columns, wrap_usage
from weakseg.help.pages import show_value
from weakseg.help.sections import section_classes, settings_in
from weakseg.help.short_list import short_settings

TWO_SCREENS, COLUMNS = 100, 100
"""Lines, and columns of each."""


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(words)
    told = capsys.readouterr()
    assert told.out == ""
    return code, told.err


@pytest.mark.parametrize(
    "words", [(), *((verb,) for verb in sorted(VERBS))] + [("study", name) for name in sorted(STUDIES)]
)
def test_the_help_of_every_verb_fits_two_screens(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns, lines in (("200", TWO_SCREENS), ("80", TWO_SCREENS), ("40", 2 * TWO_SCREENS)):
        monkeypatch.setenv("COLUMNS", columns)
        shown = ask(capsys, *words, "--help").splitlines()
        assert len(shown) <= lines
        assert max(map(len, shown)) <= min(COLUMNS, int(columns))


@pytest.mark.parametrize("name", ["demo", "folder", "rib_coco"])
def test_the_short_help_shows_the_values_of_the_recipe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown, config = ask(capsys, "run", name, "--help"), build_config(read_recipe(name))
    assert len(shown.splitlines()) <= TWO_SCREENS
    for value in (
        f"--classifier.name {config.classifier.name} ",
        f"--classifier.epochs {config.classifier.epochs} ",
        f"--localize.method {config.localize.method} ",
        f"--refine.background_threshold {config.refine.background_threshold} ",
        f"--evaluate.flip {json.dumps(config.evaluate.flip)} ",
    ):
        assert f"  {value}" in shown


def test_words_of_the_command_go_before_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(capsys, "run", "demo", "--classifier.epochs", "7", "--data.root=my photos", "--out", "x", "-h")
    assert "--classifier.epochs 7 " in shown
    assert "--data.root my photos " in shown


def test_without_a_recipe_no_values_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(capsys, "run", "--help")
    assert "  --classifier.epochs   " in shown
    assert "name a recipe before --help" in shown
    assert all(name in shown for name in list_recipes())


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_folder_of_photographs_shows_the_values_it_stands_for(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    shown = ask(capsys, verb, "photos", "--help")
    assert "with the values of photos:" in shown
    assert "--data.name folder " in shown
    assert "--data.root photos " in shown
    assert ask(capsys, verb, "--help", "photos") == shown


@pytest.mark.parametrize("section", sorted(section_classes()))
def test_every_section_can_be_seen_and_fits_two_screens(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(capsys, "run", "demo", "--help", section)
    assert len(shown.splitlines()) <= TWO_SCREENS
    assert all(f"\n  --{path} " in shown for path in settings_in(section, nested=section.count(".") > 0))
    below = [path for path in section_classes() if path.rpartition(".")[0] == section]
    assert all(f"\n  {path} " in shown or f"--{path}." in shown for path in below)
    assert "None" not in shown


def test_a_section_says_value_meaning_type_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(capsys, "run", "folder", "--help=localize.rib")
    assert shown.startswith("localize.rib: the maps of a classifier that is adapted to each image")
    assert (
        "  --localize.rib.iterations 6\n"
        "      Maps that are summed; between each two lies an update. (a whole number, at least 1)\n"
    ) in shown
    assert ask(capsys, "run", "folder", "-h", "localize.rib") == shown
    assert ask(capsys, "run", "--help", "localize.rib", "folder") == shown


def test_a_setting_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "demo", "--help", "classifier.epochs") == (
        "  --classifier.epochs 13\n      Passes over the training split. (a whole number, at least 1)\n"
    )


@pytest.mark.slow
def test_all_shows_every_setting_with_the_values_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(ask(capsys, "run", "demo", "--segmenter.epochs=99", "--help", "all").split())
    assert all(f"--{path} " in shown for path in field_types())
    assert "(type: int, default: 13)" in shown
    assert "(type: int, default: 99)" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--help", "localize.ribb"), 2, "--help: there is no section 'localize.ribb'; did you mean 'localize.rib'?"),
        (("folder", "--help", "rib"), 2, "--help: there is no section 'rib'; did you mean 'localize.rib'?"),
        (("folder", "--help=classifer"), 2, "--help: there is no section 'classifer'; did you mean 'classifier'?"),
        (("folder", "--help", "alll"), 2, "--help: there is no section 'alll'; did you mean 'all'?"),
        (("dmo", "--help"), 1, "did you mean 'demo'?"),
        (
            ("demo", "--classifier.epoch", "3", "--help"),
            1,
            "no such setting (got 3); did you mean 'classifier.epochs'?",
        ),
        (("demo", "--classifier.epochs", "--help"), 2, "argument --classifier.epochs: expected one argument"),
        (("--hlep",), 2, "unknown argument '--hlep'; did you mean '--help'?"),
    ],
)
def test_a_mistake_around_help_is_one_line(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, told = complaint(capsys, "run", *words)
    assert (ended, len(told.splitlines())) == (code, 1)
    assert message in told


@pytest.mark.parametrize("words", [("run", "zzzzz"), ("run", "zzzzz", "--help"), ("check", "zzzzz")])
def test_an_unknown_recipe_lists_all_in_a_line_each(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = complaint(capsys, *words)
    *lines, last = told.splitlines()
    assert code == 1
    assert tuple(line.split()[0] for line in lines) == list_recipes()
    assert max(map(len, lines)) <= COLUMNS
    assert last.startswith("weakseg: recipe 'zzzzz': expected one of those above")


def test_run_alone_names_three_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    told = capsys.readouterr()
    commands = [line.split("  ")[1] for line in told.out.splitlines() if line]
    assert commands == ["weakseg demo --quick", "weakseg check PHOTOS", "weakseg run PHOTOS"]
    assert "required: recipe" in told.err


def test_the_short_list_names_settings_that_exist() -> None:
    assert set(short_settings("run")) <= set(field_types())
    assert {path.split(".")[0] for path in short_settings("run")} == {
        "data", "classifier", "localize", "refine", "segmenter", "evaluate", "report", "runtime",
    }  # fmt: skip
    assert all(short_settings(verb) for verb in (*VERBS, "study rib"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (3e-5, "3e-05"),
        ((1.0, 0.5), "[1.0, 0.5]"),
        (("train", "val"), "[train, val]"),
        ((), "[]"),
        ("my photos", "my photos"),
        ("", '""'),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_values_are_shown_as_they_are_written(value: object, shown: str) -> None:
    assert show_value(value) == shown


def test_a_long_name_has_a_line_of_its_own() -> None:
    rows = [("--a 1", "short"), ("--" + 40 * "b", "text of the long one")]
    assert two_columns(rows, 70) == [
        "  --a 1  short",
        f"  --{40 * 'b'}",
        "         text of the long one",
    ]
    assert two_columns(rows[:1], 40) == ["  --a 1", "      short"]


def test_a_usage_is_not_broken_within_brackets() -> None:
    assert wrap_usage("weakseg run RECIPE [--out RUN] [--redo STAGE]", 36) == [
        "usage: weakseg run RECIPE",
        "         [--out RUN] [--redo STAGE]",
    ]
