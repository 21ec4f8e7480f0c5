from pathlib import Path

import pytest

from weakseg.api.settings import resolve
from weakseg.config.length import obey_epochs
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import ClassifierConfig
from weakseg.train.length import count_epochs, tell_length


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(1000, 6), (437, 6), (432, 6), (431, 7), (100, 27), (95, 30), (16, 30), (3, 30), (0, 6)],
)
def test_few_images_are_passed_over_more_often(images: int, epochs: int) -> None:
    section = ClassifierConfig(epochs=6, batch_size=16, min_updates=160)
    assert count_epochs(section, images) == epochs
    told = f", {epochs} epochs instead of 6 since they are few"
    assert tell_length(section, images) == ("" if epochs == 6 else told)


def test_without_a_least_number_of_updates_epochs_are_as_said() -> None:
    section = ClassifierConfig(epochs=6, batch_size=16)
    assert (count_epochs(section, 3), tell_length(section, 3)) == (6, "")


@pytest.mark.parametrize(
    ("words", "obeyed"),
    [
        (("folder", "--out", "run"), ("folder", "--out", "run")),
        (("--classifier.epochs", "3"), ("--classifier.min_updates=null", "--classifier.epochs", "3")),
        (("--segmenter.epochs=3",), ("--segmenter.min_updates=null", "--segmenter.epochs=3")),
        (
            ("--segmenter.epochs=3", "--segmenter.min_updates", "9"),
            ("--segmenter.epochs=3", "--segmenter.min_updates", "9"),
        ),
    ],
)
def test_epochs_that_somebody_says_are_obeyed(words: tuple[str, ...], obeyed: tuple[str, ...]) -> None:
    assert obey_epochs(words) == obeyed


def test_the_command_line_and_python_switch_it_off_and_a_recipe_does_not(tmp_path: Path) -> None:
    recipe = read_recipe("folder")
    assert (build_config(recipe).classifier.min_updates, build_config(recipe).segmenter.min_updates) == (160, 320)
    config = build_config(recipe, ("--classifier.epochs=1",))
    assert (config.classifier.epochs, config.classifier.min_updates, config.segmenter.min_updates) == (1, None, 320)
    assert resolve("folder", {"segmenter.epochs": 2}).segmenter.min_updates is None
    assert resolve("folder", {"segmenter": {"epochs": 2}}).segmenter.min_updates is None
    both = resolve("folder", {"segmenter.epochs": 2, "segmenter.min_updates": 5}).segmenter
    assert (both.epochs, both.min_updates) == (2, 5)
    assert resolve("folder", {"segmenter.batch_size": 2}).segmenter.min_updates == 320
