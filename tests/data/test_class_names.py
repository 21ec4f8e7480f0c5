import pytest

from weakseg.data.class_names import check_class_names
from weakseg.errors import DataError


@pytest.mark.parametrize("name", ["cat", "dog (small)", "cell's", "c++", "R&B", "T-shirt", "Apfel, rot", "7", "\u72ac"])
def test_ordinary_names_pass(name: str) -> None:
    assert check_class_names([name], source="tags.csv") == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("['cat'", "holds a bracket"),
        ("cat (", "holds a bracket"),
        ("<cat>", "holds a bracket"),
        ("'cat'", "begins or ends with a quotation mark"),
        ("cat\u201d", "begins or ends with a quotation mark"),
        ("nan", "looks like an empty cell"),
        ("None", "looks like an empty cell"),
        ("N/A", "looks like an empty cell"),
        ("cat\u200b", r"cat\u200b holds a character that cannot be seen"),
        ("\ufeffcat", "holds a character that cannot be seen"),
    ],
)
def test_slips_are_told(name: str, why: str) -> None:
    (problem,) = check_class_names([name, "dog"], source="tags.csv")
    assert (problem.severity, problem.kind) == ("warning", "odd-class-name")
    assert why in problem.message


@pytest.mark.parametrize("name", ["cat\nb.jpg,dog", "cat\tdog", "cat\x00"])
def test_a_name_holds_one_line_without_control_characters(name: str) -> None:
    with pytest.raises(DataError, match=r"tags\.csv: a class name holds one line"):
        check_class_names([name], source="tags.csv")


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("polar bear", "polar_bear"), ("a  b", "a b"), ("\uff21", "a")],
)
def test_spellings_that_differ_only_by_case_or_form_are_pointed_out(names: tuple[str, ...]) -> None:
    (problem,) = check_class_names((*names, "dog"), source="tags.csv")
    assert problem.kind == "similar-tags"
    assert problem.message.startswith(f"{names[0]}, {names[1]}: these are different classes")
