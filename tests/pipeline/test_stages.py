import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import SIZE_HW, make_dataset, with_settings
from weakseg.config.schema import AugmentConfig, ClassifierConfig, OptimConfig, RunConfig, SegmenterConfig
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError
from weakseg.localize.cam import score_maps
from weakseg.ops.images import resize_image
from weakseg.pipeline import image_jobs
from weakseg.pipeline.artifacts import (
    NetworkFolder,
    RunFolder,
    load_info,
    load_seed,
    load_tensors,
    save_mask,
    save_tensors,
)
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import iterate_pending, seeded_datasets
from weakseg.pipeline.networks import load_classifier, load_history, make_plan
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.segmenters import load_segmenter, start_segmenter
from weakseg.pipeline.stages import STAGES, classify, localize, refine, segment
from weakseg.pipeline.starting import start_classifier
from weakseg.pipeline.turns import OwnTurns
from weakseg.refine.masks import seed_to_mask
from weakseg.train.classify import train_classifier
from weakseg.train.plan import make_augmentation
from weakseg.train.segment import train_segmenter

AUGMENT = AugmentConfig(long_side_px=(28, 40), crop_px=32, flip=True, colour=0.1)
OPTIM = OptimConfig(schedule="one_cycle", learning_rate=0.05, head_multiplier=2.0, momentum=0.9)
CONFIG = with_settings(
    RunConfig(
        classifier=ClassifierConfig(
            name="critter",
            weights="none",
            freeze_trunk=False,
            fixed_norm=False,
            epochs=2,
            batch_size=3,
            augment=AUGMENT,
            optim=OPTIM,
        ),
        segmenter=SegmenterConfig(
            name="critter",
            weights="classifier",
            aspp_rates=(1, 2),
            fixed_norm=False,
            epochs=2,
            batch_size=3,
            augment=AUGMENT,
            optim=OPTIM,
        ),
    ),
    ("runtime.workers", 0),
    ("localize.scales", (1.0, 0.5)),
    ("localize.splits", ("train", "val")),
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root)
    val = make_dataset(root, ((0,), (2, 1), ()), split="val", sizes_hw=((20, 31), SIZE_HW, SIZE_HW))
    return train, val


def make_context(root: Path, splits: tuple[Dataset, Dataset | None], *settings: tuple[str, object]) -> Context:
    train, val = splits
    digests = {"train": "t"} if val is None else {"train": "t", "val": "v"}
    return Context(with_settings(CONFIG, *settings), RunFolder(root), torch.device("cpu"), train, val, digests)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, splits: tuple[Dataset, Dataset]) -> Context:
    """A run whose stages are finished; not to be changed."""
    context = make_context(tmp_path_factory.mktemp("runs") / "done", splits)
    run_stages(context, STAGES)
    return context


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


def contents(root: Path) -> dict[str, bytes]:
    skipped = ("run.json", "weakseg.log")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in skipped
    }


TRAIN_IDS = [f"train_{index}" for index in range(6)]
VAL_IDS = [f"val_{index}" for index in range(3)]


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
def test_the_seed_of_the_recipe_decides_weights_order_and_augmentation(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits, ("runtime.seed", 7), ("segmenter.weights", "none"))
    run_stages(context, STAGES)
    shared = {"augmentation": make_augmentation(AUGMENT), "seed": 7}
    plan = make_plan(OPTIM, epochs=2, batch_size=3, workers=0)
    nowhere = NetworkFolder(tmp_path / "nowhere")
    classifier, _ = start_classifier(context.config.classifier, context.train.classes, nowhere, seed=7)
    place_network(classifier, torch.device("cpu"))  # as a run does: its layout decides the order of sums
    train_classifier(classifier, *splits, plan=plan, **shared)
    segmenter, _ = start_segmenter(context.config.segmenter, context.train.classes, nowhere, classifier=nowhere, seed=7)
    place_network(segmenter, torch.device("cpu"))
    train_segmenter(segmenter, splits[0], context.folder.mask_reader(), plan=plan, **shared)
    for kind, network in (("classifier", classifier), ("segmenter", segmenter)):
        saved, _ = load_tensors(context.folder.network(kind).model)
        assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items()), kind


def test_validation_sees_large_images_as_small_as_localisation_does(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = []

    def measure(*_: object, workers: int, max_side_px: int | None) -> float:
        sides.append(max_side_px)
        return 0.5

    monkeypatch.setattr("weakseg.train.classify.measure_map", measure)
    classify(make_context(tmp_path, splits, ("data.max_side_px", 16)))
    assert sides == [16, 16]


@pytest.mark.slow
def test_a_precision_that_is_undefined_is_not_told(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    untagged = make_dataset(tmp_path / "images", ((), ()), split="val")
    assert re.fullmatch(r"6 images, loss [0-9.]+", classify(make_context(tmp_path / "a", (splits[0], untagged))))
    assert re.fullmatch(r"6 images, loss [0-9.]+", classify(make_context(tmp_path / "b", (splits[0], None))))


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


@pytest.mark.slow
def test_stages_leave_the_global_generators_of_numpy_alone(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    before = np.random.get_state()[1].tolist()
    run_stages(make_context(tmp_path, splits), STAGES)
    assert np.random.get_state()[1].tolist() == before


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


RIB = (
    ("localize.compared_images", 2),
    ("localize.rib.iterations", 4),
    ("localize.rib.learning_rate", 1e-2),
    ("localize.rib.partners", 2),
    ("localize.rib.partner_augment", AUGMENT),
)


def with_classifier(done: Context, root: Path, *settings: tuple[str, object]) -> Context:
    """Return a run that has the classifier of another, with positive weights: it has seen too little to have maps."""
    context = replace(done, folder=RunFolder(root), config=with_settings(done.config, *settings))
    tensors, info = load_tensors(done.folder.network("classifier").model)
    positive = {**tensors, "classifier.weight": tensors["classifier.weight"].abs()}
    save_tensors(context.folder.network("classifier").model, positive, info)
    return context


@pytest.mark.slow
def test_compared_images_show_cam_first_and_rib_last(done: Context, tmp_path: Path) -> None:
    cam = with_classifier(done, tmp_path / "cam", *RIB)
    rib = with_classifier(done, tmp_path / "rib", *RIB, ("localize.method", "rib"))
    assert localize(cam) == "cam seeds of 9 images; CAM and RIB compared on 2 images of val"
    assert re.fullmatch(
        r"rib seeds of 9 images; adaptations ended: .* %; CAM and RIB compared on 2 images of val", localize(rib)
    )
    for id in ("val_0", "val_1"):
        assert cam.folder.adaptation(0, id).read_bytes() == cam.folder.seed(id).read_bytes()
        start, end = load_seed(cam.folder.adaptation(0, id)), load_seed(cam.folder.adaptation(4, id))
        assert not torch.allclose(start.strided(4), end.strided(4), atol=1e-4), "the adaptation has done something"
        result = load_seed(rib.folder.seed(id))
        assert all(torch.equal(one, other) for one, other in zip(end.scales, result.scales, strict=True))


def test_a_comparison_goes_on_where_it_was_interrupted(done: Context, tmp_path: Path) -> None:
    context = with_classifier(done, tmp_path, *RIB)
    localize(context)
    before = contents(context.folder.adaptations)
    context.folder.adaptation(4, "val_1").unlink()  # the last of an image's files to be written
    context.folder.adaptation(0, "val_1").unlink()
    kept = context.folder.adaptation(4, "val_0")
    kept.write_bytes(b"kept")
    localize(context)
    after = contents(context.folder.adaptations)
    assert after == {**before, kept.relative_to(context.folder.adaptations).as_posix(): b"kept"}


def test_any_map_of_a_comparison_that_is_gone_is_made_again(done: Context, tmp_path: Path) -> None:
    context = with_classifier(done, tmp_path, *RIB)
    localize(context)
    before = contents(context.folder.adaptations)
    context.folder.adaptation(0, "val_0").unlink()  # not the last to be written
    localize(context)
    assert contents(context.folder.adaptations) == before


def test_the_comparison_belongs_to_the_stage(done: Context, tmp_path: Path) -> None:
    stage = next(stage for stage in STAGES if stage.name == "localize")
    assert stage.files is not None
    named = stage.files(with_classifier(done, tmp_path, *RIB))
    assert sum("adaptations" in path.parts for path in named) == 2 * 3  # two images after 0, 2 and 4 iterations
