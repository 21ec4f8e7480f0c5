"""Which settings name files or folders, and making those absolute, so that a run can be taken up from anywhere.

Once a path is absolute in a run's recipe, it means the same file whatever the working folder.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import TypeVar

from weakseg.config.bounds import WEIGHTS, walk_limits
from weakseg.config.network_names import absolute_model, absolute_name
from weakseg.config.schema import DataConfig, RunConfig
from weakseg.errors import ConfigError
from weakseg.files import absolute_path, expand_home
from weakseg.remote import is_url
from weakseg.spelling import closest

Section = TypeVar("Section")

_OF_BACKBONES = WEIGHTS[:3]

ROOT = "data.root"
"""The one path that may be a URL."""

_PATHS: dict[str, tuple[str, ...]] = {
    ROOT: (),
    "classifier.cda.masks": (),
    "classifier.released": (),
    "classifier.weights": WEIGHTS,
    "segmenter.weights": WEIGHTS,
}
"""Settings that are paths unless they are null or one of these words, besides those that say so themselves."""

KNOWN_WORDS = {
    "classifier.weights": (*_OF_BACKBONES, "pretrained"),
    "refine.irn.weights": (*_OF_BACKBONES, "classifier", "pretrained"),
    "refine.psa.weights": (*_OF_BACKBONES, "classifier"),
}
"""Which of these words a network knows; those of segmenters, and of one backbone alone, are checked with its name."""

NETWORKS = ("classifier.name", "refine.irn.name", "segmenter.name")
"""Settings that may hold a path behind `hf:`."""

PERHAPS_PATHS = ("data.tags", "data.train", "data.val", *NETWORKS)
"""Settings that may hold a path and are looked at one by one: below the working folder or the data, or behind `hf:`."""


@cache
def path_settings() -> dict[str, tuple[str, ...]]:
    """Return the settings that are paths unless they are null or one of these words, those of methods included."""
    declared = {path: limits.words for path, limits in walk_limits(RunConfig) if limits.words is not None}
    return _PATHS | declared


@cache
def model_settings() -> tuple[str, ...]:
    """Return the settings that are a repository of the Hugging Face hub or a path, those behind `hf:` aside."""
    return tuple(path for path, limits in walk_limits(RunConfig) if limits.is_model)


def check_weights(config: RunConfig) -> None:
    """Raise a `ConfigError` if weights are called by a word that is for other networks."""
    for setting, words in KNOWN_WORDS.items():
        value = _get(config, setting)
        if value in WEIGHTS and value not in words:
            raise ConfigError(
                f"{setting}: expected {', '.join(words)} or a path, got {value}, which other networks know"
            )


def absolute_paths(config: RunConfig) -> RunConfig:
    """Return a configuration in which every path is absolute; relative ones are taken from the working folder.

    Raises:
        ConfigError: If a path is that of no file, but nearly one of the words that may stand in its place.
    """
    for setting, words in path_settings().items():
        value = _get(config, setting)
        if value is not None and value not in words:
            _refuse_misspelt(setting, value, words)
            is_elsewhere = setting == ROOT and is_url(value)
            config = config if is_elsewhere else _with(config, setting, str(absolute_path(value)))
    for setting in model_settings():
        name = _get(config, setting)
        config = config if name is None else _with(config, setting, absolute_model(name))
    for setting in NETWORKS:
        name = _get(config, setting)
        assert name is not None, "always given"
        config = _with(config, setting, absolute_name(name))
    return dataclasses.replace(config, data=_with_data_files(config.data))


def _with_data_files(data: DataConfig) -> DataConfig:
    """Return the settings of the data with their list and tag files absolute."""
    splits = (data.train, data.val)
    train, val = (split if split is None or not _looks_like_path(split) else _find(split, data) for split in splits)
    assert train is not None, "always given"
    return dataclasses.replace(data, train=train, val=val, tags=None if data.tags is None else _find(data.tags, data))


def _looks_like_path(split: str) -> bool:
    """Say whether a split is written as a list file is: with a suffix or a folder. Names of splits have neither."""
    return Path(split).suffix != "" or len(Path(split).parts) > 1


def _find(file: str, data: DataConfig) -> str:
    """Return the absolute path of a file, as the readers look for it: in the working folder, then below the root.

    What is in neither stays as it is, for the reader to complain of.
    """
    is_here = data.root is not None and not is_url(data.root)
    places = [expand_home(file)] if not is_here or data.root is None else [expand_home(file), Path(data.root) / file]
    return next((str(absolute_path(path)) for path in places if path.is_file()), file)


def _refuse_misspelt(setting: str, value: str, words: tuple[str, ...]) -> None:
    """Name the word that was meant, before an absolute path hides what was written."""
    is_plain = Path(value).name == value and Path(value).suffix == ""
    meant = closest(value, words) if is_plain and not Path(value).exists() else None
    if meant is not None:
        raise ConfigError(f"{setting}: there is no file '{value}'; did you mean '{meant}'?")


def _get(config: RunConfig, setting: str) -> str | None:
    value: object = config
    for name in setting.split("."):
        value = getattr(value, name)
    assert value is None or isinstance(value, str), f"{setting} is no text"
    return value


def _with(section: Section, setting: str, value: str) -> Section:
    """Return a section with one setting below it replaced."""
    assert dataclasses.is_dataclass(section)
    assert not isinstance(section, type)
    name, _, rest = setting.partition(".")
    changed = _with(getattr(section, name), rest, value) if rest else value
    return dataclasses.replace(section, **{name: changed})
