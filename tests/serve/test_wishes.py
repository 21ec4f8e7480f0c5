import pytest

from weakseg.serve.wishes import NotAcceptable, Wish, parse_wish


@pytest.mark.parametrize(
    ("accept", "output"),
    [
        (None, "mask"),
        ("", "mask"),
        ("*/*", "mask"),
        ("image/*", "mask"),
        ("image/png", "mask"),
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/json, */*", "mask"),  # both are liked alike
        ("application/json, */*;q=0.5", "json"),
        ("image/png;q=0.2, application/*;q=0.3", "json"),
        ("image/png;q=0, */*", "json"),
        ("image/png;q=high, application/json;q=0.1", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "mask"),
    ],
)
def test_accept_chooses_between_mask_and_json(accept: str | None, output: str) -> None:
    assert parse_wish((), accept) == Wish(output)


@pytest.mark.parametrize("accept", ["text/html", "image/jpeg", "image/png;q=0, application/json;q=0"])
def test_what_cannot_be_taken_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="expected image/png or application/json"):
        parse_wish((), accept)


def test_the_query_goes_before_the_header() -> None:
    wish = parse_wish([("output", "overlay"), ("tags", "fire engine;dog")], "application/json")
    assert wish == Wish("overlay", ("fire engine", "dog"))
