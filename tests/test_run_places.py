"""Where a run may be, and what its folder must hold."""

from pathlib import Path

import pytest

from tests.data.four_images import with_images
from weakseg.chain import run_recipe
from weakseg.cli import main
from weakseg.config.load import build_config
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.recipe import read_run_config


def test_a_run_right_in_the_folder_of_its_images_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with_images(tmp_path, ("cat/1.jpg", "dog/2.jpg"))
    config = build_config({"data": {"name": "folder", "root": str(tmp_path)}})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"--out: expected a folder other than that of the images, got .*--out "):
        run_recipe(config, tmp_path / "cat" / "..")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_recipe_of_a_run_is_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(ArtifactError, match="expected the settings of a run, got an empty file"):
        read_run_config(tmp_path)
    assert main(["run", str(tmp_path)]) == 1
    assert "recipe.yaml: expected the settings of a run, got an empty file" in capsys.readouterr().err
