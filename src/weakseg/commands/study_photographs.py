"""`weakseg study photographs`: the whole table of `study methods` on a folder of photographs with masks.

It is `weakseg study methods methods_photographs --data.root ROOT` with a name, a place and a size of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.arguments.recipes import RECIPE_FILE, RUNS, resolve_recipe
from weakseg.arguments.verbs import new_parser
from weakseg.commands.study_methods import USAGE, add_table_words, make_table
from weakseg.commands.study_words import add_study_words, start_study
from weakseg.errors import UsageError

RECIPE, NAME = "methods_photographs", "photographs"

IMAGES = 40
"""So many images get seeds and masks unless `--images` says it: half a day's work of a small computer, not a week's."""

TEACHERS = ("cam", "lpcam-averaged")
"""On whose seeds networks learn unless `--learn-from` says it: the oldest seeds, and those of the recipe."""


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study photographs`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong, or the folder is a run.
        ConfigError: If a setting is wrong.
    """
    parser = new_parser("study photographs", "Every method and refinement on a folder of photographs with masks.")
    parser.usage = f"weakseg study photographs ROOT {USAGE}"
    parser.add_argument("root", help="a folder of tagged photographs with masks, as weakseg check reads it")
    add_table_words(parser, images=IMAGES)
    parser.add_argument("--out", default=None, help="run folder; runs/<name of ROOT> when not given")
    add_study_words(parser, folder="RUN", usual_name=NAME)
    resolved = resolve_recipe(parser, words, recipe=RECIPE)
    if resolved is None:
        return 0
    given = resolved.arguments
    root = Path(given.root)
    if (root / RECIPE_FILE).is_file():
        raise UsageError(
            f"{root} is a run, not a folder of photographs; weakseg study methods {root} starts from a run"
        )
    if resolved.config.data.root not in (None, given.root):
        raise UsageError(f"--data.root: expected the folder once, got {resolved.config.data.root} besides {root}")
    config = replace(resolved.config, data=replace(resolved.config.data, root=given.root))
    out = RUNS / root.resolve().name if given.out is None else resolved.out
    request = start_study("photographs", words, given, out)
    from weakseg.studies.methods.rows import usual_methods

    taught = given.methods or usual_methods(config)
    learn_from = given.learn_from or [name for name in TEACHERS if name in taught]
    named = replace(request, name=NAME if request.name is None else request.name)
    return make_table(config, named, given, runs=(), learn_from=learn_from)
