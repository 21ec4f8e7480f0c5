import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.json_stream import JsonStream

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    document=st.dictionaries(st.text(max_size=4), json_values, max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_every_value_and_its_bytes_are_found(
    document: dict[str, object], ascii_only: bool, indent: int | None, mark: str
) -> None:
    text = mark + json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    content = text.encode("utf-8", "surrogatepass")
    stream = JsonStream(content.decode("utf-8"))
    seen = {}
    for name in stream.members():
        if stream.at_list():
            placed = list(stream.items())
            seen[name] = [item.value for item in placed]
            assert [json.loads(content[p.start : p.start + p.length]) for p in placed] == seen[name]
        else:
            seen[name] = stream.value()
    assert seen == document


@pytest.mark.parametrize("text", ["[1]", "", '{"a" 1}', '{"a": 1', '{"a": [1 2]}', '{"a": 1,}', "{1: 2}", '{"a": x}'])
def test_broken_syntax_is_reported(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_through(text)


def read_through(text: str) -> None:
    stream = JsonStream(text)
    for _ in stream.members():
        if stream.at_list():
            list(stream.items())
        else:
            stream.value()


@pytest.mark.parametrize(
    ("value", "message"),
    [("[" * 100_000, "nested too deeply"), ("1" * 5000, "thousands of digits")],
    ids=["deep", "long"],
)
def test_values_that_python_refuses_are_mistakes_with_their_place(value: str, message: str) -> None:
    stream = JsonStream('{"a": ' + value + "}")
    next(stream.members())
    with pytest.raises(json.JSONDecodeError, match=f"{message}.*: line 1 column 7"):
        stream.value()
    stream = JsonStream('{"a": [1, ' + value + "]}")
    next(stream.members())
    with pytest.raises(json.JSONDecodeError, match=f"{message}.*: line 1 column 11"):
        list(stream.items())
