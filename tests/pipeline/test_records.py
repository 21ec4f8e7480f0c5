import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import weakseg
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import StageRecord, describe_changes, digest_parts, read_records, write_records


def test_changes_are_told_by_name_in_order() -> None:
    old = {"b.x": 1, "a.y": [1, 2], "images and tags of val": "d1", "result of a": "f1", "same": 0}
    new = {"b.x": 2, "a.y": [1], "result of a": "f2", "same": 0, "c.new": None, "d.new": True}
    assert describe_changes(old, new) == (
        "a.y was [1, 2], is [1]; b.x was 1, is 2; d.new is new: True; images and tags of val changed; "
        "result of a changed"
    )


def test_records_come_back_from_json(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_records(folder) == {}
    record = StageRecord(finished=True, fingerprint="f", parts={"a.b": [0.1], "c": None}, time_s=12.34, summary="ok")
    write_records(folder, {"classify": record})
    assert read_records(folder) == {"classify": replace(record, time_s=12.3)}


def test_versions_are_written_beside_the_records(tmp_path: Path) -> None:
    write_records(RunFolder(tmp_path), {})
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["stages"] == {}
    assert document["versions"]["weakseg"] == weakseg.__version__
    assert document["versions"]["python"] == platform.python_version()


def test_a_fingerprint_is_the_same_on_every_machine() -> None:
    """A literal: if it changes, every run folder there is has to be made again."""
    assert digest_parts({"classifier.epochs": 5, "a": [0.1, None, "x"]}) == "05887e9c87b321ec54f27caa"


@pytest.mark.parametrize("other", [{"a": 2, "b": None}, {"a": 1}, {"a": 1, "b": 0}, {"a": "1", "b": None}])
def test_another_value_is_another_fingerprint(other: dict[str, object]) -> None:
    assert digest_parts(other) != digest_parts({"a": 1, "b": None})


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.none() | st.text(max_size=3), max_size=5))
def test_no_change_is_told_of_equal_parts_and_their_order_does_not_matter(parts: dict[str, object]) -> None:
    assert describe_changes(parts, dict(parts)) == ""
    assert digest_parts(dict(reversed(parts.items()))) == digest_parts(parts)
