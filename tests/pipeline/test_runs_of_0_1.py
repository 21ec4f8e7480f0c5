"""Runs made by weakseg 0.1 stay valid: `tests/golden/README.md` says how these were recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import with_settings
from weakseg.chain import CHAIN
from weakseg.config.load import build_config, read_recipe
from weakseg.pipeline import threshold
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES

GOLDEN = Path(__file__).parent.parent / "golden"
FINGERPRINTS: dict[str, dict[str, str]] = json.loads((GOLDEN / "fingerprints_0_1.json").read_text())


@pytest.fixture(autouse=True)
def old_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of `auto` has changed on purpose since, by which masks that it cut are out of date."""
    monkeypatch.setattr(threshold, "RULE_VERSION", 4)


@pytest.fixture
def old_run(tmp_path: Path) -> RunFolder:
    """A run of 0.1, its photographs where its recipe has them; files stand in for its networks."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(GOLDEN / "run_0_1", folder.root)
    recipe = folder.recipe.read_text()
    folder.recipe.write_text(recipe.replace("PHOTOS", str(folder.root / "photos")))
    for name in ("classifier", "segmenter"):
        folder.network(name).model.write_bytes(b"")
    (folder.root / "report.html").write_text("")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("words", FINGERPRINTS)
def test_unchanged_settings_have_the_fingerprints_of_0_1(words: str) -> None:
    recipe, *overrides = words.split(" ")
    config = build_config(read_recipe(recipe), tuple(overrides))
    # No input of these recipes looks at images.
    context = Context(config, RunFolder(Path("nowhere")), torch.device("cpu"), None, None, {"train": "a", "val": "b"})  # type: ignore[arg-type]
    planned = {name: record.fingerprint for name, record in plan_records(context, STAGES).items()}
    assert planned == FINGERPRINTS[words]


def test_every_stage_of_an_old_run_is_up_to_date(old_run: RunFolder, told: list[str]) -> None:
    context = prepare(with_settings(read_run_config(old_run.root), ("runtime.device", "cpu")), old_run)
    # The page has changed on purpose since, so that it is made again; no other stage depends on it.
    run_stages(context, [replace(stage, version=2) if stage.name == "report" else stage for stage in CHAIN])
    done = [line.split(":")[0] for line in told if "finished before" in line]
    assert done == [stage.name for stage in CHAIN]
