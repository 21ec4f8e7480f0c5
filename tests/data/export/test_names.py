from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import escape, escape_controls, flat_name, flat_names, list_renamed


def test_folders_are_flattened_and_other_names_stay_readable() -> None:
    assert flat_name("home/garden/photo 01") == "home%2Fgarden%2Fphoto 01"
    assert flat_name("2007_000032") == "2007_000032"
    assert flat_name("ünï.コ-(1), a+b") == "ünï.コ-(1), a+b"


def test_a_percent_sign_is_encoded_so_that_two_ids_never_share_a_name() -> None:
    assert flat_name("a/b") != flat_name("a%2Fb") == "a%252Fb"


def test_only_the_asked_characters_are_encoded() -> None:
    assert escape("a:b%c]d", ":]") == "a%3Ab%25c%5Dd"
    assert escape("a:b%c", "") == "a:b%25c"
    assert escape_controls("a\nb\tc: d") == "a%0Ab%09c: d"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_names_are_restored_by_the_standard_library(text: str) -> None:
    name = flat_name(text)
    assert unquote(name) == text
    assert not set(name) & set('/\\:*?"<>|\n\0')
    assert unquote(escape_controls(text, ":#")) == text


@pytest.mark.parametrize(
    ("sample_id", "name"),
    [
        ("con", "%63on"),
        ("LPT1.x", "%4CPT1.x"),
        ("caf\udce9", "caf%E9"),
        ("..", "%2E."),
        ("a/con", "a%2Fcon"),
    ],
)
def test_names_that_a_file_system_refuses_are_encoded(sample_id: str, name: str) -> None:
    assert flat_name(sample_id) == name
    assert unquote(name, errors="surrogateescape") == sample_id


@pytest.mark.parametrize("sample_id", ["я/" * 200, "a" * 241, "?" * 100])
def test_long_names_are_cut_and_stay_apart(sample_id: str) -> None:
    names = flat_names([sample_id, sample_id + "b"])
    assert all(len(name.encode()) <= 240 for name in names.values())
    assert all(unquote(name[:-13]) in sample_id for name in names.values()), "nothing is cut in two"
    assert len(set(names.values())) == 2


def test_names_that_some_systems_take_for_one_are_told_apart() -> None:
    names = flat_names(["Cat", "cat", "f\u00fcr", "fu\u0308r"])
    assert names["Cat"] == "Cat"
    assert names["cat"].startswith("cat~")
    assert names["fu\u0308r"].startswith("fu\u0308r~")


def test_a_flat_name_is_never_the_id_of_another_image() -> None:
    names = flat_names(["a/b", "a%2Fb"])
    assert names["a/b"].startswith("a%2Fb~")
    assert names["a%2Fb"] == "a%252Fb"


def test_a_table_tells_which_image_a_renamed_file_is_of(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "out", format="voc")
    assert list_renamed(flat_names(["a/b", "100%"]), folder) == []
    (note,) = list_renamed(flat_names(["=a", "x" * 300]), folder)
    assert note.startswith("1 image has a shortened or marked name")
    rows = (tmp_path / "out" / "names.csv").read_text().splitlines()
    assert rows[0] == "file,id"
    assert rows[1].endswith("," + "x" * 300)
