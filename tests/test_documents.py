import json

import pytest

from weakseg.documents import decode_json


def test_what_is_json_is_decoded() -> None:
    assert decode_json('{"a": [1, null, 2.5]}') == {"a": [1, None, 2.5]}
    assert decode_json(b'"\xc3\xa9"') == "é"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("1" * 5000, "a number in it has thousands of digits"),
        ("{", "Expecting property name"),
        (b"\xff\xfe\xff", "codec can't decode"),
    ],
    ids=["lists", "objects", "digits", "half", "bytes"],
)
def test_whatever_is_wrong_is_a_value_error(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_json(text)


def test_the_place_of_a_mistake_is_kept() -> None:
    with pytest.raises(json.JSONDecodeError, match="line 2 column 1"):
        decode_json("[1,\n}")
