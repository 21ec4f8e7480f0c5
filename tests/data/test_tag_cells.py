import pytest

from weakseg.data.tag_cells import part_cells
from weakseg.errors import DataError


def part(*cells: str, separator: str | None = None, known: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return list(part_cells(cells, source="tags.csv", separator=separator, known=known).tokens.values())


@pytest.mark.parametrize(
    ("cells", "tags"),
    [
        (["cat;dog", " cat | dog "], [("cat", "dog"), ("cat", "dog")]),
        (["?cat;dog"], [("?cat", "dog")]),
        (["cat/?dog", "cat", "dog"], [("cat", "?dog"), ("cat",), ("dog",)]),
        # a slash parts where one part is a tag of its own
        (["cat/dog", "cat"], [("cat", "dog"), ("cat",)]),
        # names that only look like several
        (["hot dog", "dog"], [("hot dog",), ("dog",)]),
        (["fox, red"], [("fox, red",)]),
        (["R&B", "c#"], [("R&B",), ("c#",)]),
        (["n/a", "a"], [("n/a",), ("a",)]),
        (["dog (small)"], [("dog (small)",)]),
        ([""], [()]),
    ],
)
def test_cells_are_parted(cells: list[str], tags: list[tuple[str, ...]]) -> None:
    assert part(*cells) == tags


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["cat dog", "cat", "dog"], " "),
        (["cat, dog", "dog"], ","),
        (["cat/dog", "cat/fox"], "/"),
        (["cat+dog", "dog"], "[+]"),
    ],
)
def test_what_cannot_be_told_apart_names_the_setting(cells: list[str], mark: str) -> None:
    expected = rf"tags\.csv: the tag '.*' looks like several \('cat' and '.*'\): --data\.tag_separator '{mark}' parts"
    with pytest.raises(DataError, match=expected):
        part(*cells)


def test_the_setting_parts_or_keeps() -> None:
    assert part("cat dog", "cat", "dog", separator=" ") == [("cat", "dog"), ("cat",), ("dog",)]
    assert part("cat dog", "cat", "dog", separator=";") == [("cat dog",), ("cat",), ("dog",)]
    assert part("cat/dog", "cat|x", separator="/") == [("cat", "dog"), ("cat|x",)]


@pytest.mark.parametrize(
    ("cells", "separator", "warned"),
    [
        (["cat dog", "cat"], "|", True),
        (["cat dog", "cat"], "space", True),
        (["cat", "dog"], " ", True),
        (["cat|dog", "cat"], "|", False),
        (["cat\tdog"], " ", False),
        (["", " "], "|", False),
        (["cat dog", "cat"], ";", False),  # the advice for keeping names as one
    ],
)
def test_a_separator_that_occurs_in_no_cell_is_told(cells: list[str], separator: str, warned: bool) -> None:
    problems = part_cells(cells, source="tags.csv", separator=separator).problems
    assert [(p.severity, p.kind, p.where) for p in problems] == [("warning", "unused-separator", "tags.csv")] * warned
    assert all(
        p.message.startswith(f"data.tag_separator '{separator}' occurs in no cell of tags, such as '{cells[0]}', so")
        for p in problems
    )


def test_a_list_of_classes_tells_what_is_one_tag() -> None:
    known = ("cat", "dog", "cat/dog", "polar bear", "bear")
    assert part("cat dog", "cat/dog", "polar bear", "bear", known=known) == [
        ("cat", "dog"),
        ("cat/dog",),
        ("polar bear",),
        ("bear",),
    ]


@pytest.mark.parametrize("cells", [["tv/monitor"], ["clear primary", "haze primary", "clear water", "haze water"]])
def test_names_that_may_be_several_are_told(cells: list[str]) -> None:
    problems = part_cells(cells, source="tags.csv").problems
    assert [problem.kind for problem in problems] == ["several-in-one"] * len(cells)
    assert "--data.tag_separator" in problems[0].message


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("cat\uff1bdog", ("cat", "dog")),
        ("cat\uff0cdog", ("cat", "dog")),
        ("cat\u3001dog", ("cat", "dog")),
        ("{cat,dog}", ("cat", "dog")),
        ("{}", ()),
        ("['cat'; 'dog']", ("cat", "dog")),
        ("[cat; dog]", ("cat", "dog")),
        ("(cat, dog)", ("cat", "dog")),
        ("(cat,dog)", ("cat", "dog")),
        ("(cat)", ("cat",)),
        ("('cat')", ("cat",)),
        ("()", ()),
        ('{"cat": 1, "dog": 0}', ("cat",)),
        ('{"choices": ["cat", "dog"]}', ("cat", "dog")),
    ],
)
def test_other_tools_ways_of_writing_several_tags_are_read(cell: str, tags: tuple[str, ...]) -> None:
    assert part_cells([cell, "cat", "dog"], source="tags.csv").tokens[cell] == tags


@pytest.mark.parametrize("cell", ["cat (wild)", "(wild) cat", "(wild) cat (small)", "(cat", "(a: b)"])
def test_a_name_with_a_parenthesis_is_no_list(cell: str) -> None:
    assert part(cell) == [(cell,)]


def test_a_listed_name_in_parentheses_stays_as_it_is() -> None:
    assert part("(cat)", "(cat, dog)", known=("(cat)", "cat", "dog")) == [("(cat)",), ("cat", "dog")]


@pytest.mark.parametrize("mark", ["\\", ":", "~", " and ", "-", "_", ".", " ", "\u00a0"])
def test_a_mark_that_names_hold_too_is_a_doubt_unless_a_list_fixes_the_names(mark: str) -> None:
    cell = f"cat{mark}dog"
    with pytest.raises(DataError, match=r"looks like several \('cat' and 'dog'\): --data.tag_separator"):
        part_cells([cell, "cat", "dog"], source="tags.csv")
    assert part_cells([cell, "cat"], source="tags.csv", known=("cat", "dog")).tokens[cell] == ("cat", "dog")
    assert part_cells([cell], source="tags.csv", known=(cell, "cat", "dog")).tokens[cell] == (cell,)


def test_half_a_doubt_is_a_warning() -> None:
    found = part_cells(["cat", "cat sofa"], source="tags.csv")
    assert found.tokens["cat sofa"] == ("cat sofa",)
    assert [problem.kind for problem in found.problems] == ["several-in-one"]
