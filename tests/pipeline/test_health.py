"""Runs spoilt on purpose: each must be called bad, for the right reason."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.pipeline.made_context import make_context
from tests.tiny import NAMES, make_dataset
from weakseg.data.base import Dataset
from weakseg.files import write_bytes
from weakseg.pipeline import health, image_jobs
from weakseg.pipeline.artifacts import load_seed, save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import HealthCheck, check_masks, tell_health
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.refiners import refine_seeds
from weakseg.types import Sample, ScoreMaps

TAGS = ((0,), (1,), (2,), (0, 1), (1, 2), (), (0,), (0,))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    return make_dataset(root, TAGS), make_dataset(root, ((0,), (2, 1), ()), split="val", sizes_hw=((20, 31),))


def write_seeds(context: Context) -> None:
    """Give every image seeds that are its true blocks, blurred; no map where there is no tag."""
    for dataset in seeded_datasets(context):
        for sample in dataset:
            truth = dataset.load_mask(sample)
            blocks = torch.from_numpy(np.stack([truth == key + 1 for key in (*sample.keys, 0)]).astype(np.float32))
            small = torch.nn.functional.avg_pool2d(blocks, 4, ceil_mode=True)[: len(sample.keys)]
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (small,), truth.shape))


def run(root: Path, splits: tuple[Dataset, Dataset | None], *settings: tuple[str, object]) -> Context:
    """A run with true seeds and the masks made of them."""
    context = make_context(root, splits, ("refine.method", "none"), *settings)
    write_seeds(context)
    refine_seeds(context, seeded_datasets(context))
    return context


def spoil_seeds(context: Context, change: Callable[[ScoreMaps, Tensor], Tensor]) -> None:
    """Replace every score map of every seed, and make the masks again."""
    for dataset in seeded_datasets(context):
        for sample in dataset:
            path = context.folder.seed(sample.id)
            seed = load_seed(path)
            save_seed(path, replace(seed, scales=tuple(change(seed, maps) for maps in seed.scales)))
            context.folder.mask(sample.id).unlink()
    refine_seeds(context, seeded_datasets(context))


def verdicts(checked: HealthCheck) -> list[str]:
    return [item.verdict for item in checked.health.classes]


def causes(checked: HealthCheck) -> list[list[str]]:
    return [[found.cause for found in item.counts.causes] for item in checked.health.classes]


def test_good_masks_are_called_good(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    checked = check_masks(run(tmp_path, splits, ("refine.background_threshold", 0.5)))
    assert verdicts(checked) == ["unsuspicious"] * 3
    found = checked.health
    assert (found.verdict, found.images, found.untagged_images, found.splits) == (
        "unsuspicious",
        11,
        2,
        ("train", "val"),
    )
    assert [item.counts.tagged for item in found.classes] == [5, 4, 3]
    assert [(item.id, NAMES[item.key]) for item in checked.tags[3:5]] == [("train_3", "cat"), ("train_3", "dog")]


def test_a_threshold_too_high_empties_the_masks(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = run(tmp_path, splits, ("refine.background_threshold", 0.99999))
    checked = check_masks(context)
    assert verdicts(checked) == ["bad"] * 3
    assert causes(checked) == [["below threshold"]] * 3
    assert "lower refine.background_threshold (now 0.99999)" in checked.health.classes[0].remedy


def test_a_threshold_too_low_leaves_no_background(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = run(tmp_path, splits, ("refine.background_threshold", 0.0))
    spoil_seeds(context, lambda seed, maps: maps + 0.01)
    checked = check_masks(context)
    assert verdicts(checked) == ["bad"] * 3
    assert [found[0] for found in causes(checked)] == ["above threshold"] * 3
    assert "raise refine.background_threshold (now 0)" in checked.health.classes[0].remedy


def test_a_class_that_the_classifier_never_learnt(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    def forget_dogs(seed: ScoreMaps, maps: Tensor) -> Tensor:
        return maps * torch.tensor([float(key != 1) for key in seed.keys]).reshape(-1, 1, 1)

    context = run(tmp_path, splits, ("refine.background_threshold", 0.5))
    spoil_seeds(context, forget_dogs)
    checked = check_masks(context)
    assert verdicts(checked) == ["unsuspicious", "bad", "unsuspicious"]
    assert causes(checked) == [[], ["unseen"], []]
    assert checked.health.troubled[0].finding == "4 of 4 tagged images have no dog pixel"


def test_swapped_tags_show_where_the_classifier_knows_better(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    """An image tagged cat that shows none scores far below the others."""
    context = run(tmp_path, splits, ("refine.background_threshold", 0.5))
    path = context.folder.seed("train_6")
    seed = load_seed(path)
    save_seed(path, replace(seed, scales=tuple(0.05 * maps for maps in seed.scales)))
    save_mask(context.folder.mask("train_6"), np.zeros(seed.size_hw, np.uint8))
    checked = check_masks(context)
    assert verdicts(checked) == ["doubtful", "unsuspicious", "unsuspicious"]
    assert causes(checked)[0] == ["tag doubtful"]
    assert checked.health.classes[0].counts.worst == ("train_6",)


def test_a_class_swallowed_by_another(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = run(tmp_path, splits, ("refine.background_threshold", 0.5))
    for id, labels in (("train_3", 2), ("train_4", 3)):
        save_mask(context.folder.mask(id), np.full(load_seed(context.folder.seed(id)).size_hw, labels, np.uint8))
    cat, dog, _ = check_masks(context).health.classes
    assert (cat.counts.swallowed, cat.counts.rivals) == (1, (1,))
    assert (dog.counts.swallowed, dog.counts.rivals) == (1, (2,))
    assert "in 1 of them dog has taken what its seed marks" in cat.finding


@pytest.mark.parametrize("settings", [(), (("refine.method", "psa"),), (("refine.method", "irn"),)])
def test_every_method_is_judged(
    tmp_path: Path, splits: tuple[Dataset, Dataset], settings: tuple[tuple[str, object], ...]
) -> None:
    context = run(tmp_path, splits, ("refine.background_threshold", 0.5))
    other = make_context(tmp_path / "other", splits, ("refine.background_threshold", 0.5), *settings)
    found = check_masks(replace(other, folder=context.folder)).health
    assert found.verdict == "unsuspicious"
    assert (found.method.threshold is None) == (found.method.refinement == "psa")


def test_one_class_and_one_image_of_which_nothing_is_tagged(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", ((),), names=("cell",))
    checked = check_masks(run(tmp_path, (data, None), ("localize.splits", ("train",))))
    assert (verdicts(checked), checked.tags) == (["no images"], ())


def test_80_classes(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", ((79,), (3, 40)), names=[f"c{n}" for n in range(80)])
    settings = (("localize.splits", ("train",)), ("refine.background_threshold", 0.5))
    checked = check_masks(run(tmp_path, (data, None), *settings))
    assert [item.key for item in checked.tags] == [79, 3, 40]
    assert sorted(set(verdicts(checked))) == ["no images", "unsuspicious"]


def test_several_processes_share_the_images_and_see_the_same(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = run(tmp_path, splits)
    alone = check_masks(context)
    tables: list[Tensor] = []
    for module in (health, image_jobs):
        monkeypatch.setattr(module, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(image_jobs, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(health, "sum_over_ranks", lambda table: tables.append(table) or table)
        check_masks(context)
    assert all(0 < table[:, -1].sum() < len(alone.tags) for table in tables)
    monkeypatch.setattr(health, "sum_over_ranks", lambda table: tables[0] + tables[1])
    assert check_masks(context) == alone


def test_what_cannot_be_read_is_left_out(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = run(tmp_path, splits)
    context.folder.seed("train_0").unlink()
    write_bytes(context.folder.mask("train_1"), b"no picture")
    told = {item.id for item in check_masks(context).tags}
    assert told.isdisjoint({"train_0", "train_1"})
    assert "train_2" in told


def test_the_log_has_a_line_for_each_class_to_look_at(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="weakseg")
    tell_health(check_masks(run(tmp_path / "good", splits, ("refine.background_threshold", 0.5))).health)
    good = [(record.levelname, record.getMessage()) for record in caplog.records][-1]
    assert good == ("INFO", "refine: masks judged without truth: nothing suspicious in 3 classes on 11 images")
    caplog.clear()
    bad = check_masks(run(tmp_path / "bad", splits, ("refine.background_threshold", 0.99999))).health
    caplog.clear()
    tell_health(bad)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines[0] == ("WARNING", "refine: masks judged without truth: 3 bad of 3 classes on 11 images")
    assert lines[1][1].startswith("  bad: cat: 5 of 5 tagged images have no")


def test_the_log_names_only_some_of_many_classes(told: list[str], tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(9)]
    data = make_dataset(tmp_path / "data", [(n,) for n in range(9)], names=names)
    context = run(tmp_path, (data, None), ("localize.splits", ("train",)))
    for sample in data:
        blank(context, sample)
    tell_health(check_masks(context).health)
    assert told[-1] == "  classes not named here: 4; the report has all"


def blank(context: Context, sample: Sample) -> None:
    save_mask(context.folder.mask(sample.id), np.zeros((24, 33), np.uint8))
