"""`weakseg study bottleneck`: the toy experiment of the RIB paper, and with a run the same question of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.recipes import RUNS, resolve_recipe
from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.commands.study_words import RECIPE_USAGE, add_recipe_words, add_study_words, show_study, start_study
from weakseg.errors import UsageError

RUN_USAGE = (
    f"weakseg study bottleneck RUN [--images N] [--split SPLIT] [--parts cam|run] [--threshold SHARE] {RECIPE_USAGE}"
)


def run(words: Sequence[str]) -> int:
    """Run the study on the words after `study bottleneck`; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If a setting is wrong.
    """
    return _study_digits(words) if not words or words[0].startswith("-") else _study_run(words)


def _study_run(words: Sequence[str]) -> int:
    parser = new_parser(
        "study bottleneck", "On which parts of objects a run's classifier depends, and what RIB changes in it."
    )
    parser.usage = RUN_USAGE
    parser.add_argument("--images", type=int, default=40, help="number of images, evenly spaced over the split")
    parser.add_argument("--split", default="train", help="train or val; it needs truth masks")
    parser.add_argument(
        "--parts", default="cam", help="whose seed is the discriminative part: cam, the classifier's maps, or run"
    )
    parser.add_argument("--threshold", type=float, default=0.3, help="gradients above this share of the highest count")
    add_recipe_words(
        parser,
        metavar="RUN",
        recipe="a run folder with a trained classifier; comes first",
        usual_name="bottleneck",
        out="where the run is, if its recipe is a file of its own",
    )
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    given = resolved.arguments
    if not resolved.names_run and given.out is None:
        raise UsageError(f"study bottleneck: expected a run folder, got '{given.recipe}'; 'weakseg run' makes one")
    from weakseg.studies.bottleneck.objects import ObjectSettings, study_objects

    settings = ObjectSettings(images=given.images, split=given.split, parts=given.parts, threshold=given.threshold)
    request = start_study("bottleneck", words, given, resolved.out, may_train=False)
    return show_study(study_objects(resolved.config, settings, request))


def _study_digits(words: Sequence[str]) -> int:
    parser = new_parser(
        "study bottleneck",
        "On which pixels of generated images a classifier's layers depend, and what RIB changes in it. With a run "
        "folder as the first word the same is asked of its classifier and photographs: weakseg study bottleneck RUN.",
    )
    parser.usage = (
        "weakseg study bottleneck [--digits SOURCE] [--seeds N ...] [--out FOLDER] [--name NAME] [--redo] [options]"
    )
    parser.add_argument(
        "--digits",
        default="auto",
        help="a folder with MNIST's training files, sklearn, font, or auto: sklearn if installed, otherwise font",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="one repetition each")
    parser.add_argument("--images", type=int, default=100, help="images with a marker to measure the layers on")
    parser.add_argument("--adapted", type=int, default=50, help="how many of them to adapt to")
    parser.add_argument("--threshold", type=float, default=0.3, help="gradients above this share of the highest count")
    parser.add_argument("--iterations", type=int, default=10, help="updates of an adaptation")
    parser.add_argument("--lr", type=float, default=1e-4, help="learning rate of an adaptation's first update")
    parser.add_argument("--partners", type=int, default=2, help="images of the other class that are pushed along")
    parser.add_argument("--train-images", type=int, default=2000, help="training images")
    parser.add_argument("--epochs", type=int, default=4, help="passes over them; 0 is an untrained control")
    parser.add_argument("--norm", choices=("batch", "none"), default="batch", help="norm of the convolutions")
    parser.add_argument("--out", default=str(RUNS), help="the study goes to studies/<name> below this folder")
    add_study_words(parser, folder="OUT", usual_name="bottleneck")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.studies.bottleneck.settings import BottleneckSettings
    from weakseg.studies.bottleneck.study import study_bottleneck

    settings = BottleneckSettings(
        digits=given.digits,
        seeds=tuple(given.seeds),
        images=given.images,
        adapted=given.adapted,
        train_images=given.train_images,
        epochs=given.epochs,
        norm=given.norm == "batch",
        iterations=given.iterations,
        learning_rate=given.lr,
        partners=given.partners,
        threshold=given.threshold,
    )
    return show_study(study_bottleneck(settings, start_study("bottleneck", words, given, Path(given.out))))
