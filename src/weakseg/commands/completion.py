"""`weakseg --completion SHELL`: the script by which a shell completes commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weakseg.arguments.requests import STAGES_WITH_METHOD
from weakseg.arguments.verbs import SHOW_PARSER, ParserShown
from weakseg.errors import UsageError
from weakseg.help.completion import (
    Completions,
    OptionWords,
    VerbWords,
    read_parser,
    read_recipes,
    read_settings,
    read_topics,
)
from weakseg.help.completion_scripts import RENDERERS, STUDY
from weakseg.log_form import FORMS

Run = Callable[[Sequence[str]], int]

SHELLS = tuple(RENDERERS)

_FORMS: tuple[tuple[str, ...], ...] = ((), ("A",), ("A", "B"))
"""Words that a verb with several forms tells them by: `weakseg report A B` is another than `weakseg report A`."""


def render_completion(shell: str, verbs: Mapping[str, tuple[str, Run]], studies: Mapping[str, tuple[str, Run]]) -> str:
    """Return a shell's script.

    Args:
        shell: One of `SHELLS`.
        verbs: What each verb does, in a line, and what runs it.
        studies: The same of the studies.

    Raises:
        UsageError: If there is no such shell.
    """
    if shell not in SHELLS:
        raise UsageError(f"--completion: expected one of {', '.join(SHELLS)}, got '{shell}'")
    return RENDERERS[shell](collect(verbs, studies))


def collect(verbs: Mapping[str, tuple[str, Run]], studies: Mapping[str, tuple[str, Run]]) -> Completions:
    """Ask every verb and study for its parser."""
    found = [_ask(name, *row) for name, row in verbs.items() if name != STUDY]
    found.append(VerbWords(STUDY, verbs[STUDY][0], (), takes_settings=False, takes_recipe=False))
    found += [_ask(f"{STUDY} {name}", *row) for name, row in studies.items()]
    general = (
        OptionWords("--help", "what weakseg can do", takes_value=False),
        OptionWords("--version", "the version", takes_value=False),
        OptionWords("--completion", "the script by which a shell completes commands", True, SHELLS),
    )
    return Completions(tuple(found), general, read_settings(), read_recipes(), read_topics())


def _ask(name: str, text: str, run: Run) -> VerbWords:
    shown = [_show(run, words) for words in _FORMS]
    parsers = [one.parser for one in shown]
    return read_parser(
        name,
        text.replace("'", ""),
        parsers,
        takes_settings=any(one.takes_settings for one in shown),
        values=_values_of(name),
    )


def _show(run: Run, words: Sequence[str]) -> ParserShown:
    try:
        run([*words, SHOW_PARSER])
    except ParserShown as shown:
        return shown
    raise AssertionError("a verb has parsed its words by itself")


def _values_of(verb: str) -> dict[str, tuple[str, ...]]:
    """Return what the options of a verb may be where only the code behind it knows."""
    from weakseg.data.export.formats import FORMATS
    from weakseg.handover.export import IMAGE_CHOICES, SUBJECTS
    from weakseg.handover.network import MODEL_FORMATS
    from weakseg.pipeline.stages import STAGES
    from weakseg.predict.targets import OUTPUTS
    from weakseg.registry import LOCALIZERS, REFINERS
    from weakseg.review.listing import PARTS

    values: dict[str, tuple[str, ...]] = {"--device": ("auto", "cpu", "cuda"), "--log": FORMS}
    if verb == "export":
        values |= {"--to": (*FORMATS, *MODEL_FORMATS), "--what": SUBJECTS, "--images": IMAGE_CHOICES}
    if verb in ("export", "review"):
        values["--split"] = PARTS
    if verb == "predict":
        values["--outputs"] = OUTPUTS
    if verb in STAGES_WITH_METHOD:
        values["--method"] = (LOCALIZERS if verb == "localize" else REFINERS).names()
    values["--redo"] = tuple(stage.name for stage in STAGES)
    return values
