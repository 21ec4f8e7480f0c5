"""Settings of Python laid over a recipe."""

from pathlib import Path

import pytest

from weakseg.api.settings import Settings, resolve
from weakseg.config.load import build_config, read_recipe
from weakseg.errors import ConfigError


def test_without_settings_a_recipe_is_what_it_says() -> None:
    assert resolve("folder") == build_config(read_recipe("folder"))


def test_later_settings_win_and_sections_are_merged() -> None:
    config = resolve(
        "folder_quick",
        {"data.root": Path("photos"), "classifier.epochs": 30, "localize.scales": (1.0, 0.5)},
        {"classifier.epochs": 7, "refine.crf": {"iterations": 3}, "evaluate": {"flip": False}},
    )
    assert config.data.root == "photos"
    assert config.classifier.epochs == 7
    assert config.localize.scales == (1.0, 0.5)
    assert config.refine.crf.iterations == 3
    assert config.evaluate.flip is False
    assert config.evaluate.scales == (1.0,)  # as the recipe has it


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"classifer.epochs": 3}, "did you mean 'classifier.epochs'"),
        ({"classifier.epochs": "many"}, "classifier.epochs: expected"),
        ({"classifier.epochs": -1}, "classifier.epochs"),
        ({"classifier.epochs.more": 1}, "classifier.epochs.more: expected a section above 'more', but epochs is 4"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(settings: Settings, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("folder_quick", settings)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        resolve("foldr")
