import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from weakseg.config.load import build_config
from weakseg.config.paths import PATHS, PERHAPS_PATHS, WEIGHTS, absolute_paths
from weakseg.config.schema import RunConfig

NO_PATHS = ("report.title", "runtime.device")
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
    assert sorted(free_text(RunConfig)) == sorted((*PATHS, *PERHAPS_PATHS, *NO_PATHS))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("setting", PATHS)
def test_paths_become_absolute_whether_they_exist_or_not(setting: str, here: Path) -> None:
    config = absolute_paths(build_config({}, ("--data.name=folder", f"--{setting}=below/../file.pth")))
    value: object = config
    for name in setting.split("."):
        value = getattr(value, name)
    assert value == f"{here}/below/../file.pth"
    assert absolute_paths(config) == config


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
