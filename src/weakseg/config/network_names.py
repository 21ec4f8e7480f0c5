"""Names of networks: those of registered backbones, and `hf:` with what `transformers` is to look for."""

from __future__ import annotations

from weakseg.errors import ConfigError
from weakseg.files import absolute_path, expand_home
from weakseg.methods import Shows
from weakseg.registry import BACKBONES

HF_PREFIX = "hf:"
"""What the name of a network of `transformers` begins with."""


def hf_name(name: str) -> str | None:
    """Return what `transformers` is to look for: a repository, folder or file; None for a registered backbone."""
    return name.removeprefix(HF_PREFIX) if name.startswith(HF_PREFIX) else None


def absolute_name(name: str) -> str:
    """Return a network's name with the path in it, if it is that of a file or folder, made absolute."""
    found = hf_name(name)
    return name if not found else f"{HF_PREFIX}{absolute_model(found)}"


def absolute_model(name: str) -> str:
    """Return the name of a network of `transformers`, made absolute if it is that of a file or folder.

    A name that could be that of a repository as well is a folder if there is one.
    """
    is_path = name.endswith(".json") or name[:1] in (".", "/", "~") or expand_home(name).exists()
    return str(absolute_path(name)) if name and is_path else name


def require_backbone(section: str, name: str, what: Shows | None, *, takes_hf: bool) -> None:
    """Raise a `ConfigError` unless a registered backbone may carry a network: it must show what that reads.

    Args:
        section: The network's section, for the message.
        name: The backbone.
        what: What it must show; None for whatever it has.
        takes_hf: Whether one of `transformers` would do as well.
    """
    if shows(name, what):
        return
    expected = ", ".join(names_that_show(what))
    if takes_hf:
        expected += f", or '{HF_PREFIX}' and a repository of the Hugging Face hub, a folder or a config.json"
    meant = f"; did you mean '{HF_PREFIX}{name}'?" if takes_hf and "/" in name else ""
    raise ConfigError(f"{section}.name: expected one of {expected}, got {name}{meant}")


def shows(name: str, what: Shows | None) -> bool:
    """Say whether a backbone is registered and shows its stages, or its levels; None for whatever it has.

    Raises:
        ConfigError: If its package cannot be imported.
    """
    return name in BACKBONES.names() and BACKBONES.load(name).shows(what)


def names_that_show(what: Shows | None) -> tuple[str, ...]:
    """Return the names of the registered backbones that do; their packages are imported."""
    return tuple(facts.name for facts in BACKBONES.usable() if facts.shows(what))
