"""Reading the recipe that a run folder keeps."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.load import read_recipe
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue


def read_saved_recipe(path: Path) -> dict[str, JsonValue]:
    """Read the `recipe.yaml` of a run, which always says every setting.

    Raises:
        ConfigError: If it cannot be read, see `read_recipe`.
        ArtifactError: If it says nothing: taken for a recipe it would be that of another run.
    """
    settings = read_recipe(str(path))
    if not settings:
        raise ArtifactError(
            f"{path}: expected the settings of a run, got an empty file, as a full disk leaves one; put back a copy, "
            "or begin another run"
        )
    return settings
