import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.errors import ConfigError
from weakseg.spelling import MAX_LISTED, closest, nearest, require_option


def test_a_close_name_is_suggested() -> None:
    assert nearest("refin", ["classify", "refine", "segment"]) == "did you mean 'refine'?"


def test_case_does_not_count_but_the_name_itself_comes_first() -> None:
    assert closest("IMAGENET", ["none", "imagenet"]) == "imagenet"
    assert closest("cat", ["Cat", "cat", "CAT"]) == "cat"
    assert closest("photos", ["none", "imagenet"]) is None


def test_names_are_listed_in_order_when_none_is_close() -> None:
    assert nearest("xyz", ["segment", "classify", "refine"]) == "valid: classify, refine, segment"


def test_a_long_list_is_cut_with_its_length() -> None:
    names = [f"option_{index:02d}" for index in range(MAX_LISTED + 1)]
    assert nearest("zzzz", names[:-1]) == f"valid: {', '.join(names[:-1])}"
    assert nearest("zzzz", names) == f"valid: {', '.join(names[:-1])}, ... (13 in all)"


def test_a_generator_of_names_will_do() -> None:
    assert nearest("cta", (name for name in ("cat", "dog"))) == "did you mean 'cat'?"


def test_an_option_must_be_one_of_those_given() -> None:
    require_option("poly", ("poly", "one_cycle"), what="optim.schedule")
    with pytest.raises(ConfigError, match=r"^optim\.schedule: expected one of one_cycle, poly, got 'polly'$"):
        require_option("polly", (name for name in ("poly", "one_cycle")), what="optim.schedule")


@pytest.mark.slow
@given(st.sets(st.text(st.characters(categories=["Ll"]), min_size=3, max_size=12), min_size=1), st.data())
def test_a_valid_name_is_its_own_nearest(names: set[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(names)))
    assert nearest(name, names) == f"did you mean '{name}'?"
