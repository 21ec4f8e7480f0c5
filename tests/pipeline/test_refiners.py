from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import AUGMENT, OPTIM, contents, make_context
from tests.tiny import SIZE_HW, make_dataset, with_settings
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError
from weakseg.files import write_bytes
from weakseg.ops.crf_settings import IRN_CRF, PSA_CRF
from weakseg.ops.images import limit_side, normalise
from weakseg.pipeline.artifacts import RunFolder, load_info, load_seed, save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import load_affinitynet, load_history, load_irnet
from weakseg.pipeline.refiners import refine_seeds, refined_files
from weakseg.pipeline.stages import classify, refine
from weakseg.refine.confidence import confident_labels
from weakseg.refine.crf import crf_mask
from weakseg.refine.instance_files import load_instances
from weakseg.refine.irn import irn_mask
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.psa import AffinityWalk, psa_labels, psa_mask
from weakseg.types import ScoreMaps

IRN = (
    ("refine.method", "irn"),
    ("refine.irn.name", "critter"),
    ("refine.irn.weights", "classifier"),
    ("refine.irn.epochs", 2),
    ("refine.irn.batch_size", 3),
    ("refine.irn.augment", AUGMENT),
    ("refine.irn.optim", OPTIM),
    ("refine.irn.radius", 3),
    ("refine.irn.pad_px", 40),
    ("refine.irn.walk_doublings", 3),
    ("refine.irn.seed_power", 1.5),
    ("refine.irn.instances", True),
)


def write_seeds(context: Context) -> None:
    """Give every image seeds that are its true blocks, blurred."""
    for dataset in seeded_datasets(context):
        for sample in dataset:
            truth = dataset.load_mask(sample)
            maps = torch.stack([torch.from_numpy((truth == key + 1).astype(np.float32)) for key in sample.keys] or [])
            small = torch.nn.functional.avg_pool2d(maps[None], 4, ceil_mode=True)[0]
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (small,), truth.shape))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (1,), (2,), (0, 1), (1, 2)))
    val = make_dataset(root, ((0,), (2, 1)), split="val", sizes_hw=((20, 31), SIZE_HW))
    return train, val


@pytest.fixture(scope="module")
def irn(tmp_path_factory: pytest.TempPathFactory, splits: tuple[Dataset, Dataset]) -> Context:
    """A run refined by IRN; not to be changed."""
    context = make_context(tmp_path_factory.mktemp("runs") / "irn", splits, *IRN)
    classify(context)
    write_seeds(context)
    refine(context)
    return context


def every_sample(context: Context) -> list[tuple[Dataset, object]]:
    return [(dataset, sample) for dataset in seeded_datasets(context) for sample in dataset]


@pytest.mark.parametrize("max_side_px", [None, 16])
def test_crf_masks_are_the_seeds_refined_by_the_image(
    tmp_path: Path, splits: tuple[Dataset, Dataset], max_side_px: int | None
) -> None:
    context = make_context(
        tmp_path, splits, ("refine.method", "crf"), ("refine.crf.iterations", 3), ("data.max_side_px", max_side_px)
    )
    write_seeds(context)
    assert refine(context) == "masks of 7 images by CRF, background threshold 0.15 (fixed)"
    differing = 0
    for dataset, sample in every_sample(context):
        image = limit_side(dataset.load_image(sample), max_side_px)
        seed = load_seed(context.folder.seed(sample.id))
        maps = replace(seed, size_hw=image.shape[:2]).full().numpy()
        expected = crf_mask(image, maps, seed.keys, background_threshold=0.15, settings=replace(IRN_CRF, iterations=3))
        mask = read_mask(context.folder.mask(sample.id))
        assert mask.shape == dataset.load_image(sample).shape[:2]
        if max_side_px is None:
            assert mask.tolist() == expected.tolist()
        assert set(np.unique(mask)) == set(np.unique(expected))
        differing += int((expected != seed_to_mask(maps, seed.keys, background_threshold=0.15)).sum())
    assert differing, "the CRF has moved something"


@pytest.mark.slow
def test_irn_learns_from_confident_labels_of_the_training_images(irn: Context) -> None:
    assert sorted(path.stem for path in irn.folder.labels.iterdir()) == [sample.id for sample in irn.train]
    for sample in irn.train:
        seed = load_seed(irn.folder.seed(sample.id))
        expected = confident_labels(
            irn.train.load_image(sample), seed.full().numpy(), seed.keys, foreground=0.3, background=0.05
        )
        assert read_mask(irn.folder.label(sample.id)).tolist() == expected.tolist()
    folder = irn.folder.network("refiner")
    info = load_info(folder.model)
    assert (info["kind"], info["name"], info["weights_from"]) == ("refiner", "critter", "classifier")
    assert [record.epoch for record in load_history(folder)] == [1, 2]


def test_irn_masks_and_instances_follow_from_seeds_and_edges(irn: Context) -> None:
    irnet, classes = load_irnet(irn.folder.network("refiner").model, irn.device)
    assert classes.names == irn.train.classes.names
    assert bool((irnet.mean_displacement != 0).all())
    for dataset, sample in every_sample(irn):
        image, seed = dataset.load_image(sample), load_seed(irn.folder.seed(sample.id))
        edge, _ = irnet.infer(normalise(image), crop_size=40)
        expected = irn_mask(
            seed.strided(4),
            seed.keys,
            edge,
            image_size_hw=image.shape[:2],
            background=0.15,
            doublings=3,
            seed_power=1.5,
        )
        mask = read_mask(irn.folder.mask(sample.id))
        assert mask.tolist() == expected.tolist()
        found = load_instances(irn.folder.instance(sample.id))
        assert found.size_hw == image.shape[:2]
        assert set(found.keys.tolist()) <= set(sample.keys)


def test_every_file_of_a_refinement_is_named(irn: Context) -> None:
    files = refined_files(irn, seeded_datasets(irn))
    assert all(path.is_file() for path in files)
    assert len(files) == 7 + 2 + 5 + 7  # masks, network, labels of train, instances
    plain = replace(irn, config=with_settings(irn.config, ("refine.irn.instances", False)))
    assert len(refined_files(plain, seeded_datasets(plain))) == 7 + 2 + 5


def test_what_is_gone_is_made_again_and_the_rest_is_left(
    irn: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = replace(irn, folder=RunFolder(tmp_path))
    for name, content in contents(irn.folder.root).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = contents(tmp_path)
    context.folder.mask("train_1").unlink()
    context.folder.instance("val_0").unlink()
    context.folder.label("train_2").unlink()
    written = []

    def save_and_tell(path: Path, labels: np.ndarray) -> None:
        written.append(path.relative_to(tmp_path).as_posix())
        save_mask(path, labels)

    monkeypatch.setattr("weakseg.pipeline.refiner_networks.save_mask", save_and_tell)
    monkeypatch.setattr("weakseg.pipeline.pseudo_masks.save_mask", save_and_tell)
    refine_seeds(context, seeded_datasets(context))
    assert sorted(written) == ["labels/train_2.png", "masks/train_1.png", "masks/val_0.png"]
    assert contents(tmp_path) == before


def test_a_network_is_trained_again_when_its_history_is_gone(irn: Context, tmp_path: Path) -> None:
    context = replace(irn, folder=RunFolder(tmp_path))
    for name, content in contents(irn.folder.root).items():
        write_bytes(tmp_path / name, content)
    before = contents(tmp_path)
    context.folder.network("refiner").history.unlink()
    refine_seeds(context, seeded_datasets(context))
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_large_images_are_refined_small_and_written_in_full(irn: Context, tmp_path: Path) -> None:
    context = replace(
        irn,
        folder=RunFolder(tmp_path),
        config=with_settings(irn.config, ("data.max_side_px", 24), ("refine.irn.pad_px", None)),
    )
    for name in ("classifier/model.safetensors", "classifier/history.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((irn.folder.root / name).read_bytes())
    write_seeds(context)
    refine(context)
    for dataset, sample in every_sample(context):
        size_hw = dataset.load_image(sample).shape[:2]
        assert read_mask(context.folder.mask(sample.id)).shape == size_hw
        assert load_instances(context.folder.instance(sample.id)).size_hw == size_hw


def test_irn_needs_the_seeds_of_the_training_split(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, *IRN, ("localize.splits", ("val",)))
    with pytest.raises(ConfigError, match=r"localize\.splits: IRN learns from the seeds of 'train'; add it"):
        refine(context)


def test_an_image_without_tags_is_all_background(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    untagged = make_dataset(tmp_path / "images", ((), ()))
    for method in ("none", "crf"):
        context = make_context(tmp_path / method, (untagged, None), ("refine.method", method))
        for sample in untagged:
            save_seed(context.folder.seed(sample.id), ScoreMaps((), (torch.zeros(0, 3, 5),), SIZE_HW))
        refine(context)
        assert not any(read_mask(context.folder.mask(sample.id)).any() for sample in untagged)


def test_masks_that_show_no_class_are_pointed_out(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "weakseg")
    context = make_context(tmp_path, splits, ("refine.method", "none"))
    write_seeds(context)
    refine(context)
    assert caplog.messages == []
    for sample_id in [sample.id for dataset in seeded_datasets(context) for sample in dataset]:
        save_mask(context.folder.mask(sample_id), np.full(SIZE_HW, 255 if sample_id.endswith("0") else 0, np.uint8))
    refine(context)
    # What follows is the verdict on each class, see tests/pipeline/test_health.py.
    assert caplog.messages[0].startswith("refine: no class is in any mask of the 7 tagged images")


PSA = (
    ("classifier.name", "critter38"),
    ("segmenter.weights", "none"),
    ("refine.method", "psa"),
    ("refine.psa.name", "critter38"),
    ("refine.psa.epochs", 2),
    ("refine.psa.batch_size", 3),
    ("refine.psa.augment", replace(AUGMENT, crop_px=40)),
    ("refine.psa.optim", OPTIM),
    ("refine.psa.radius", 2),
    ("refine.psa.walk_doublings", 2),
    ("refine.psa.walk_alpha", 6.0),
    ("refine.psa.crf_iterations", 2),
)


@pytest.mark.slow
@pytest.mark.parametrize("final_crf", [False, True])
def test_psa_masks_follow_from_seeds_and_affinities(
    tmp_path: Path, splits: tuple[Dataset, Dataset], final_crf: bool
) -> None:
    context = make_context(tmp_path, splits, *PSA, ("refine.psa.final_crf", final_crf))
    classify(context)
    write_seeds(context)
    assert refine(context) == "masks of 7 images by PSA"
    assert all(path.is_file() for path in refined_files(context, seeded_datasets(context)))
    network, _ = load_affinitynet(context.folder.network("refiner").model, context.device)
    for sample in context.train:
        seed, image = load_seed(context.folder.seed(sample.id)), context.train.load_image(sample)
        labels = psa_labels(image, seed.full().numpy(), seed.keys, settings=replace(PSA_CRF, iterations=2))
        assert read_mask(context.folder.label(sample.id)).tolist() == labels.tolist()
        with torch.no_grad():
            features = network(normalise(image)[None])[0]
        expected = psa_mask(
            seed.full(),
            seed.keys,
            features,
            image=image if final_crf else None,
            walk=AffinityWalk(alpha=6.0, radius=2, doublings=2),
            settings=replace(PSA_CRF, iterations=2),
        )
        assert read_mask(context.folder.mask(sample.id)).tolist() == expected.tolist()
