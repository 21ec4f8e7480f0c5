from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import CONFIG, TRAIN_IDS, VAL_IDS, contents, done, make_context, splits
from tests.tiny import with_settings
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError
from weakseg.localize.cam import score_maps
from weakseg.ops.images import resize_image
from weakseg.pipeline import image_jobs
from weakseg.pipeline.artifacts import load_info, load_seed, save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import iterate_pending, seeded_datasets
from weakseg.pipeline.networks import load_classifier, load_history
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.pipeline.stages import STAGES, classify, localize, refine, segment
from weakseg.pipeline.turns import OwnTurns
from weakseg.refine.masks import seed_to_mask

assert all((done, splits)), "fixtures"


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """(rank, number of processes): which images are this process's turn."""
    place = [0, 1]

    def take_share(images: int, *, is_pending: Callable[[int], bool]) -> OwnTurns:
        return OwnTurns([number for number in range(place[0], images, place[1]) if is_pending(number)])

    monkeypatch.setattr(image_jobs, "open_turns", take_share)
    return place


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_stage_writes_the_files_it_promises(done: Context) -> None:
    for stage in STAGES:
        assert stage.files is not None
        assert all(path.is_file() for path in stage.files(done)), stage.name
        # This run compares nothing and refines by a threshold alone.
        thresholds = {"threshold.json", "seed_threshold.json"}
        not_used = {"localizer", "adaptations", "labels", "refiner", "confidence", "instances", *thresholds}
        written = set(stage.outputs) - not_used
        assert all((done.folder.root / output).exists() for output in written)
    assert names(done.folder.seeds) == names(done.folder.masks) == TRAIN_IDS + VAL_IDS
    assert contents(done.folder.root).keys() == {
        "recipe.yaml",
        "masks.json",
        *(f"{kind}/{name}" for kind in ("classifier", "segmenter") for name in ("model.safetensors", "history.json")),
        *(f"seeds/{id}.npz" for id in TRAIN_IDS + VAL_IDS),
        *(f"masks/{id}.png" for id in TRAIN_IDS + VAL_IDS),
    }


def test_the_classifier_is_trained_and_summed_up(
    done: Context, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits)
    summary = classify(context)
    folder = context.folder.network("classifier")
    history = load_history(folder)
    assert [record.epoch for record in history] == [1, 2]
    reached = 100 * history[-1].metrics["map"]
    assert summary == f"6 images, loss {history[-1].loss:.4f}, mAP {reached:.1f} on val, 3 images"
    assert folder.model.read_bytes() == done.folder.network("classifier").model.read_bytes()
    assert load_info(folder.model)["weights_from"] == "random"
    assert load_classifier(folder.model, torch.device("cpu"))[1].names == ("cat", "dog", "fox")


@pytest.mark.slow
def test_a_training_killed_after_an_epoch_ends_with_the_same_files(
    done: Context, tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    from weakseg.pipeline import networks

    save_state, saved = networks.save_state, []

    def save_then_stop(path: Path, state: networks.TrainState) -> None:
        save_state(path, state)
        saved.append(path.parent.name)
        if len(saved) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(networks, "save_state", save_then_stop)
    context = make_context(tmp_path, splits)
    for seed in (1, 2):
        torch.manual_seed(seed)
        with pytest.raises(KeyboardInterrupt):
            run_stages(context, STAGES)
    run_stages(context, STAGES)
    assert saved == ["classifier", "classifier", "segmenter", "segmenter"]
    mine, theirs = contents(tmp_path), contents(done.folder.root)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []


def test_a_seed_holds_the_score_maps_of_the_images_own_tags(done: Context) -> None:
    classifier, _ = load_classifier(done.folder.network("classifier").model, done.device)
    for dataset in (done.train, done.val):
        for sample in dataset:
            seed = load_seed(done.folder.seed(sample.id))
            image = dataset.load_image(sample)
            expected = score_maps(classifier, image, sample.tags, scales=(1.0, 0.5))
            assert seed.keys == sample.keys
            assert seed.size_hw == image.shape[:2]
            assert all(torch.equal(one, other) for one, other in zip(seed.scales, expected.scales, strict=True))


def test_large_images_are_localised_small_and_rebuilt_in_full(
    done: Context, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits, ("data.max_side_px", 16), ("localize.splits", ("val",)))
    weights = context.folder.network("classifier").model
    weights.parent.mkdir(parents=True)
    weights.write_bytes(done.folder.network("classifier").model.read_bytes())
    assert localize(context).endswith("seeds of 3 images")
    seed = load_seed(context.folder.seed("val_0"))
    classifier, _ = load_classifier(weights, context.device)
    small = resize_image(splits[1].load_image(splits[1].samples[0]), (10, 16))  # 20 x 31, times 16 / 31
    expected = score_maps(classifier, small, splits[1].samples[0].tags, scales=(1.0, 0.5))
    assert all(torch.equal(one, other) for one, other in zip(seed.scales, expected.scales, strict=True))
    assert seed.full().shape == (1, 20, 31)
    assert names(context.folder.seeds) == VAL_IDS


def test_a_mask_is_the_seed_above_the_threshold(done: Context) -> None:
    threshold = CONFIG.refine.background_threshold
    for sample in (*done.train, *done.val):
        seed = load_seed(done.folder.seed(sample.id))
        expected = seed_to_mask(seed.full().numpy(), seed.keys, background_threshold=threshold)
        mask = read_mask(done.folder.mask(sample.id))
        assert mask.tolist() == expected.tolist()
        assert set(np.unique(mask)) <= {0, *(key + 1 for key in sample.keys)}
    assert (read_mask(done.folder.mask("train_5")) == 0).all(), "an image without tags is all background"


def test_refining_tells_its_threshold(done: Context) -> None:
    assert refine(done).split(";")[0] == "masks of 9 images, background threshold 0.15 (fixed)"


def test_the_segmenter_starts_from_the_classifier_and_tells_so(done: Context) -> None:
    path = done.folder.network("segmenter").model
    info = load_info(path)
    assert (info["weights_from"], info["aspp_rates"], info["classes"]) == ("classifier", [1, 2], ["cat", "dog", "fox"])
    assert load_segmenter(path, done.device)[0].num_labels == 4


def test_a_segmenter_without_masks_to_train_on_says_what_to_change(done: Context) -> None:
    context = replace(done, config=with_settings(done.config, ("localize.splits", ("val",))))
    with pytest.raises(ConfigError, match=r"localize\.splits: the segmenter trains on the masks of 'train'; add it"):
        segment(context)


@pytest.mark.parametrize(
    ("splits_given", "expected"),
    [(("train",), [TRAIN_IDS]), (("val", "train"), [VAL_IDS, TRAIN_IDS]), (("val",), [VAL_IDS])],
)
def test_seeds_are_made_of_the_splits_asked_for(
    splits_given: tuple[str, ...], expected: list[list[str]], done: Context
) -> None:
    context = replace(done, config=with_settings(done.config, ("localize.splits", splits_given)))
    assert [[sample.id for sample in dataset] for dataset in seeded_datasets(context)] == expected


def test_without_a_validation_split_only_training_images_get_seeds(done: Context) -> None:
    assert [len(dataset) for dataset in seeded_datasets(replace(done, val=None))] == [6]


def test_an_image_of_both_splits_is_done_once(done: Context) -> None:
    val = replace(done.val, samples=(done.train.samples[1], *done.val.samples[:1]))
    datasets = seeded_datasets(replace(done, val=val))
    assert [[sample.id for sample in dataset] for dataset in datasets] == [TRAIN_IDS, ["val_0"]]


def test_an_image_of_which_no_tag_is_known_gets_no_seed(done: Context) -> None:
    first = done.val.samples[2]
    unknown = replace(first, tags=np.zeros_like(first.tags), known=np.zeros_like(first.known))
    val = replace(done.val, samples=(*done.val.samples[:2], unknown))
    assert [len(dataset) for dataset in seeded_datasets(replace(done, val=val))] == [6, 2]


def test_finished_images_are_left_alone_and_missing_ones_are_made_again(
    done: Context, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits)
    for name, content in contents(done.folder.root).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder = context.folder
    for id in ("train_1", "val_2"):
        folder.seed(id).unlink()
        folder.mask(id).unlink()
    folder.seed("train_0").write_bytes(b"left alone")
    folder.mask("train_0").write_bytes(b"left alone")
    localize(context)
    refine(context)
    changed = {name for name, content in contents(tmp_path).items() if content != contents(done.folder.root)[name]}
    assert changed == {"seeds/train_0.npz", "masks/train_0.png"}


def test_processes_share_the_images_out(
    done: Context, tmp_path: Path, splits: tuple[Dataset, Dataset], ranked: list[int]
) -> None:
    made: list[list[str]] = []
    for rank in (0, 1):
        ranked[:] = [rank, 2]
        context = make_context(tmp_path / str(rank), splits)
        weights = context.folder.network("classifier").model
        weights.parent.mkdir(parents=True)
        weights.write_bytes(done.folder.network("classifier").model.read_bytes())
        localize(context)
        made.append(names(context.folder.seeds))
        for id in TRAIN_IDS + VAL_IDS:
            path = context.folder.seed(id)
            path.write_bytes(done.folder.seed(id).read_bytes())
        refine(context)
        assert set(names(context.folder.masks)) < set(TRAIN_IDS + VAL_IDS)
    assert sorted(made[0] + made[1]) == TRAIN_IDS + VAL_IDS
    masks = [names(tmp_path / str(rank) / "masks") for rank in (0, 1)]
    assert sorted(masks[0] + masks[1]) == TRAIN_IDS + VAL_IDS


def test_pending_images_are_those_without_an_output(done: Context, tmp_path: Path) -> None:
    save_mask(tmp_path / "train_2.png", np.zeros((2, 2), np.uint8))
    pending = iterate_pending(done, [done.train, done.val], lambda id: tmp_path / f"{id}.png", label="looking")
    seen = [(sample.id, image.shape) for sample, image in pending]
    assert [id for id, _ in seen] == [id for id in TRAIN_IDS + VAL_IDS if id != "train_2"]
    assert dict(seen)["val_0"] == (20, 31, 3)


def test_stages_depend_on_what_changes_their_results() -> None:
    settings = {stage.name: set(stage.settings) for stage in STAGES}
    assert settings["classify"] >= {"classifier", "runtime.seed", "data.max_side_px"}
    assert settings["localize"] >= {"localize", "data.max_side_px"}
    assert settings["refine"] >= {"refine"}
    assert settings["segment"] >= {"segmenter", "runtime.seed"}
    for free in ("runtime", "runtime.workers", "runtime.device", "report", "evaluate"):
        assert not any(free in names for names in settings.values()), f"{free} changes no result of these stages"
    assert [stage.needs for stage in STAGES] == [(), ("classify",), ("classify", "localize"), ("refine",)]
    assert not any(stage.derived for stage in STAGES)
