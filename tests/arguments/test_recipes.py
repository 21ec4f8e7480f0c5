"""What the first word after `check` and `run` may be: a recipe, or a folder of photographs."""

from pathlib import Path

import pytest

from weakseg.arguments.requests import RecipeRequest, parse_recipe_words

pytestmark = pytest.mark.slow


def parse(*words: str) -> RecipeRequest:
    request = parse_recipe_words("check", words)
    assert request is not None
    return request


@pytest.mark.parametrize("written", ["photos", "./photos", "photos/", "demo/../photos"])
def test_a_folder_stands_for_the_recipe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    request = parse(written)
    assert (request.config.data.name, request.config.data.root) == ("folder", written)
    assert request.config.classifier == parse("folder").config.classifier
    assert request.out == Path("runs/photos")
    assert parse("demo").config.data.name == "critters"  # a recipe goes before a folder of its name
    assert parse("./demo").config.data.root == "./demo"


def test_settings_go_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = parse(".", "--data.root", "other", "--data.val", "null")
    assert (request.config.data.root, request.config.data.val) == ("other", None)
    assert request.out == Path("runs") / tmp_path.name
