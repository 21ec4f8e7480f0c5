"""A verb's own arguments: its parser, and words into what it says without leaving the program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from weakseg.config.complaints import explain
from weakseg.errors import UsageError
from weakseg.help.pages import render_verb
from weakseg.help.words import find_help
from weakseg.spelling import nearest

SHOW_PARSER = "--show-parser"
"""A word by which a verb is asked for its parser, see `ParserShown`."""


class ParserShown(Exception):
    """A verb was asked for its parser; nothing has been done.

    Args:
        parser: With the verb's own arguments alone.
        takes_settings: Whether settings of a recipe may be given too.
    """

    def __init__(self, parser: ArgumentParser, *, takes_settings: bool) -> None:
        super().__init__(parser.prog)
        self.parser = parser
        self.takes_settings = takes_settings


def new_parser(verb: str, description: str) -> ArgumentParser:
    """Return an empty parser that raises instead of leaving the program; `weakseg.help` shows its help."""
    return ArgumentParser(
        prog=f"weakseg {verb}", description=description, exit_on_error=False, allow_abbrev=False, add_help=False
    )


def add_engine_options(parser: ArgumentParser) -> None:
    """Let a verb say who works on single images; `weakseg.pipeline.engines.choose_engine` takes these words."""
    parser.add_argument("--processes", type=int, default=None, help="so many of this machine work on images")
    parser.add_argument("--engine", default=None, metavar="ray", help="who works on images: a Ray cluster")
    parser.add_argument("--part", default=None, metavar="I/N", help="work on this part of the images alone; or auto")
    parser.add_argument("--finish", action="store_true", help="do what lies between images that parts work on")


def parse_words(parser: ArgumentParser, words: Sequence[str]) -> Namespace | None:
    """Parse the words after a verb.

    Returns:
        The arguments, or None after `--help` was shown.

    Raises:
        UsageError: If an argument is missing or an option unknown.
        ConfigError: If a dotted setting is unknown or its value wrong.
    """
    if SHOW_PARSER in words:
        raise ParserShown(parser, takes_settings=False)
    if find_help(words) is not None:
        print(render_verb(parser), end="")
        return None
    _refuse_empty(words)
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        text = " ".join(str(error).split())
        option = re.search(r"[Uu]nrecognized arguments: (\S+)", text)
        if option and "." not in option.group(1).split("=")[0]:
            known = [name for action in parser._actions for name in action.option_strings if "." not in name]
            known.append("--help")
            raise UsageError(f"unknown argument '{option.group(1)}'; {nearest(option.group(1), known)}") from None
        if wrong := _find_wrong_value(parser, text):
            raise UsageError(wrong) from None
        if missing := re.search(r"the following arguments are required: (\w+)", text):
            named = [a.option_strings[0] for a in parser._actions if a.option_strings and a.dest == missing.group(1)]
            text = f"{text[: missing.start(1)]}{(named or [missing.group(1)])[0]}{text[missing.end(1) :]}"
        if "required" in text or ("expected" in text and text.startswith("argument ")):
            raise UsageError(f"{text}; see '{parser.prog} --help'") from None
        raise explain(error) from None


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse a word without text: as a path it would be the working folder, whose every file would be taken."""
    for before, word in pairwise(("", *words)):
        option, equals, value = word.partition("=")
        if word and not (option.startswith("--") and equals and not value):
            continue
        option = option or (before if before.startswith("--") else "an argument")
        if "." not in option:  # a setting of a recipe may be empty
            raise UsageError(f"{option}: expected a value, got an empty text; a variable of the shell may not be set")


def _find_wrong_value(parser: ArgumentParser, text: str) -> str | None:
    """Reword a complaint about the value of a verb's own option; None if it is about something else."""
    found = re.search(r"Parser key \"(\w+)\".*Expected a <class '(int|float)'>\. Got value: (.*)", text)
    if found is None:
        return None
    key, kind, value = found.groups()
    expected = "a whole number" if kind == "int" else "a number"
    return f"--{key.replace('_', '-')}: expected {expected}, got {value}; see '{parser.prog} --help'"
