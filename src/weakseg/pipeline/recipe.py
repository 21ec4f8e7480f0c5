"""Reading the recipe that a run folder was made with."""

from __future__ import annotations

from pathlib import Path

from weakseg.config.load import build_config
from weakseg.config.saved_recipe import read_saved_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError
from weakseg.pipeline.run_folder import RunFolder


def read_run_config(run: Path) -> RunConfig:
    """Return the recipe of a run folder.

    Raises:
        ArtifactError: If it is none, or its recipe is empty.
    """
    recipe = RunFolder(run).recipe
    if not recipe.is_file():
        raise ArtifactError(f"{run} is no run folder: expected a {recipe.name} in it, which 'weakseg run' writes")
    return build_config(read_saved_recipe(recipe))
