"""Every method has a card in docs/methods/ that says what the code says; where not, the line to write is told."""

import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType

import pytest

from weakseg.config.bounds import Range, walk_limits
from weakseg.config.paths import KNOWN_WORDS, NETWORKS, model_settings, path_settings
from weakseg.config.ranges import PAIRS, setting_ranges
from weakseg.config.schema import RunConfig
from weakseg.config.sections.classifier import CDAConfig, ClassifierConfig, SEAMConfig
from weakseg.config.sections.training import AugmentConfig, OptimConfig
from weakseg.registry import LOCALIZERS, REFINERS

DOCS = Path(__file__).parent.parent / "docs"
CARDS = DOCS / "methods"
INDEX = DOCS / "methods.md"

HEADINGS = ("What it does", "Settings", "Measured", "Cost", "When not to use it")
MOST_LINES = 70

HEAD = ("| setting | default | bounds | from |", "| --- | --- | --- | --- |")
NONE_OF_ITS_OWN = "None of its own."
SHARED = {AugmentConfig: "augmentation", OptimConfig: "optimiser"}
"""Sections that every training has; one card shows them, the others point to it unless their defaults differ."""
SHARED_IN = "classify_plain.md"

ON_OTHER_CARDS = ("classifier.method", "classifier.seam", "classifier.cda")

TO_FILL_IN = "where the default comes from"


@dataclass(frozen=True)
class Expected:
    """What the code says of a method.

    Args:
        stem: Name of its card.
        prefix: Dotted path of its section.
        settings: Its dataclass.
        lines: Lines that its card must have.
    """

    stem: str
    prefix: str
    settings: type
    lines: tuple[str, ...] = ()


def expected_cards() -> Iterator[Expected]:
    for stage, registry in (("localize", LOCALIZERS), ("refine", REFINERS)):
        for name in filter(registry.is_own, registry.names()):
            facts = registry.load(name)
            lines = (f"- **Source**: {facts.source}", f"- **Licence of the code**: {facts.licence}")
            yield Expected(f"{stage}_{name}", f"{stage}.{name}.", facts.settings, lines)
    yield Expected("classify_plain", "classifier.", ClassifierConfig)
    yield Expected("classify_seam", "classifier.seam.", SEAMConfig)
    yield Expected("classify_cda", "classifier.cda.", CDAConfig)


EXPECTED = {expected.stem: expected for expected in expected_cards()}
EACH = pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED)


def test_every_method_has_a_card_and_every_card_a_method() -> None:
    cards = {path.stem for path in CARDS.iterdir()}
    missing = [
        "\n".join((f"write docs/methods/{stem}.md, with the lines", *expected.lines, *settings_table(expected)))
        for stem, expected in EXPECTED.items()
        if stem not in cards
    ]
    tell([*missing, *(f"remove docs/methods/{stem}.md, a card of no method" for stem in sorted(cards - set(EXPECTED)))])


def test_every_way_to_train_a_classifier_has_a_card() -> None:
    methods = typing.get_args(typing.get_type_hints(ClassifierConfig)["method"])
    assert {f"classify_{method}" for method in (*methods, "cda")} == {
        stem for stem in EXPECTED if stem.startswith("classify_")
    }


@EACH
def test_it_says_what_the_code_says(expected: Expected) -> None:
    card, lines = f"docs/methods/{expected.stem}.md", read_card(expected.stem).splitlines()
    facts = [f"write the line\n{line}" for line in expected.lines if line not in lines]
    tell([f"{card}: {wrong}" for wrong in (*facts, *compare_table(lines, expected))])


@EACH
def test_it_is_a_card(expected: Expected) -> None:
    card, text = f"docs/methods/{expected.stem}.md", read_card(expected.stem)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    wrong = [f"write the heading\n## {heading}" for heading in HEADINGS if heading not in headings]
    wrong += [f"remove the heading ## {heading}" for heading in headings if heading not in HEADINGS]
    if "\n- **Paper**: " not in text:
        wrong.append("write the line\n- **Paper**: authors, title, where, year; none if there is none")
    if text.count("\n") > MOST_LINES:
        wrong.append(f"leave at most {MOST_LINES} lines; the rest belongs on the page it links to")
    tell([f"{card}: {line}" for line in wrong])


def test_the_index_has_a_line_for_every_card() -> None:
    text = INDEX.read_text(encoding="utf-8")
    tell(
        [
            f"docs/methods.md: write a row, | [{stem}](methods/{stem}.md) | when to use it |"
            for stem in EXPECTED
            if f"](methods/{stem}.md) | " not in text
        ]
    )


@pytest.mark.parametrize("page", [INDEX, *sorted(CARDS.glob("*.md"))], ids=lambda page: page.stem)
def test_its_links_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.is_file(), f"{page.name}: no file {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target} has no heading #{anchor}"


def test_a_wrong_table_is_told_with_the_rows_to_write() -> None:
    expected = Expected("classify_seam", "classifier.seam.", SEAMConfig)
    table = "\n".join(settings_table(expected))
    filled = table.replace(TO_FILL_IN, "paper")
    row = "write the row\n| `shrink` | 0.3 | within 0.05..0.95 | where the default comes from |"
    for text, told in (
        (filled, []),
        (filled.replace("0.3", "0.4"), [row]),
        (filled.replace("0.95", "0.9"), [row]),
        (filled.replace("shrink", "shrunk"), [row, "remove the row of `shrunk`"]),
        (f"{filled}\n\n| other | table |", []),
    ):
        assert compare_table(text.splitlines(), expected) == told
    assert compare_table(table.splitlines(), expected)[0] == "say where the default of `shrink` comes from"
    assert compare_table([], expected) == [f"write the table\n{table}"]
    assert compare_table([], EXPECTED["localize_cam"]) == ["write the line\nNone of its own."]


def tell(wrong: Sequence[str]) -> None:
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def read_card(stem: str) -> str:
    path = CARDS / f"{stem}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def compare_table(lines: Sequence[str], expected: Expected) -> list[str]:
    """Say what is to be changed in the table of a card; where defaults come from is for people to say."""
    rows = settings_table(expected)
    if not rows:
        return [] if NONE_OF_ITS_OWN in lines else [f"write the line\n{NONE_OF_ITS_OWN}"]
    if HEAD[0] not in lines:
        return ["\n".join(("write the table", *rows))]
    below = lines[lines.index(HEAD[0]) + len(HEAD) :]
    written = {cells(row)[0]: cells(row)[1:] for row in takewhile(lambda line: line.startswith("|"), below)}
    wrong = []
    for row in rows[len(HEAD) :]:
        name, *said = cells(row)[:-1]
        own = written.pop(name, [])
        if own[: len(said)] != said:
            wrong.append(f"write the row\n{row}")
        elif own[len(said) :] in ([], [""], [TO_FILL_IN]):
            wrong.append(f"say where the default of {name} comes from")
    return [*wrong, *(f"remove the row of {name}" for name in written)]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def settings_table(expected: Expected) -> list[str]:
    """Make the table of a card, its last column to be filled in; empty for a method without settings."""
    rows = [
        f"| `{name}` | {default} | {bounds} | {TO_FILL_IN} |"
        for name, default, bounds in describe(expected.settings(), expected)
    ]
    return [*HEAD, *rows] if rows else []


def describe(section: object, expected: Expected, inside: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, default and bounds of every setting of a section of the card's settings."""
    hints = typing.get_type_hints(type(section))
    assert dataclasses.is_dataclass(section)
    for item in dataclasses.fields(section):
        name, value = f"{inside}{item.name}", getattr(section, item.name)
        path = expected.prefix + name
        if path in ON_OTHER_CARDS:
            continue
        if type(value) in SHARED and value == type(value)() and f"{expected.stem}.md" != SHARED_IN:
            yield name, f"as any [{SHARED[type(value)]}]({SHARED_IN}#settings)", "likewise"
        elif dataclasses.is_dataclass(value):
            yield from describe(value, expected, f"{name}.")
        else:
            yield name, show(value), say_bounds(path, hints[item.name])


def show(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    return f"`{value}`" if isinstance(value, str) else str(value)


def say_bounds(path: str, annotation: object) -> str:
    """Say which values a setting may take, of its dotted path and its type."""
    is_union = typing.get_origin(annotation) in (typing.Union, UnionType)
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    words = list(dict.fromkeys(word for kind in kinds for word in say_kind(path, kind)))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def say_kind(path: str, kind: object) -> Sequence[str]:
    if kind is NoneType:
        return ["null"]
    if kind is bool:
        return ["true", "false"]
    if typing.get_origin(kind) is typing.Literal:
        return [f"`{word}`" for word in typing.get_args(kind)]
    if typing.get_origin(kind) is tuple and typing.get_args(kind)[0] is str:
        return ["texts"]
    if kind is str and path in model_settings():
        return ["a repository, a folder", "a file"]
    if kind is str and path in NETWORKS:
        return ["`hf:` and a backbone"]
    if kind is str and path.endswith(".name"):
        return ["another package's backbone"]
    if kind is str:
        known = KNOWN_WORDS.get(path, path_settings().get(path))
        return ["any text"] if known is None else [*(f"`{word}`" for word in known), "a path"]
    bounds = setting_ranges().get(path)
    assert bounds is not None, f"{path}: declare its bounds beside its default (weakseg.config.bounds.setting)"
    if not isinstance(bounds, Range):
        return ["; ".join(map(str, bounds))]
    ascending = path in PAIRS or any(name == path and limits.ascending for name, limits in walk_limits(RunConfig))
    return [f"smallest, largest {bounds}" if ascending else str(bounds)]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
