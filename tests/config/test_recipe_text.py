import pytest

from weakseg.config.recipe_text import MAX_DIGITS, decode_recipe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [0.5, x, true, null]", {"a": 1, "b": [0.5, "x", True, None]}),
        ("a: 2020-01-02", {"a": "2020-01-02"}),  # a folder
        ("a: 2020-13-45", {"a": "2020-13-45"}),  # no date at all
        ("a: " + "9" * MAX_DIGITS, {"a": 10**MAX_DIGITS - 1}),
        ("", None),
    ],
)
def test_plain_values_are_decoded_and_dates_are_texts(text: str, value: object) -> None:
    assert decode_recipe(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "'a' is given twice .*line 2, column 1"),
        ("a: " + "1" * 5000, "a number that is too long .*line 1, column 4"),
        ("a: 0x" + "f" * 5000, "a number that is too long .*line 1, column 4"),
        ("a: !!int x", "invalid literal .*line 1, column 4"),
        ("a: !!float x", "could not convert string to float.*line 1, column 4"),
        ("a: !!timestamp 2020-13-45", "month must be in 1..12.*line 1, column 4"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("[" * 600 + "]" * 600, "nested too deeply"),
        ("a: [1", "expected ',' or ']'"),
    ],
    ids=lambda value: value[:20],
)
def test_whatever_is_wrong_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        decode_recipe(text)
    assert "\n" not in str(raised.value)
