from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import weakseg
from tests.pipeline.test_lock import held_by_another
from weakseg.errors import ArtifactError, ConfigError, UsageError
from weakseg.files import JsonValue
from weakseg.pipeline.lock import LOCK_NAME
from weakseg.studies.folder import (
    Study,
    StudyFolder,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
    flatten_settings,
    print_study,
)
from weakseg.studies.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = Table("a title", (Column("value", "K"), Column("time_s", "s", is_time=True)), (("1", 2.0),), ("a note",))


def make_plan(settings: Mapping[str, JsonValue] | None = None) -> StudyPlan:
    return StudyPlan("toy", 1, "weakseg study toy", 3, settings or {"over": "K", "scales": [1.0, 0.5]}, {"data": {}})


def draw(figure: Figure) -> None:
    figure.subplots().plot([0, 1], [1, 0])


def make_study(folder: StudyFolder, plan: StudyPlan | None = None) -> Study:
    plan = plan or make_plan()
    begin_study(folder, plan, redo=False)
    (folder.results / "cam").mkdir(parents=True, exist_ok=True)
    (folder.results / "cam" / "a.json").write_text("{}")
    return finish_study(folder, plan, TABLE, draw=draw, size_in=(2.0, 1.0))


def test_a_study_writes_table_csv_times_figure_and_record(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    study = make_study(folder)
    assert study == Study(folder, TABLE)
    assert {path.name for path in folder.root.iterdir()} == {path.name for path in folder.outputs}
    assert folder.table.read_text() == TABLE.to_markdown()
    assert folder.csv.read_text() == "value\n1\n"
    assert folder.times.read_text() == "value,time_s\n1,2.0\n"
    assert np.asarray(Image.open(folder.figure)).shape[:2] == (110, 220)


def test_a_second_table_goes_into_a_csv_and_the_record_and_redo_removes_it(tmp_path: Path) -> None:
    folder, plan = StudyFolder(tmp_path / "toy"), make_plan()
    begin_study(folder, plan, redo=False)
    finish_study(folder, plan, TABLE, draw=draw, size_in=(2.0, 1.0), details=TABLE)
    assert folder.details.read_text() == "value\n1\n"
    assert json.loads(folder.record.read_text())["numbers"]["details"] == TABLE.to_records()
    begin_study(folder, plan, redo=True)
    assert not folder.details.exists()


def test_the_record_says_how_the_study_was_made(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    record = json.loads(folder.record.read_text())
    versions = record.pop("versions")
    assert (versions["weakseg"], versions["torch"]) == (weakseg.__version__, torch.__version__)
    assert record == {
        "study": "toy",
        "command": "weakseg study toy",
        "seed": 3,
        "settings": {"version of the study 'toy'": 1, "over": "K", "scales": [1.0, 0.5]},
        "recipe": {"data": {}},
        "finished": True,
        "numbers": {"title": "a title", "rows": [{"value": "1", "time_s": 2.0}], "notes": ["a note"]},
    }


def test_a_study_that_has_begun_is_not_recorded_as_finished(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    begin_study(folder, make_plan(), redo=False)
    assert json.loads(folder.record.read_text())["finished"] is False


def test_a_table_of_what_there_is_so_far_is_not_recorded_as_finished(tmp_path: Path) -> None:
    folder, plan = StudyFolder(tmp_path / "toy"), make_plan()
    begin_study(folder, plan, redo=False)
    finish_study(folder, plan, TABLE, draw=draw, size_in=(2.0, 1.0), goes_on=True)
    assert folder.table.read_text() == TABLE.to_markdown()
    assert json.loads(folder.record.read_text())["finished"] is False
    finish_study(folder, plan, TABLE, draw=draw, size_in=(2.0, 1.0))
    assert json.loads(folder.record.read_text())["finished"] is True


def test_equal_studies_are_equal_to_the_byte_but_for_times(tmp_path: Path) -> None:
    first, second = StudyFolder(tmp_path / "first"), StudyFolder(tmp_path / "second")
    make_study(first)
    make_study(second)
    for one, other in ((first.csv, second.csv), (first.figure, second.figure), (first.table, second.table)):
        assert one.read_bytes() == other.read_bytes()


def test_the_same_settings_go_on_with_what_is_there(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    (folder.root / f".{folder.csv.name}.1.partial").write_text("half")
    begin_study(folder, make_plan(), redo=False)
    assert (folder.results / "cam" / "a.json").exists()
    assert not list(folder.root.glob(".*.partial"))


def test_other_settings_are_refused_by_name_and_change_nothing(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    before = folder.record.read_bytes()
    with pytest.raises(ConfigError, match=r"other settings: over was K, is lr; add --redo .* another --name"):
        begin_study(folder, make_plan({"over": "lr", "scales": [1.0, 0.5]}), redo=False)
    assert folder.record.read_bytes() == before


def test_a_setting_that_an_older_version_did_not_know_is_off_where_it_is_null(tmp_path: Path) -> None:
    folder, known = StudyFolder(tmp_path / "toy"), {"over": "K", "scales": [1.0, 0.5]}
    make_study(folder)
    with pytest.raises(ConfigError, match=r"was made with other settings: unknown is new: 3; add --redo"):
        begin_study(folder, make_plan({**known, "unknown": 3}), redo=False)
    begin_study(folder, make_plan({**known, "unknown": None}), redo=False)
    assert (folder.results / "cam" / "a.json").exists()


def test_a_new_version_of_the_study_is_another_setting(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    with pytest.raises(ConfigError, match="version of the study 'toy' was 1, is 2"):
        begin_study(folder, replace(make_plan(), version=2), redo=False)


def test_redo_removes_the_study_and_nothing_else(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    (folder.root / "mine.txt").write_text("kept")
    begin_study(folder, make_plan({"over": "lr"}), redo=True)
    assert sorted(path.name for path in folder.root.iterdir()) == [LOCK_NAME, "mine.txt", "study.json"]
    assert json.loads(folder.record.read_text())["settings"]["over"] == "lr"


def test_a_study_that_another_process_works_at_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "toy")
    make_study(folder)
    before = folder.record.read_bytes()
    with held_by_another(folder.root), pytest.raises(ArtifactError, match="in use by process 77 of ana on box since"):
        begin_study(folder, make_plan(), redo=True)
    assert folder.record.read_bytes() == before


def test_files_of_nobody_known_are_left_alone_even_by_redo(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.results.mkdir()
    with pytest.raises(ArtifactError, match=r"results exists, but no study is known to have written it"):
        begin_study(folder, make_plan(), redo=True)
    assert folder.results.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": 3}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    folder = StudyFolder(tmp_path)
    folder.record.write_text(content)
    with pytest.raises(ArtifactError, match=r"study\.json is damaged"):
        begin_study(folder, make_plan(), redo=False)


def test_a_study_lies_in_its_run_under_its_usual_name_or_another(tmp_path: Path) -> None:
    request = StudyRequest(tmp_path)
    assert find_study_folder(request, default_name="toy").root == tmp_path / "studies" / "toy"
    assert find_study_folder(replace(request, name="b"), default_name="toy").root == tmp_path / "studies" / "b"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--name: expected the plain name of a folder"):
        find_study_folder(StudyRequest(tmp_path, name=name), default_name="toy")


def test_nested_settings_get_dotted_names() -> None:
    assert flatten_settings("a", {"b": 1, "c": {"d": [2, 3]}}) == {"a.b": 1, "a.c.d": [2, 3]}


def test_a_printed_study_ends_with_the_places_of_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = StudyFolder(tmp_path / "toy")
    print_study(Study(folder, TABLE))
    lines = capsys.readouterr().out.splitlines()
    assert "a title" in lines[0]
    assert lines[-3:] == ["note: a note", f"table:  {folder.table}", f"figure: {folder.figure}"]


def test_another_process_than_the_first_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    print_study(Study(StudyFolder(tmp_path), TABLE))
    assert capsys.readouterr().out == ""
