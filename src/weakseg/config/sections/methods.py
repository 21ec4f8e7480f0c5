"""The sections of a stage's methods, ours and strangers': one field each, as the registry knows them."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any, TypeVar

from weakseg.errors import ConfigError
from weakseg.methods import MethodFacts
from weakseg.registry import Registry

Section = TypeVar("Section")


def add_sections(
    base: type[Section], name: str, registry: Registry[Any], *, shared: tuple[str, ...] = ()
) -> type[Section]:
    """Make the class of a stage's section: the stage's own settings, and a section for each method that has any.

    Args:
        base: The stage's own settings. `{methods}` in its docstring becomes what each method does.
        name: Name of the class.
        registry: The methods.
        shared: Methods whose sections others use as well, for the help text.

    Raises:
        ConfigError: If a method is called like a setting of the stage.
    """
    hints, own = typing.get_type_hints(base), dataclasses.fields(base)  # type: ignore[arg-type]
    methods: tuple[MethodFacts[Any], ...] = registry.usable()
    taken = {item.name for item in own}
    for method in methods:
        if method.name in taken:
            package = registry.entries()[method.name].package
            raise ConfigError(
                f"{registry.what} '{method.name}' of the package {package} is called like a setting of its stage; "
                "uninstall it"
            )
    fields = [(item.name, hints[item.name], _copy(item)) for item in own]
    for method in methods:
        if method.has_section:
            _resolve_types(method.settings)
            fields.append((method.name, method.settings, dataclasses.field(default_factory=method.settings)))
    made = dataclasses.make_dataclass(
        name, fields, bases=(base,), frozen=True, namespace={"__doc__": _describe(base, methods, shared)}
    )
    made.__module__, made.__qualname__ = base.__module__, name
    return made


def _resolve_types(settings: type) -> None:
    """Replace annotations that are texts by the types themselves.

    jsonargparse resolves texts by running the module's imports for type checkers, and those of a method import torch.
    """
    vars(settings)["__init__"].__annotations__.update(typing.get_type_hints(settings))


def _copy(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=item.default_factory, metadata=item.metadata)
    return dataclasses.field(default=item.default, metadata=item.metadata)


def _describe(base: type, methods: tuple[MethodFacts[Any], ...], shared: tuple[str, ...]) -> str:
    """Return the docstring from which jsonargparse takes help texts."""
    summaries = "; ".join(f"`{method.name}`: {method.summary}" for method in methods)
    lines = [inspect.cleandoc(base.__doc__ or "").replace("{methods}", summaries)]
    for method in methods:
        if method.has_section:
            and_others = ", and of others that use it" if method.name in shared else ""
            lines.append(f"    {method.name}: Settings of `{method.name}`{and_others}.")
    return "\n".join(lines)
