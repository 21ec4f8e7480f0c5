from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from weakseg.data.export.names import escape, escape_controls, flat_name


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
