from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.sizes import TINY_STUDY
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES
from weakseg.studies.methods.offers import find_offer, open_offers, take_classifier
from weakseg.studies.methods.runs import Refinement, SeedRuns, restrict_config, with_seed
from weakseg.studies.methods.scores import score_masks, scored_split
from weakseg.studies.methods.sweeps import sweep_masks

pytestmark = pytest.mark.slow

AUTO = (
    *TINY_STUDY,
    "--refine.background_threshold=auto",
    "--localize.similarity_temperature=0.1",
    "--refine.confidence=true",
    "--refine.stable_within=[2.0, 1.2]",
)
CONFIG = restrict_config(build_config(read_recipe("methods_critters"), AUTO), split="train")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SeedRuns:
    """Runs of one seed on five images; tests ask for what they need."""
    enough = with_settings(CONFIG, ("classifier.epochs", 8), ("classifier.optim.learning_rate", 0.1))
    return SeedRuns(with_seed(enough, 0), tmp_path_factory.mktemp("seed"), images=5)


def test_only_the_sample_is_localised_and_a_run_can_be_gone_on_with(runs: SeedRuns) -> None:
    context = runs.seeds("cam")
    assert runs.context.only is not None
    assert {sample.id for sample in scored_split(context, "train")} == runs.context.only
    there = [sample.id for sample in context.train if context.folder.seed(sample.id).is_file()]
    assert sorted(there) == sorted(runs.context.only)
    assert len(context.train) == 12


@pytest.mark.parametrize("name", ["cam", "lpcam", "rib"])
def test_averages_made_from_plain_seeds_are_those_of_the_stage(runs: SeedRuns, name: str, tmp_path: Path) -> None:
    found = runs.seeds(f"{name}-averaged")
    own = SeedRuns(runs.context.config, tmp_path, images=5)._open("own", found.config)
    for only in ("classify", "localize"):
        run_stages(own, STAGES, only=only)
    for sample in scored_split(own, "train"):
        assert own.folder.seed(sample.id).read_bytes() == found.folder.seed(sample.id).read_bytes()
    fingerprints = [read_records(context.folder)["localize"].fingerprint for context in (own, found)]
    assert fingerprints[0] == fingerprints[1]


def test_a_sweep_scores_what_masks_at_a_threshold_score(runs: SeedRuns) -> None:
    context = runs.open_masks("cam", Refinement("crf"))
    swept = sweep_masks(context, split="train", fixed=0.3)
    fixed = score_masks(runs.masks("cam", Refinement("crf", 0.3)), split="train", truth_digest="")
    assert swept.fixed == fixed.mean_iou
    best = runs.masks("cam", Refinement("crf", swept.best_threshold))
    assert swept.best == score_masks(best, split="train", truth_digest="").mean_iou
    assert swept.best is not None
    assert swept.auto is not None
    assert swept.best >= max(swept.auto, swept.fixed or 0.0)
    assert read_mask(best.folder.mask(next(iter(scored_split(best, "train"))).id)).shape == (48, 48)
    path = next((context.folder.root / "sweep").rglob("*.json"))
    content = path.read_text()
    path.unlink()
    assert sweep_masks(context, split="train", fixed=0.3) == swept
    assert path.read_text() == content
    path.write_text("{")
    with pytest.raises(ArtifactError, match="is missing or damaged"):
        sweep_masks(context, split="train", fixed=0.3)
    path.unlink()


def test_a_finished_run_lends_its_classifier_where_all_settings_agree(
    runs: SeedRuns, tmp_path: Path, told: list[str]
) -> None:
    runs.seeds("cam")
    offers = open_offers([runs.context.folder.root / "cam"])
    data = str(runs.context.config.data.root)
    photos = with_settings(runs.context.config, ("data.name", "voc"), ("data.root", data))
    taking = SeedRuns(photos, tmp_path / "a", images=5, offers=offers)
    taken = taking.seeds("cam")
    model = taken.folder.network("classifier").model
    assert model.samefile(runs.seeds("cam").folder.network("classifier").model)
    assert any(line.startswith("the classifier of ") and " is taken: " in line for line in told)
    other = with_settings(photos, ("classifier.batch_size", 3))
    context = SeedRuns(other, tmp_path / "b", offers=offers)._open("cam", other)
    assert find_offer(context, offers) is None
    take_classifier(context, offers)
    assert told[-1].endswith("is not taken for cam: classifier.batch_size was 4, is 3")
    with pytest.raises(ArtifactError, match=r"^--runs: .*nothing has no trained classifier"):
        open_offers([tmp_path / "nothing"])
