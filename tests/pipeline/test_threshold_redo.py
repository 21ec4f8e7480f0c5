"""What a run does with a threshold it has chosen before: it is kept, chosen anew, or found to be damaged."""

from pathlib import Path

import pytest

from tests.pipeline.made_context import make_context
from tests.pipeline.made_seeded import AUTO, make_seeded, splits
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline import threshold as subject
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES, refine
from weakseg.pipeline.threshold import (
    load_choice,
    settle_threshold,
)

assert splits, "a fixture"


def test_an_interrupted_stage_keeps_the_choice(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_seeded(tmp_path, splits)
    refine(context)
    masks = {path.name: path.read_bytes() for path in context.folder.masks.iterdir()}
    chosen = context.folder.threshold.read_bytes()
    context.folder.mask("train_3").unlink()
    monkeypatch.setattr(subject, "choose_on_tags", lambda *arguments: pytest.fail("chosen twice"))
    refine(context)
    assert context.folder.threshold.read_bytes() == chosen
    assert {path.name: path.read_bytes() for path in context.folder.masks.iterdir()} == masks


def test_the_same_seed_chooses_the_same_again(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    files = []
    for name in ("one", "other"):
        context = make_seeded(tmp_path / name, splits)
        settle_threshold(context)
        files.append(context.folder.threshold.read_bytes())
    assert files[0] == files[1]


@pytest.mark.slow
def test_only_masks_that_auto_cut_depend_on_its_rule(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = make_context(tmp_path / "chosen", splits, AUTO)
    fixed = make_context(tmp_path / "fixed", splits, ("refine.background_threshold", 0.3))
    for context in (chosen, fixed):
        run_stages(context, STAGES)
    monkeypatch.setattr(subject, "RULE_VERSION", subject.RULE_VERSION + 1)
    run_stages(fixed, STAGES)
    with pytest.raises(ConfigError, match=r"rule of background_threshold auto was \d, is \d; add --redo refine"):
        run_stages(chosen, STAGES)


@pytest.mark.slow
def test_redo_chooses_anew_and_a_number_leaves_no_choice_behind(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits, AUTO)
    run_stages(context, STAGES)
    context.folder.threshold.write_text("{}")
    run_stages(context, STAGES, redo="refine")
    assert load_choice(context.folder.threshold).images == 4
    context.folder.threshold.unlink()
    run_stages(context, STAGES)
    assert load_choice(context.folder.threshold).images == 4, "a file that is gone is made again"
    fixed = make_context(tmp_path, splits, ("refine.background_threshold", 0.3))
    with pytest.raises(ConfigError, match=r"refine\.background_threshold was auto, is 0\.3; .*add --redo refine"):
        run_stages(fixed, STAGES)
    run_stages(fixed, STAGES, redo="refine")
    assert not context.folder.threshold.exists()


@pytest.mark.parametrize("name", ["threshold.json", "confidence", "masks"])
def test_files_of_others_in_the_place_of_a_refinements_are_refused(
    tmp_path: Path, splits: tuple[Dataset, Dataset], name: str
) -> None:
    context = make_context(tmp_path, splits, AUTO, ("refine.confidence", True))
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_text("mine")
    with pytest.raises(ArtifactError, match=rf"{name} exists, but run\.json does not tell that the stage 'refine'"):
        run_stages(context, STAGES)
    assert (tmp_path / name).exists()
    assert not context.folder.state.exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"threshold": "low", "candidates": [], "curve": []}'])
def test_a_damaged_choice_is_named(tmp_path: Path, text: str) -> None:
    path = RunFolder(tmp_path).threshold
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"threshold\.json is damaged .*--redo refine"):
        load_choice(path)
