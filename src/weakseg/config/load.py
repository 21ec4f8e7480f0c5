"""Reading recipes: YAML file, then command-line overrides, then range checks; every mistake is one exact line.

jsonargparse parses and converts; this module decides where values come from and rewords its complaints as
`dotted.path: expected ..., got ...; did you mean ...?`.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from weakseg.config.complaints import explain, field_types, unknown_key
from weakseg.config.length import obey_epochs
from weakseg.config.lost import PACKAGES, keep_lost, name_packages, part_lost
from weakseg.config.own_recipes import list_recipes, read_own
from weakseg.config.ranges import check_ranges
from weakseg.config.recipe_text import decode_recipe_once, has_more_values
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.spelling import nearest

RECIPE_SUFFIXES = (".yaml", ".yml")

MAX_RECIPE_BYTES = 2**17
"""Recipes take 4 kB; YAML takes seconds for every megabyte, and a larger file is something else."""

MAX_RECIPE_VALUES = 10_000
"""Values of a recipe, those of aliases (`*name`) counted each time: few lines of them can stand for billions."""

SECTIONS_KEPT = 256
"""So many sections are parsed once: recipes that differ in a setting or two share most of them."""


def read_recipe(name_or_path: str) -> dict[str, JsonValue]:
    """Read a recipe as nested plain values.

    Args:
        name_or_path: Name of a built-in recipe, or path of a YAML file.

    Raises:
        ConfigError: If there is no such recipe, it cannot be read, is not a YAML mapping or says something twice.
    """
    if name_or_path.endswith(RECIPE_SUFFIXES):
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(f"recipe {path}: no such file")
        try:
            size_bytes = path.stat().st_size
            if size_bytes > MAX_RECIPE_BYTES:
                raise ConfigError(
                    f"recipe {path}: expected at most {MAX_RECIPE_BYTES} bytes, got {size_bytes}; is it another file?"
                )
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"recipe {path}: expected a text in UTF-8, got {error}") from None
    elif name_or_path in list_recipes():
        text = read_own(name_or_path)
    else:
        raise ConfigError(
            f"recipe '{name_or_path}': expected a built-in recipe, a .yaml file or a run folder; "
            f"{nearest(name_or_path, list_recipes())}"
        )
    try:
        document = decode_recipe_once(text) or {}
    except ValueError as error:
        raise ConfigError(f"recipe {name_or_path}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"recipe {name_or_path}: expected sections such as 'data:', got {type(document).__name__}")
    if has_more_values(document, MAX_RECIPE_VALUES):
        raise ConfigError(
            f"recipe {name_or_path}: expected at most {MAX_RECIPE_VALUES} values, got more; is it another file?"
        )
    return document


def add_config_arguments(parser: ArgumentParser) -> None:
    """Add every setting of a run as a dotted option, such as `--classifier.epochs`."""
    parser.add_class_arguments(RunConfig, as_group=True)


def build_config(recipe: Mapping[str, JsonValue], overrides: tuple[str, ...] = ()) -> RunConfig:
    """Resolve a recipe and overrides into a checked configuration.

    Args:
        recipe: Nested plain values as `read_recipe` returns them; missing settings take the schema's defaults.
        overrides: Command-line words such as `--classifier.epochs`, `3` or `--data.root=photos`.

    Raises:
        ConfigError: On an unknown key, a value of the wrong type, or one out of range; names the dotted path.
    """
    known, overrides = part_lost(recipe), obey_epochs(overrides)
    config = _build_by_section(known.settings, overrides) or _build_whole(known.settings, overrides)
    if known.lost:
        localize, refine = (keep_lost(name, getattr(config, name), known) for name in ("localize", "refine"))
        config = dataclasses.replace(config, localize=localize, refine=refine)
    check_ranges(config)
    return config


def _build_whole(recipe: Mapping[str, JsonValue], overrides: tuple[str, ...]) -> RunConfig:
    """Do the same with one parser of all settings, which names mistakes wherever they are."""
    given, parser = _check_recipe(recipe), _settings_parser()
    try:
        namespace = parser.parse_args(list(overrides), namespace=given)
    except ArgumentError as error:
        raise explain(error) from None
    return _instantiate(parser, namespace)


def _build_by_section(recipe: Mapping[str, JsonValue], overrides: tuple[str, ...]) -> RunConfig | None:
    """Do the same section by section, or return None where only a parser of all settings names the mistake.

    The time of jsonargparse grows with the square of the number of settings.
    """
    _require_known(recipe)
    words = split_settings(overrides)
    if words is None or words.others or not set(recipe).issubset(_section_types()):
        return None
    sections: dict[str, object] = {}
    for name in {**recipe, **words.settings}:
        try:
            settings = json.dumps(recipe.get(name, {}))
        except TypeError:  # YAML knows dates
            return None
        sections[name] = _build_section(name, settings, words.settings.get(name, ()))
    return RunConfig(**sections)  # type: ignore[arg-type]


@lru_cache(maxsize=SECTIONS_KEPT)
def _build_section(name: str, settings: str, words: tuple[str, ...]) -> object:
    """Return a section for its settings as JSON and words that override them.

    Raises:
        ConfigError: On a value of the wrong type.
    """
    parser = _section_parser(name)
    try:
        given = _parse_section(name, settings).clone()
        if words:
            given = parser.parse_args(list(words), namespace=given)
    except ArgumentError as error:
        raise explain(error) from None
    built: object = parser.instantiate(given)[name]
    return built


@lru_cache(maxsize=SECTIONS_KEPT)
def _parse_section(name: str, settings: str) -> Namespace:
    """Return the settings of a section in JSON over the schema's defaults; not to be changed."""
    given: Namespace = _section_parser(name).parse_object({name: json.loads(settings)})
    return given


@dataclasses.dataclass(frozen=True)
class SettingWords:
    """Command-line words told apart.

    Args:
        settings: By section, the words that give its settings.
        others: All other words, in order.
    """

    settings: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...]


def split_settings(words: Sequence[str]) -> SettingWords | None:
    """Tell the words that give settings from all others; None where that takes a parser of all settings.

    Args:
        words: Such as `demo`, `--classifier.epochs`, `3`, `--out=run`.
    """
    settings: dict[str, list[str]] = {}
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.removeprefix("--").partition("=")
        if word == "--" or (word.startswith("--") and "." in name and name not in field_types()):
            return None
        if not word.startswith("--") or name not in field_types():
            others.append(word)
            continue
        given = settings.setdefault(name.split(".")[0], [])
        given.append(word)
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                return None
            given.append(value)
    return SettingWords({name: tuple(given) for name, given in settings.items()}, tuple(others))


def set_recipe(parser: ArgumentParser, recipe: Mapping[str, JsonValue]) -> None:
    """Make a recipe's settings the defaults of a parser with config arguments.

    Raises:
        ConfigError: On an unknown key or a value of the wrong type.
    """
    settings = part_lost(recipe).settings
    _check_recipe(settings)  # set_defaults does not check types
    parser.set_defaults(dict(_flatten(settings)))


def _check_recipe(recipe: Mapping[str, JsonValue]) -> Namespace:
    """Return a recipe's settings over the schema's defaults, once keys and types are right."""
    _require_known(recipe)
    try:
        given: Namespace = _settings_parser().parse_object(dict(recipe))
    except ArgumentError as error:
        raise explain(error) from None
    return given


def _require_known(recipe: Mapping[str, JsonValue]) -> None:
    for path, value in _flatten(recipe):
        if path not in field_types():
            raise unknown_key(path, value)


@cache
def _section_types() -> dict[str, type]:
    """Map the name of every section to its class."""
    return {name: kind for name, kind in typing.get_type_hints(RunConfig).items()}


@cache
def _section_parser(name: str) -> ArgumentParser:
    """Return a parser of a section's settings alone; see `_settings_parser`."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(_section_types()[name], name, as_group=True)
    return parser


@cache
def _settings_parser() -> ArgumentParser:
    """Return a parser of settings alone, which parsing leaves as it is; to make one takes a tenth of a second."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_config_arguments(parser)
    return parser


def config_from(parser: ArgumentParser, namespace: Namespace) -> RunConfig:
    """Turn parsed arguments into a `RunConfig` and check its ranges; options of the verb itself are left aside."""
    config = _instantiate(parser, namespace)
    check_ranges(config)
    return config


def _instantiate(parser: ArgumentParser, namespace: Namespace) -> RunConfig:
    instantiated = parser.instantiate(namespace)
    return RunConfig(**{section.name: instantiated[section.name] for section in dataclasses.fields(RunConfig)})


def to_yaml(config: RunConfig) -> str:
    """Write a configuration as YAML that `read_recipe` reads back; sections in the order of the schema.

    The packages of methods that are not ours are named below them.
    """
    document, packages = to_plain(config), name_packages(config)
    assert isinstance(document, dict)
    if packages:
        document = {**document, PACKAGES: packages}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def to_plain(section: object) -> JsonValue:
    """Turn a configuration (section) into nested dicts, lists and scalars."""
    if dataclasses.is_dataclass(section):
        return {field.name: to_plain(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, tuple):
        return [to_plain(item) for item in section]
    assert section is None or isinstance(section, bool | int | float | str), f"unexpected value {section!r}"
    return section


def _flatten(document: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for key, value in document.items():
        path = f"{prefix}{key}"
        # A list or scalar where a section belongs is left whole: jsonargparse names the path.
        if isinstance(value, dict) and path not in field_types():
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value
