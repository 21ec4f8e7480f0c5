import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import make_context
from tests.pipeline.test_refiners import IRN, PSA
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.ops.crf_settings import PSA_CRF
from weakseg.pipeline import fitting as subject
from weakseg.pipeline.artifacts import load_seed, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.fits import fitted_section
from weakseg.pipeline.refiners import refined_files
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES, classify, refine
from weakseg.pipeline.threshold_file import load_choice, write_choice
from weakseg.refine.confidence import confident_labels
from weakseg.refine.psa import psa_labels
from weakseg.refine.sure import balancing_alpha, sure_background, sure_foreground
from weakseg.refine.threshold.choice import ThresholdChoice
from weakseg.types import ScoreMaps

AUTO_IRN = (*IRN, ("refine.irn.foreground", "auto"), ("refine.irn.background", "auto"), ("refine.irn.instances", False))
AUTO_PSA = (*PSA, *((f"refine.psa.{name}_alpha", "auto") for name in ("low", "high", "walk")))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (1,), (), (2,), (0, 1)), truth=True)
    return train, make_dataset(root, ((0,), ()), split="val")


def make_seeded(root: Path, splits: tuple[Dataset, Dataset], *settings: tuple[str, object]) -> Context:
    """Return a run with seeds that are 1 on the objects, 0.55 on a rim within them and 0.2 beside them."""
    context = make_context(root, splits, ("refine.crf.iterations", 2), *settings)
    for dataset in splits:
        for sample in dataset:
            truth = dataset.load_mask(sample)
            maps = torch.full((len(sample.keys), *truth.shape), 0.2)
            for one, key in zip(maps, sample.keys, strict=True):
                one[torch.from_numpy(truth == key + 1)] = 1.0
                one[:, 8:11] = torch.minimum(one[:, 8:11], torch.tensor(0.55))
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), truth.shape))
    return context


def chosen(threshold: float) -> ThresholdChoice:
    return ThresholdChoice(threshold, threshold, (threshold,), (1.0,), images=1, areas=(0.2,), is_clear=True)


@pytest.mark.slow
def test_irn_learns_labels_cut_around_where_the_crf_would_cut_the_seeds(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    context = make_seeded(tmp_path, splits, *AUTO_IRN)
    classify(context)
    caplog.set_level(logging.INFO)
    refine(context)
    threshold = load_choice(context.folder.seed_threshold).threshold
    assert 0.2 <= threshold < 1, "below it everything is foreground"
    above, below = sure_foreground(threshold), sure_background(threshold)
    assert (
        f"refine.irn: foreground {above:.3g}, background {below:.3g}, since the CRF would cut the seeds at "
        f"{threshold:g}" in caplog.messages
    )
    for sample in context.train:
        seed = load_seed(context.folder.seed(sample.id))
        image = context.train.load_image(sample)
        labels = confident_labels(
            image,
            seed.full().numpy(),
            seed.keys,
            foreground=above,
            background=below,
            settings=context.config.refine.crf.as_value(),
        )
        assert read_mask(context.folder.label(sample.id)).tolist() == labels.tolist()
    assert context.folder.seed_threshold in refined_files(context, [context.train])


@pytest.mark.slow
def test_psa_walks_with_the_power_that_balances_at_the_threshold(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_seeded(tmp_path, splits, *AUTO_PSA)
    classify(context)
    write_choice(context.folder.seed_threshold, chosen(0.5))
    refine(context)
    assert fitted_section(context).psa.walk_alpha == 1.0
    for sample in context.train:
        seed, image = load_seed(context.folder.seed(sample.id)), context.train.load_image(sample)
        labels = psa_labels(
            image,
            seed.full().numpy(),
            seed.keys,
            low_alpha=balancing_alpha(0.65),
            high_alpha=balancing_alpha(0.35),
            settings=replace(PSA_CRF, iterations=2),
        )
        assert read_mask(context.folder.label(sample.id)).tolist() == labels.tolist()


def test_a_choice_that_is_there_is_kept(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_seeded(tmp_path, splits, *AUTO_IRN)
    write_choice(context.folder.seed_threshold, chosen(0.8))
    monkeypatch.setattr(subject, "choose_on_tags", None)
    subject.settle_fits(context)
    assert fitted_section(context).irn.foreground == pytest.approx(0.86)


def test_only_images_that_have_seeds_are_judged(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_seeded(tmp_path, splits, *AUTO_IRN)
    only = frozenset(sample.id for sample in context.train if sample.keys == (1,))
    for sample in context.train:
        if sample.id not in only:
            context.folder.seed(sample.id).unlink()
    subject.settle_fits(replace(context, only=only))
    assert load_choice(context.folder.seed_threshold).images == 1


def test_numbers_choose_nothing(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_seeded(tmp_path, splits, *IRN)
    subject.settle_fits(context)
    assert not context.folder.seed_threshold.exists()
    assert context.folder.seed_threshold not in refined_files(context, [context.train])
    assert fitted_section(context) is context.config.refine
    assert subject.name_fit_rule(context) == {}


def test_masks_without_the_choice_name_the_stage_that_makes_it(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_seeded(tmp_path, splits, *AUTO_IRN)
    with pytest.raises(ArtifactError, match=r"there is no .*seed_threshold\.json; run the stage 'refine' first"):
        fitted_section(context)


@pytest.mark.slow
def test_a_new_rule_makes_masks_out_of_date(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tmp_path, splits, *AUTO_IRN)
    run_stages(context, STAGES, only="classify")
    run_stages(context, STAGES, only="localize")
    run_stages(context, STAGES, only="refine")
    first = context.folder.seed_threshold.stat().st_mtime_ns
    run_stages(context, STAGES, only="refine")
    assert context.folder.seed_threshold.stat().st_mtime_ns == first
    monkeypatch.setattr(subject, "RULE_VERSION", 1000)
    with pytest.raises(ConfigError, match=f"{subject.FIT_RULE} was 6, is 1000"):
        run_stages(context, STAGES, only="refine")
