"""Reading recipes: YAML file, then command-line overrides, then range checks; every mistake is one exact line.

jsonargparse parses and converts; this module decides where values come from and rewords its complaints as
`dotted.path: expected ..., got ...; did you mean ...?`.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from yaml.constructor import ConstructorError

from weakseg.config.ranges import check_ranges
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.spelling import nearest

RECIPE_SUFFIXES = (".yaml", ".yml")


def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes inside the package, sorted."""
    folder = resources.files("weakseg.config") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


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
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"recipe {path}: expected a text in UTF-8, got {error}") from None
    elif name_or_path in list_recipes():
        text = (resources.files("weakseg.config") / "recipes" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"recipe '{name_or_path}': expected a built-in recipe, a .yaml file or a run folder; "
            f"{nearest(name_or_path, list_recipes())}"
        )
    try:
        document = yaml.load(text, _UniqueKeys) or {}  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {name_or_path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"recipe {name_or_path}: expected sections such as 'data:', got {type(document).__name__}")
    return document


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a section or setting that is given twice, of which YAML's loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


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
    given, parser = _check_recipe(recipe), _settings_parser()
    try:
        namespace = parser.parse_args(list(overrides), namespace=given)
    except ArgumentError as error:
        raise explain(error) from None
    return config_from(parser, namespace)


def set_recipe(parser: ArgumentParser, recipe: Mapping[str, JsonValue]) -> None:
    """Make a recipe's settings the defaults of a parser with config arguments.

    Raises:
        ConfigError: On an unknown key or a value of the wrong type.
    """
    _check_recipe(recipe)  # set_defaults does not check types
    parser.set_defaults(dict(_flatten(recipe)))


def _check_recipe(recipe: Mapping[str, JsonValue]) -> Namespace:
    """Return a recipe's settings over the schema's defaults, once keys and types are right."""
    for path, value in _flatten(recipe):
        if path not in _field_types():
            raise _unknown_key(path, value)
    try:
        given: Namespace = _settings_parser().parse_object(dict(recipe))
    except ArgumentError as error:
        raise explain(error) from None
    return given


@cache
def _settings_parser() -> ArgumentParser:
    """Return a parser of settings alone, which parsing leaves as it is; to make one takes a tenth of a second."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_config_arguments(parser)
    return parser


def config_from(parser: ArgumentParser, namespace: Namespace) -> RunConfig:
    """Turn parsed arguments into a `RunConfig` and check its ranges; options of the verb itself are left aside."""
    instantiated = parser.instantiate(namespace)
    config = RunConfig(**{section.name: instantiated[section.name] for section in dataclasses.fields(RunConfig)})
    check_ranges(config)
    return config


def to_yaml(config: RunConfig) -> str:
    """Write a configuration as YAML that `read_recipe` reads back; sections in the order of the schema."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)


def to_plain(section: object) -> JsonValue:
    """Turn a configuration (section) into nested dicts, lists and scalars."""
    if dataclasses.is_dataclass(section):
        return {field.name: to_plain(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, tuple):
        return [to_plain(item) for item in section]
    assert section is None or isinstance(section, bool | int | float | str), f"unexpected value {section!r}"
    return section


def explain(error: Exception) -> ConfigError:
    """Reword a complaint of jsonargparse as one line: path, what was expected, what arrived, nearest valid name."""
    text = str(error)
    unknown = re.search(r"(?:[Uu]nrecognized arguments:|does not accept option)\s+'?(?:--)?([\w.]+)'?=?\s*(.*)", text)
    if unknown:
        group = re.search(r"Group '([\w.]+)'", text)
        path = f"{group.group(1)}.{unknown.group(1)}" if group else unknown.group(1)
        return _unknown_key(path, unknown.group(2).strip() or None)
    named = re.findall(r'key "([\w.]+)"', text)
    if named and named[-1] in _field_types():
        path = named[-1]  # the innermost of nested complaints
        # A setting of several types has a complaint for each, and the value after the last one.
        arrived = re.search(r".*(?:Got|Given) value: (.*?)\s*$", text, re.DOTALL)
        got = " ".join(arrived.group(1).split()) if arrived else "something else"
        return ConfigError(f"{path}: expected {_describe(_field_types()[path])}, got {got}")
    loaded = re.search(r"Unable to load config '(.*?)'", text, re.DOTALL)
    if named and loaded:
        return _unknown_key(named[-1], loaded.group(1))
    return ConfigError(" ".join(text.split()))


def _unknown_key(path: str, value: JsonValue) -> ConfigError:
    if any(known.startswith(f"{path}.") for known in _field_types()):
        return ConfigError(f"{path}: expected a section with settings of its own, got {value}")
    got = "" if value is None else f" (got {value})"
    same_leaf = [known for known in _field_types() if known.split(".")[-1] == path.split(".")[-1]]
    hint = f"did you mean '{same_leaf[0]}'?" if len(same_leaf) == 1 else nearest(path, _field_types())
    return ConfigError(f"{path}: no such setting{got}; {hint}")


def _flatten(document: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for key, value in document.items():
        path = f"{prefix}{key}"
        # A list or scalar where a section belongs is left whole: jsonargparse names the path.
        if isinstance(value, dict) and path not in _field_types():
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value


@cache
def _field_types() -> dict[str, object]:
    """Map the dotted path of every setting to its annotation."""
    return dict(_walk_types(RunConfig, ""))


def _walk_types(section: type, prefix: str) -> Iterator[tuple[str, object]]:
    for name, annotation in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield from _walk_types(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", annotation


def _describe(annotation: object) -> str:
    """Say an annotation in words a user knows."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal and len(arguments) == 1:
        return str(arguments[0])
    if origin is typing.Literal:
        return f"one of {', '.join(str(argument) for argument in arguments)}"
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {_describe(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(_describe(argument) for argument in arguments)}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    words: dict[object, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(annotation, "null" if annotation is type(None) else str(annotation))
