"""The words that studies share: the recipe, the folder a study goes to, its name, and whether it replaces another."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:  # these import torch, which `--help` and mistakes do not wait for
    from weakseg.studies.folder import Study, StudyRequest

RECIPE_USAGE = "[--out RUN] [--name NAME] [--redo] [--section.setting VALUE ...]"
"""How the usage of a study with a recipe ends."""


def add_recipe_words(
    parser: ArgumentParser,
    *,
    recipe: str,
    usual_name: str,
    metavar: str | None = None,
    out: str = "run folder; runs/<recipe> when not given",
) -> None:
    """Add a recipe, `--out` and what every study has; `resolve_recipe` parses them and adds every setting.

    Args:
        parser: Receives the arguments.
        recipe: Help on the recipe.
        usual_name: The study's name unless `--name` says otherwise.
        metavar: What help and messages call the recipe, if not that.
        out: Help on `--out`.
    """
    parser.add_argument("recipe", metavar=metavar, help=recipe)
    parser.add_argument("--out", default=None, help=out)
    add_study_words(parser, folder="RUN", usual_name=usual_name)


def add_study_words(parser: ArgumentParser, *, folder: str, usual_name: str) -> None:
    """Add `--name` and `--redo`.

    Args:
        parser: Receives the arguments.
        folder: What help calls the folder that studies go to.
        usual_name: The study's name unless `--name` says otherwise.
    """
    parser.add_argument("--name", default=None, help=f"folder below {folder}/studies; {usual_name} when not given")
    parser.add_argument("--redo", action="store_true", help="replace an earlier study of this name")


def add_method_words(parser: ArgumentParser) -> None:
    """Add what the studies of methods share: `--seeds`, `--thresholds` and `--split`."""
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of networks and generated images")
    parser.add_argument("--thresholds", nargs="+", type=float, default=[], help="background thresholds of the CRF")
    parser.add_argument("--split", default="train", help="train or val: whose seeds and masks are scored")


def start_study(
    study: str, words: Sequence[str], given: Namespace, run: Path, *, may_train: bool = True
) -> StudyRequest:
    """Start logging, and return what the words say of every study.

    Args:
        study: The study's name on the command line.
        words: The words after it.
        given: The same, parsed; see `add_study_words`.
        run: Where studies go.
        may_train: Whether a run without a classifier may train one.
    """
    from weakseg.pipeline.telling import start_logging
    from weakseg.studies.folder import StudyRequest

    start_logging()
    command = shlex.join(["weakseg", "study", study, *words])
    return StudyRequest(run=run, name=given.name, redo=given.redo, may_train=may_train, command=command)


def show_study(study: Study) -> int:
    """Print a finished study; returns the exit code."""
    from weakseg.studies.folder import print_study

    print_study(study)
    return 0
