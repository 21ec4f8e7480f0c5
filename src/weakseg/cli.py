"""The command line: parse, call, exit code. Heavy imports happen inside the verb that needs them.

Exit codes: 0 done, 1 the user's recipe, data or files are wrong, 2 the command line itself is wrong, 3 an error that
nobody foresaw, 129 its terminal has gone, 130 interrupted, 143 ended by SIGTERM.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weakseg import __version__
from weakseg.endings import EXIT_DONE, EXIT_USAGE, EXIT_USER_ERROR, end_well
from weakseg.errors import UsageError
from weakseg.log_form import FORMS, choose_form

USAGE = "usage: weakseg VERB [arguments] [--debug] [--log json]"

LOG, COMPLETION = "--log", "--completion"


@dataclass(frozen=True)
class Verb:
    """One command.

    Args:
        summary: A line for `weakseg --help`.
        run: Takes the words after the verb; returns the exit code.
    """

    summary: str
    run: Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: Words after the program's name; those of the process when None.
    """
    # Threads that wait should sleep: decoding workers share the cores with the training, and by default torch's
    # OpenMP threads burn the time slices those need (on two busy cores an epoch took ten times as long).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _fill_closed_streams()
    _escape_unprintable()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    choose_form(FORMS[0])
    return end_well(lambda: _dispatch(_choose_log(words)), debug=debug)


def _choose_log(words: list[str]) -> list[str]:
    """Take `--log FORM` out of the words and heed it."""
    for place, word in enumerate(words):
        name, equals, form = word.partition("=")
        if name != LOG:
            continue
        rest = words[place + 1 :] if equals else words[place + 2 :]
        form = form if equals else "".join(words[place + 1 : place + 2])
        if form not in FORMS:
            raise UsageError(f"{LOG}: expected one of {', '.join(FORMS)}, got '{form}'")
        choose_form(form)
        return [*words[:place], *rest]
    return words


def _fill_closed_streams() -> None:
    """Open what the caller has closed (`2>&-`): else the next file gets its number, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def _escape_unprintable() -> None:
    """Print what a terminal or pipe cannot show, such as a name that is no UTF-8, as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_help_text(), end="")
        return EXIT_DONE if words else EXIT_USAGE
    if words[0] == "--version":
        print(f"weakseg {__version__}")
        return EXIT_DONE
    if words[0].partition("=")[0] == COMPLETION:
        from weakseg.commands.completion import render_completion

        shell = words[0].partition("=")[2] or "".join(words[1:2])
        verbs, studies = ({name: (verb.summary, verb.run) for name, verb in all.items()} for all in (VERBS, STUDIES))
        print(render_completion(shell, verbs, studies), end="")
        return EXIT_DONE
    verb = VERBS.get(words[0])
    if verb is None:
        from weakseg.spelling import nearest

        raise UsageError(f"unknown verb '{words[0]}'; {nearest(words[0], VERBS)}")
    if not any("://" in word for word in words):
        return verb.run(words[1:])
    from weakseg.commands.elsewhere import runs_here

    with runs_here(words[1:]) as own:
        return verb.run(own)


def _help_text() -> str:
    options = {
        "weakseg VERB --help": "shows its arguments; weakseg run RECIPE --help the recipe's settings",
        "--version": "shows the version",
        "--completion SHELL": "prints what bash, zsh or fish completes commands by (docs/completion.md)",
        "--debug": "shows the traceback of an error",
        "--log json": "writes messages and progress as JSON, one event a line (docs/runs.md)",
    }
    purpose = "From images that carry only tags to pixel masks and a trained segmentation network."
    return _render_help(f"{USAGE}\n\n{purpose}\n\nverbs:", VERBS, options)


def _render_help(head: str, verbs: Mapping[str, Verb], options: Mapping[str, str]) -> str:
    """Return a page of verbs with a line each."""
    from weakseg.help.layout import screen_width, two_columns, wrap

    width = screen_width()
    lines = [part for line in head.splitlines() for part in (wrap(line, width) or [""])]
    lines += two_columns([(name, verb.summary) for name, verb in verbs.items()], width)
    return "\n".join((*lines, "", *two_columns(list(options.items()), width), ""))


def _first_steps() -> str:
    """Return the three commands that a newcomer needs."""
    return (
        "  weakseg demo --quick   draws tagged images and runs the whole chain on them, in a minute\n"
        "  weakseg check PHOTOS   looks at a folder of your own tagged photographs (docs/photographs.md)\n"
        "  weakseg run PHOTOS     runs the whole chain on them; runs/PHOTOS/report.html shows what it found\n"
    )


def _run_chain(words: Sequence[str]) -> int:
    return _run_recipe(words, verb="run", only=None)


def _run_single(stage: str) -> Callable[[Sequence[str]], int]:
    return lambda words: _run_recipe(words, verb=stage, only=stage)


def _run_recipe(words: Sequence[str], *, verb: str, only: str | None, recipe: str | None = None) -> int:
    from weakseg.arguments.requests import parse_recipe_words
    from weakseg.config.load import to_yaml

    if verb == "run" and not words:
        print(_first_steps())
    request = parse_recipe_words(verb, words, recipe=recipe, summary=VERBS[verb].summary)
    if request is None:
        return EXIT_DONE
    if request.print_config:
        print(to_yaml(request.config), end="")
        return EXIT_DONE
    from weakseg.chain import run_recipe
    from weakseg.pipeline.artifacts import RunFolder
    from weakseg.pipeline.engines import choose_engine
    from weakseg.pipeline.telling import start_logging
    from weakseg.scoring.summary import print_summary

    start_logging()
    engine = choose_engine(processes=request.processes, engine=request.engine, part=request.part, finish=request.finish)
    finished = run_recipe(
        request.config, request.out, only=only, redo=request.redo, learn_from=request.learn_from, engine=engine
    )
    if finished and only in (None, "evaluate", "report"):
        print_summary(RunFolder(request.out))
    return EXIT_DONE


def _demo(words: Sequence[str]) -> int:
    """Run the recipe `demo`, or `demo_quick`: as `weakseg run` does, in `runs/` under their names."""
    from weakseg.arguments.requests import QUICK

    return _run_recipe(words, verb="demo", only=None, recipe="demo_quick" if QUICK in words else "demo")


def _check(words: Sequence[str]) -> int:
    from weakseg.arguments.requests import parse_recipe_words

    request = parse_recipe_words("check", words, summary=VERBS["check"].summary)
    if request is None:
        return EXIT_DONE
    from weakseg.checks.dataset import check_dataset, render_check
    from weakseg.pipeline.artifacts import RunFolder
    from weakseg.pipeline.inputs import open_splits
    from weakseg.pipeline.telling import show_progress, start_logging

    start_logging()
    logging.getLogger("weakseg").setLevel(logging.ERROR)  # the report below says it all, once
    datasets = open_splits(request.config.data, RunFolder(request.out))
    with show_progress("looking at images") as tick:
        report = check_dataset(datasets, progress=tick)
    print(render_check(report), end="")
    if request.fix_list is not None:
        from weakseg.checks.fix_list import write_fix_list

        lines = write_fix_list(request.fix_list, report, datasets)
        print(f"{request.fix_list} says what to do, in {lines} lines")
    if request.estimate and not report.fails:
        from weakseg.estimate.process import print_estimate

        print_estimate(request.config, datasets, report.problems)
    return EXIT_USER_ERROR if report.fails else EXIT_DONE


def _run_command(module: str) -> Callable[[Sequence[str]], int]:
    """Return what runs a verb of `weakseg.commands`, imported when it is called."""

    def run(words: Sequence[str]) -> int:
        code: int = importlib.import_module(f"weakseg.commands.{module}").run(words)
        return code

    return run


def _report(words: Sequence[str]) -> int:
    """Make the page of a run or, where two folders are named, that of one run against another."""
    if len(words) > 1 and not any(word.startswith("-") for word in words[:2]):
        from weakseg.commands.compare import write_page

        return write_page(words)
    return _run_recipe(words, verb="report", only="report")


def _study(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        usage = "usage: weakseg study NAME [arguments]\n\nstudies:"
        print(_render_help(usage, STUDIES, {"weakseg study NAME --help": "shows its arguments"}), end="")
        return EXIT_DONE if words else EXIT_USAGE
    if words[0] not in STUDIES:
        from weakseg.spelling import nearest

        raise UsageError(f"unknown study '{words[0]}'; {nearest(words[0], STUDIES)}")
    return STUDIES[words[0]].run(words[1:])


STUDIES: dict[str, Verb] = {
    "rib": Verb("what one setting of RIB does to the seeds", _run_command("study_rib")),
    "bottleneck": Verb("the RIB paper's toy: on which pixels layers depend", _run_command("study_bottleneck")),
    "threshold": Verb("background thresholds chosen without masks", _run_command("study_threshold")),
    "seeds": Verb("how the seeds of runs differ: errors, outlines, sizes, parts", _run_command("study_seeds")),
    "methods": Verb("every method and refinement with the same budget", _run_command("study_methods")),
    "photographs": Verb("that on your photographs with masks", _run_command("study_photographs")),
    "corrections": Verb("what correcting some masks is worth", _run_command("study_corrections")),
    "context": Verb("CAM against CDA where backgrounds tell more or less", _run_command("study_context")),
}
"""The studies by name; docs/studies.md shows what they found."""

VERBS: dict[str, Verb] = {
    "demo": Verb("make tagged images and run the whole chain on them (5 minutes; --quick: one)", _demo),
    "run": Verb("run a recipe: all stages, skipping what is finished", _run_chain),
    "classify": Verb("stage 1: train the classifier from image-level tags", _run_single("classify")),
    "localize": Verb("stage 2: localise each image's tags (seeds)", _run_single("localize")),
    "refine": Verb("stage 3: turn seeds into pseudo masks", _run_single("refine")),
    "segment": Verb("stage 4: train the segmentation network on the masks", _run_single("segment")),
    "evaluate": Verb("stage 5: score seeds, masks and network against truth masks", _run_single("evaluate")),
    "report": Verb("stage 6: write report.html; of two runs A B: one against the other, as a page", _report),
    "compare": Verb("hold one run against another: settings, scores, classes, images", _run_command("compare")),
    "study": Verb("measure what a setting does; a table, a CSV and a figure", _study),
    "predict": Verb("write masks of new images with a trained network", _run_command("predict")),
    "serve": Verb("answer images that are sent over HTTP with their masks", _run_command("serve")),
    "outlines": Verb("write masks of anything in a data set's images, for merging", _run_command("outlines")),
    "export": Verb("write a run's masks in another tool's format, or its network", _run_command("export")),
    "review": Verb(
        "look at a run's masks in the browser, doubtful ones first, and correct them", _run_command("review")
    ),
    "correct": Verb("bring corrected masks back into a run from another tool", _run_command("correct")),
    "convert": Verb("write a checkpoint's tensors as safetensors", _run_command("convert")),
    "check": Verb("look for problems in a data set before training", _check),
    "list": Verb("list methods, backbones and recipes with source and licence", _run_command("list")),
    "synth": Verb("write the generated data set as a VOC-layout folder", _run_command("synth")),
}
