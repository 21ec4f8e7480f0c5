"""Decoding the YAML of recipes, which may be anybody's: whatever is wrong with it is a `ValueError` of one line."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from weakseg.documents import TOO_DEEP
from weakseg.files import JsonValue

MAX_DIGITS = 30
"""No setting is a longer whole number."""

RECIPES_KEPT = 32
"""So many recipes are decoded once, which takes longer than all else that is done to read one."""


def decode_recipe(text: str) -> Any:
    """Decode a YAML document of plain values; dates are texts.

    Raises:
        ValueError: If it is none, gives a setting twice, is nested too deeply or holds a number that is none.
    """
    try:
        return yaml.load(text, _RecipeLoader)  # a SafeLoader
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def decode_recipe_once(text: str) -> Any:
    """Do the same, but only once for a text; the result is the caller's own.

    Raises:
        ValueError: See `decode_recipe`.
    """
    return copy.deepcopy(_decode_once(text))


_decode_once = lru_cache(maxsize=RECIPES_KEPT)(decode_recipe)


def has_more_values(document: JsonValue, limit: int) -> bool:
    """Say whether a document holds more values than a limit; those of aliases (`*name`) count each time."""
    waiting, count = [document], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > limit:
            return True
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value[: limit + 1])
    return False


class _RecipeLoader(yaml.SafeLoader):
    """Refuses a section or setting that is given twice, of which YAML's loader silently takes the last."""

    # A folder may well be called 2020-01-02, and 2020-13-45 is no date: no setting is one.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # what a tag such as !!int promises and the text does not keep
            said = "a number that is too long" if "digits" in str(error) else str(error)
            raise ConstructorError(None, None, said, node.start_mark) from None
        except (LookupError, AttributeError):  # as before, of an empty text or of one that is no date
            said = f"not a value of {node.tag}"
            raise ConstructorError(None, None, said, node.start_mark) from None
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise ConstructorError(None, None, "a number that is too long", node.start_mark)
        return value
