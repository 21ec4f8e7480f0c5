"""`weakseg list`: every method, backbone and recipe in a line each, with source and licence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.config.own_recipes import list_recipes, summarize_recipe
from weakseg.endings import EXIT_DONE
from weakseg.methods import BackboneFacts, MethodFacts
from weakseg.registry import BACKBONES, LOCALIZERS, REFINERS, Registry

Row = tuple[str, str]


def run(words: Sequence[str]) -> int:
    """Run the verb.

    Raises:
        UsageError: If the command line is wrong.
    """
    if (
        parse_words(new_parser("list", "List methods, backbones and recipes, those of other packages included."), words)
        is None
    ):
        return EXIT_DONE
    print(render_list(), end="")
    return EXIT_DONE


def render_list() -> str:
    """Return the list as text."""
    return "\n".join(
        (
            _render("localisers (localize.method)", _rows(LOCALIZERS)),
            _render("refiners (refine.method)", _rows(REFINERS)),
            _render("backbones (classifier.name, ...); or hf: and a repository, docs/hf.md", _rows(BACKBONES)),
            _render("recipes (weakseg run RECIPE)", ((name, summarize_recipe(name)) for name in list_recipes())),
        )
    )


def _rows(registry: Registry[Any]) -> list[Row]:
    """Describe what is registered; what cannot be loaded is told of, in one line, by the registry."""
    rows: list[Row] = []
    items: tuple[MethodFacts[Any] | BackboneFacts, ...] = registry.usable()
    for item in items:
        where = "" if registry.is_own(item.name) else f"package {registry.entries()[item.name].package}"
        facts = "; ".join(part for part in (item.source, item.licence, where) if part)
        rows.append((item.name, f"{item.summary} ({facts})"))
    return rows


def _render(title: str, rows: Iterable[Row]) -> str:
    found = list(rows)
    width = max((len(name) for name, _ in found), default=0)
    return f"{title}\n" + "".join(f"  {name:<{width}}  {text}\n" for name, text in found)
