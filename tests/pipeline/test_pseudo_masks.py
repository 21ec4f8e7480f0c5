import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import contents, make_context
from tests.pipeline.test_refiners import IRN, PSA, write_seeds
from tests.tiny import SIZE_HW, make_dataset, with_settings
from weakseg.config.ranges import check_ranges
from weakseg.data.base import Dataset
from weakseg.data.grey import encode_grey, read_grey
from weakseg.data.masks import read_mask
from weakseg.data.sure_masks import SureMasks
from weakseg.errors import ConfigError, DataError
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import normalise
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import load_affinitynet, load_irnet
from weakseg.pipeline.pseudo_masks import training_masks, write_pseudo_mask
from weakseg.pipeline.refiners import refine_seeds, refined_files, unmade_file
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES, classify, refine, segment
from weakseg.pipeline.turns import OwnTurns
from weakseg.refine.crf import crf_marginals
from weakseg.refine.irn import walked_maps
from weakseg.refine.psa import AffinityWalk, psa_scores
from weakseg.refine.soft_labels import SoftMask, score_threshold, soften, to_grey

CONFIDENCE = ("refine.confidence", True)
WEAK = (50.0, 5.0, 0.5)
"""Kernel of a CRF that leaves doubts; on images as simple as these the usual ones are sure of nearly every pixel."""

WEAK_CRF = (("refine.crf.iterations", 2), ("refine.crf.bilateral", WEAK))
WEAK_PSA = (("refine.psa.bilateral", WEAK), ("refine.psa.gaussian", (3.0, 0.5)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (1,), (0, 1), (1, 2)))
    return train, make_dataset(root, ((0,), (2, 1)), split="val", sizes_hw=((20, 31), SIZE_HW))


def assert_written(context: Context, sample_id: str, expected: SoftMask) -> None:
    assert read_mask(context.folder.mask(sample_id)).tolist() == expected.labels.tolist()
    grey = read_grey(context.folder.confidence_map(sample_id))
    assert grey.tolist() == to_grey(expected.confidence).tolist()
    assert len(np.unique(grey)) > 2, "a confidence that says something"


@pytest.mark.parametrize("method", ["none", "crf"])
def test_confidence_is_written_beside_the_masks_of_every_image(
    tmp_path: Path, splits: tuple[Dataset, Dataset], method: str
) -> None:
    context = make_context(tmp_path, splits, ("refine.method", method), *WEAK_CRF, CONFIDENCE)
    write_seeds(context)
    refine(context)
    for dataset in seeded_datasets(context):
        for sample in dataset:
            seed = load_seed(context.folder.seed(sample.id))
            maps = seed.full().numpy()
            if method == "crf":
                image = dataset.load_image(sample)
                weak = CRFSettings((3.0, 3.0), WEAK, 2)
                scores = crf_marginals(image, maps, seed.keys, background_threshold=0.15, settings=weak)
            else:
                scores = score_threshold(maps, background_threshold=0.15)
            assert_written(context, sample.id, soften(scores, seed.keys))
    assert len(refined_files(context, seeded_datasets(context))) == 2 * 6


@pytest.mark.slow
def test_irn_is_as_sure_as_its_walked_maps(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, *IRN, CONFIDENCE)
    classify(context)
    write_seeds(context)
    refine(context)
    irnet, _ = load_irnet(context.folder.network("refiner").model, context.device)
    for sample in context.train:
        image, seed = context.train.load_image(sample), load_seed(context.folder.seed(sample.id))
        edge, _ = irnet.infer(normalise(image), crop_size=40)
        walked = walked_maps(seed.strided(4), edge, image_size_hw=image.shape[:2], doublings=3, seed_power=1.5)
        assert_written(
            context, sample.id, soften(score_threshold(walked.numpy(), background_threshold=0.15), seed.keys)
        )


@pytest.mark.slow
@pytest.mark.parametrize("final_crf", [False, True])
def test_psa_is_as_sure_as_its_walked_scores_or_its_marginals(
    tmp_path: Path, splits: tuple[Dataset, Dataset], final_crf: bool
) -> None:
    context = make_context(tmp_path, splits, *PSA, *WEAK_PSA, ("refine.psa.final_crf", final_crf), CONFIDENCE)
    classify(context)
    write_seeds(context)
    refine(context)
    network, _ = load_affinitynet(context.folder.network("refiner").model, context.device)
    for sample in context.train:
        image, seed = context.train.load_image(sample), load_seed(context.folder.seed(sample.id))
        with torch.no_grad():
            features = network(normalise(image)[None])[0]
        scores = psa_scores(
            seed.full(),
            seed.keys,
            features,
            image=image if final_crf else None,
            walk=AffinityWalk(alpha=6.0, radius=2, doublings=2),
            settings=CRFSettings((3.0, 0.5), WEAK, 2),
        )
        assert_written(context, sample.id, soften(scores, seed.keys))


def test_confidence_of_a_small_copy_gets_the_size_of_the_image(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, CONFIDENCE)
    sample = context.train.samples[0]
    mask = SoftMask(np.array([[0, 1]], np.uint8), np.array([[0.6, 1.0]], np.float32))
    write_pseudo_mask(context, sample, mask, (2, 4))
    assert read_mask(context.folder.mask(sample.id)).tolist() == [[0, 0, 1, 1]] * 2
    assert read_grey(context.folder.confidence_map(sample.id)).tolist() == [[153, 153, 255, 255]] * 2


def test_a_missing_file_of_either_kind_is_made_again(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, CONFIDENCE)
    write_seeds(context)
    refine(context)
    before = contents(tmp_path)
    context.folder.mask("train_1").unlink()
    context.folder.confidence_map("val_0").unlink()
    kept = context.folder.mask("train_0").stat().st_mtime_ns
    assert unmade_file(context, "val_0") == context.folder.confidence_map("val_0")
    assert unmade_file(context, "train_1") == context.folder.mask("train_1")
    refine_seeds(context, seeded_datasets(context))
    assert contents(tmp_path) == before
    assert context.folder.mask("train_0").stat().st_mtime_ns == kept


def test_two_processes_share_the_confidence_out(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_context(tmp_path / "whole", splits, CONFIDENCE)
    shared = make_context(tmp_path / "shared", splits, CONFIDENCE)
    for context in (whole, shared):
        write_seeds(context)
    refine(whole)
    for rank in (0, 1):
        shares = {6: range(rank, 6, 2)}
        monkeypatch.setattr(
            "weakseg.pipeline.image_jobs.open_turns", lambda images, shares=shares, **_: OwnTurns(shares[images])
        )
        refine(shared)
        assert len(list(shared.folder.confidence_maps.iterdir())) == (3 if rank == 0 else 6)
    assert contents(shared.folder.root) == contents(whole.folder.root)


@pytest.mark.slow
def test_switching_confidence_on_asks_for_the_masks_to_be_made_again(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits)
    run_stages(context, STAGES)
    sure = make_context(tmp_path, splits, CONFIDENCE)
    message = r"stage 'refine' .*: refine\.confidence was False, is True; add --redo refine"
    with pytest.raises(ConfigError, match=message):
        run_stages(sure, STAGES)
    run_stages(sure, STAGES, redo="refine")
    assert len(list(context.folder.confidence_maps.iterdir())) == 6
    picky = make_context(tmp_path, splits, CONFIDENCE, ("segmenter.ignore_below", 0.6))
    message = r"stage 'segment' .*: segmenter\.ignore_below was 0\.0, is 0\.6; add --redo segment"
    with pytest.raises(ConfigError, match=message):
        run_stages(picky, STAGES)
    # Redone without it, the folder is gone: it belongs to the stage.
    run_stages(context, STAGES, redo="refine")
    assert not context.folder.confidence_maps.exists()


@pytest.mark.slow
def test_the_segmenter_learns_from_sure_pixels_only(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, CONFIDENCE, ("segmenter.ignore_below", 0.75))
    classify(context)
    write_seeds(context)
    refine(context)
    before = contents(context.folder.masks)
    reader = training_masks(context)
    assert isinstance(reader, SureMasks)
    sample = context.train.samples[2]
    sure = read_grey(context.folder.confidence_map(sample.id)) >= 191  # 0.75 * 255 = 191.25
    labels = read_mask(context.folder.mask(sample.id))
    assert reader(sample).tolist() == np.where(sure, labels, 255).tolist()
    assert 0 < (~sure).sum() < sure.size
    segment(context)
    assert contents(context.folder.masks) == before
    for path in context.folder.confidence_maps.iterdir():
        path.write_bytes(encode_grey(np.zeros_like(read_grey(path))))
    untaught = make_context(tmp_path, splits, CONFIDENCE, ("segmenter.ignore_below", 0.75))
    untaught.folder.network("segmenter").model.unlink()
    assert segment(untaught) == "4 images, loss 0.0000"  # nothing is sure, so nothing is learnt


def test_without_confidence_files_the_segmenter_says_what_to_do(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits, CONFIDENCE, ("segmenter.ignore_below", 0.75))
    classify(context)
    write_seeds(context)
    refine(context)
    context.folder.confidence_map("train_3").unlink()
    with pytest.raises(DataError, match=re.escape("image 'train_3' has no confidence at ")):
        segment(context)


def test_ignore_below_needs_confidence(splits: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    config = with_settings(make_context(tmp_path, splits).config, ("segmenter.ignore_below", 0.5))
    with pytest.raises(ConfigError) as raised:
        check_ranges(config)
    assert str(raised.value) == (
        "segmenter.ignore_below: 0.5 needs to know how sure the masks are; set refine.confidence to true, or "
        "segmenter.ignore_below to 0"
    )
    check_ranges(with_settings(config, CONFIDENCE))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "crf"])
def test_training_pixels_whose_label_hangs_on_the_threshold_have_no_confidence(
    tmp_path: Path, splits: tuple[Dataset, Dataset], method: str
) -> None:
    settings = (("refine.method", method), ("refine.background_threshold", 0.4), *WEAK_CRF, CONFIDENCE)
    masks = {}
    for threshold in (0.2, 0.4, 0.8):
        context = make_context(tmp_path / str(threshold), splits, *settings, ("refine.background_threshold", threshold))
        write_seeds(context)
        refine(context)
        masks[threshold] = {id: read_mask(context.folder.mask(id)) for id in ("train_0", "val_0")}
    stable = make_context(tmp_path / "stable", splits, *settings, ("refine.stable_within", (2.0, 2.0)))
    write_seeds(stable)
    refine(stable)
    doubted = (masks[0.2]["train_0"] != masks[0.4]["train_0"]) | (masks[0.8]["train_0"] != masks[0.4]["train_0"])
    assert 0 < doubted.mean() < 1
    confidence = read_grey(stable.folder.confidence_map("train_0"))
    np.testing.assert_array_equal(confidence == 0, doubted)
    np.testing.assert_array_equal(read_mask(stable.folder.mask("train_0")), masks[0.4]["train_0"])
    assert read_grey(stable.folder.confidence_map("val_0")).min() > 0, "nothing is learnt from these"
    picky = replace(stable, config=with_settings(stable.config, ("segmenter.ignore_below", 0.01)))
    teachable = training_masks(picky)(splits[0].samples[0])
    np.testing.assert_array_equal(teachable, np.where(doubted, 255, masks[0.4]["train_0"]))


def test_stable_within_needs_confidence(splits: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    config = with_settings(make_context(tmp_path, splits).config, ("refine.stable_within", (2.0, 1.0)))
    with pytest.raises(ConfigError) as raised:
        check_ranges(config)
    assert str(raised.value) == (
        "refine.stable_within: [2, 1] takes confidence from pixels whose label hangs on the threshold, but "
        "refine.confidence is false; set it to true, or refine.stable_within to [1, 1]"
    )
    check_ranges(with_settings(config, CONFIDENCE))
