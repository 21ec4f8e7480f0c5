import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from weakseg.config.bounds import WEIGHTS
from weakseg.config.load import build_config
from weakseg.config.paths import PERHAPS_PATHS, absolute_paths, model_settings, path_settings
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError

NO_PATHS = (
    "data.mask_values",
    "data.tag_separator",
    "localize.clip_es.backgrounds",
    "localize.clip_es.prompts",
    "localize.clip_es.words",
    "localize.method",
    "localize.sam3.words",
    "refine.method",
    "refine.psa.name",
    "report.title",
    "runtime.device",
)
"""Free text that is no path."""


def free_text(section: type, prefix: str = "") -> Iterator[str]:
    """Yield the settings that take any text."""
    for name, annotation in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield from free_text(annotation, f"{prefix}{name}.")
        elif str in (annotation, *typing.get_args(annotation)):
            yield f"{prefix}{name}"


def test_every_setting_that_takes_any_text_is_known_to_be_a_path_or_not() -> None:
    assert sorted(free_text(RunConfig)) == sorted((*path_settings(), *model_settings(), *PERHAPS_PATHS, *NO_PATHS))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.slow
@pytest.mark.parametrize("setting", path_settings())
def test_paths_become_absolute_whether_they_exist_or_not(setting: str, here: Path) -> None:
    config = absolute_paths(build_config({}, ("--data.name=folder", f"--{setting}=below/../file.pth")))
    value: object = config
    for name in setting.split("."):
        value = getattr(value, name)
    assert value == f"{here}/below/../file.pth"
    assert absolute_paths(config) == config


@pytest.mark.parametrize("setting", model_settings())
def test_a_model_is_a_path_if_there_is_something_or_it_is_written_as_one(setting: str, here: Path) -> None:
    (here / "openai").mkdir()

    def made_absolute(name: str) -> object:
        value: object = absolute_paths(build_config({}, ("--data.name=folder", f"--{setting}={name}")))
        for part in setting.split("."):
            value = getattr(value, part)
        return value

    assert made_absolute("openai/clip") == "openai/clip"
    assert made_absolute("openai") == str(here / "openai")
    assert made_absolute("./clip") == str(here / "clip")


@pytest.mark.parametrize("words", [("imagenet", "imagenet"), ("none", "classifier"), ("auto", "auto")])
def test_words_stay_even_beside_a_file_of_that_name(words: tuple[str, str], here: Path) -> None:
    for word in WEIGHTS:
        (here / word).touch()
    first, segmenter = words
    overrides = (f"--classifier.weights={first}", f"--refine.irn.weights={first}", f"--segmenter.weights={segmenter}")
    same = ("--classifier.name=resnet50", "--segmenter.name=resnet50")
    config = build_config({}, (*overrides, *same, "--data.root=data"))
    assert absolute_paths(config) == dataclasses.replace(
        config, data=dataclasses.replace(config.data, root=str(here / "data"))
    )


@pytest.mark.parametrize(("typed", "meant"), [("Imagenet", "imagenet"), ("NONE", "none"), ("imagnet", "imagenet")])
def test_a_misspelt_word_is_named_before_it_becomes_a_path(typed: str, meant: str, here: Path) -> None:
    config = build_config({}, (f"--classifier.weights={typed}",))
    expected = rf"^classifier\.weights: there is no file '{typed}'; did you mean '{meant}'\?$"
    with pytest.raises(ConfigError, match=expected):
        absolute_paths(config)
    (here / typed).touch()
    assert absolute_paths(config).classifier.weights == f"{here}/{typed}"


@pytest.mark.parametrize(
    ("setting", "word", "expected"),
    [
        ("classifier.weights", "classifier", "imagenet, none, auto, pretrained or a path, got classifier"),
        ("refine.psa.weights", "pretrained", "imagenet, none, auto, classifier or a path, got pretrained"),
    ],
)
def test_a_word_of_other_networks_is_refused(setting: str, word: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting}: expected {expected}, which other networks know$"):
        build_config({}, (f"--{setting}={word}",))


@pytest.mark.parametrize("typed", ["imagenet.pth", "./imagenetx", "photos"])
def test_what_cannot_be_a_word_is_a_path_though_there_is_no_file(typed: str, here: Path) -> None:
    config = absolute_paths(build_config({}, (f"--classifier.weights={typed}",)))
    assert config.classifier.weights == str(here / typed)


def test_a_folder_beside_the_working_folder_is_named_without_dots(here: Path) -> None:
    (here.parent / "lists").mkdir()
    (here.parent / "lists" / "mine.txt").touch()
    words = (
        "--data.name=folder",
        "--data.root=../photos",
        "--data.train=../lists/mine.txt",
        "--segmenter.weights=none",
    )
    config = absolute_paths(build_config({}, (*words, "--segmenter.name=hf:../nets/a.json")))
    assert config.data.root == f"{here.parent}/photos"
    assert config.data.train == f"{here.parent}/lists/mine.txt"
    assert config.segmenter.name == f"hf:{here.parent}/nets/a.json"


def test_a_home_folder_is_spelled_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    config = absolute_paths(build_config({}, ("--classifier.weights=~/w.pth",)))
    assert config.classifier.weights == f"{here}/home/w.pth"


def test_lists_and_tags_are_looked_for_where_readers_look_for_them(here: Path) -> None:
    for path in ("mine.txt", "data/val.txt", "data/mine.txt", "data/tags2.csv", "train"):
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).touch()
    words = ("--data.name=folder", "--data.root=data", "--data.train=mine.txt", "--data.val=val.txt")
    data = absolute_paths(build_config({}, (*words, "--data.tags=tags2.csv"))).data
    assert data.train == f"{here}/mine.txt", "the working folder comes first"
    assert data.val == f"{here}/data/val.txt"
    assert data.tags == f"{here}/data/tags2.csv"
    gone = absolute_paths(build_config({}, ("--data.name=voc", "--data.val=lists/gone.txt", "--data.train=train"))).data
    assert (gone.train, gone.val) == ("train", "lists/gone.txt"), "a name, and what the reader will complain of"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:./gone", "hf:{}/gone"),
        ("hf:nets/gone.json", "hf:{}/nets/gone.json"),
        ("hf:nvidia/mit-b0", "hf:nvidia/mit-b0"),
        ("resnet18", "resnet18"),
    ],
)
def test_the_place_of_a_network_is_kept_when_it_has_gone(name: str, expected: str, here: Path) -> None:
    config = build_config({}, (f"--segmenter.name={name}", "--segmenter.weights=none"))
    assert absolute_paths(config).segmenter.name == expected.format(here)
