"""The words around `--help`: what it is asked about, and which recipe the other words name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jsonargparse import ArgumentParser

from weakseg.config.complaints import field_types
from weakseg.errors import UsageError
from weakseg.help.pages import ALL
from weakseg.help.sections import section_classes
from weakseg.spelling import nearest

HELP = ("-h", "--help")


@dataclass(frozen=True)
class HelpWords:
    """A command line that asks for help.

    Args:
        topic: `all`, or the path of a section or setting; None for the short help.
        unsure: A word behind `--help` that is none of these: a wrong topic, unless it is the recipe.
        others: All other words.
    """

    topic: str | None
    unsure: str | None
    others: tuple[str, ...]


def find_help(words: Sequence[str]) -> HelpWords | None:
    """Part the words of a command line that asks for help; None for any other.

    Raises:
        UsageError: If there is no such topic.
    """
    words = list(words)
    options = words[: words.index("--")] if "--" in words else words
    for place, word in enumerate(options):
        option, equals, topic = word.partition("=")
        if option not in HELP:
            continue
        after = options[place + 1] if place + 1 < len(options) else "-"
        rest = [other for other in words[:place] + words[place + 1 :] if other not in HELP]
        if equals:
            require_topic(topic)
            return HelpWords(topic, None, tuple(rest))
        if after.startswith("-"):
            return HelpWords(None, None, tuple(rest))
        rest = [other for other in words[:place] + words[place + 2 :] if other not in HELP]
        known = is_topic(after)
        return HelpWords(after if known else None, None if known else after, tuple(rest))
    return None


def is_topic(word: str) -> bool:
    """Say whether there is help on something."""
    return word == ALL or word in section_classes() or word in field_types()


def require_topic(word: str) -> None:
    """Raise a `UsageError` with the nearest unless there is help on something."""
    if is_topic(word):
        return
    sections = (*section_classes(), ALL)
    ends = [path for path in sections if path.split(".")[-1] == word]
    known = (*sections, *field_types()) if word.count(".") > 1 else sections
    hint = f"did you mean '{ends[0]}'?" if len(ends) == 1 else nearest(word, known)
    raise UsageError(f"--help: there is no section '{word}'; {hint}")


def find_first(parser: ArgumentParser, words: Sequence[str]) -> str | None:
    """Return the first word that is neither an option of a verb nor the value of one: the recipe; None without one.

    Args:
        parser: Has the verb's own options.
        words: Without settings.
    """
    taking = {name: action.nargs for action in parser._actions for name in action.option_strings}
    values: str | int | None = 0
    for word in words:
        if word.startswith("--"):
            values = 0 if "=" in word else taking.get(word, 0)
        elif values == 0:
            return word
        elif values is None:
            values = 0
    return None
