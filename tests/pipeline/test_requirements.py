import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.made_context import contents, make_context
from tests.pipeline.test_refiners import IRN
from tests.tiny import make_dataset, with_settings
from weakseg.chain import run_recipe
from weakseg.config.load import build_config
from weakseg.data.base import Dataset
from weakseg.data.grey import encode_grey
from weakseg.errors import ArtifactError, ConfigError, DataError, WeaksegError
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.records import write_records
from weakseg.pipeline.requirements import require_for_classify, require_for_refine, require_for_segment
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), ((0,), (1,), (0, 1), ()))


def open_run(root: Path, dataset: Dataset) -> Context:
    """Open the run in a folder; its recipe names weights, masks and maps that lie beside it."""
    needed = (
        ("classifier.weights", str(root / "classifier.safetensors")),
        ("classifier.cda.masks", str(root / "donors")),
        ("classifier.batch_size", 2),
        *IRN,
        ("refine.irn.weights", str(root / "refiner.safetensors")),
        ("refine.saliency.folder", str(root / "saliency")),
        ("segmenter.weights", str(root / "segmenter.safetensors")),
        ("localize.splits", ("train",)),
    )
    return make_context(root / "run", (dataset, None), *needed)


@pytest.fixture
def place(tmp_path: Path, dataset: Dataset) -> Path:
    """A folder with a finished run, whose files are empty, and with everything its recipe names."""
    context = open_run(tmp_path, dataset)
    for name in ("classifier", "refiner", "segmenter"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "saliency").mkdir()
    for sample in dataset:
        mask = dataset.load_mask(sample)
        assert mask is not None
        (tmp_path / "saliency" / f"{sample.id}.png").write_bytes(encode_grey(mask))
        save_mask(RunFolder(tmp_path / "donors").mask(sample.id), mask)
    for stage in STAGES:
        assert stage.files is not None
        for path in stage.files(context):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    planned = plan_records(context, STAGES)
    write_records(context.folder, {name: replace(plan, finished=True) for name, plan in planned.items()})
    return tmp_path


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


NEEDS = (
    ("classify", "classifier.safetensors", ArtifactError, r"^classifier\.weights: .* no such file$"),
    ("classify", "donors", ArtifactError, r"^classifier\.cda\.masks: expected a run folder with masks/"),
    ("classify", "saliency", DataError, r"^refine\.saliency\.folder: there is no folder"),
    ("refine", "saliency", DataError, r"^refine\.saliency\.folder: there is no folder"),
    ("refine", "refiner.safetensors", ArtifactError, r"^refine\.irn\.weights: .* no such file$"),
    ("refine", "segmenter.safetensors", ArtifactError, r"^segmenter\.weights: there is no file"),
    ("segment", "segmenter.safetensors", ArtifactError, r"^segmenter\.weights: there is no file"),
)


@pytest.mark.parametrize(("redo", "gone", "kind", "message"), NEEDS)
def test_redo_removes_nothing_when_something_it_needs_has_gone(
    redo: str, gone: str, kind: type[WeaksegError], message: str, place: Path, dataset: Dataset
) -> None:
    context = open_run(place, dataset)
    before = contents(context.folder.root)
    remove(place / gone)
    with pytest.raises(kind, match=message):
        run_stages(context, STAGES, redo=redo)
    assert contents(context.folder.root) == before


def test_redo_removes_nothing_when_the_saliency_folder_is_empty(place: Path, dataset: Dataset) -> None:
    context = open_run(place, dataset)
    before = contents(context.folder.masks)
    for path in (place / "saliency").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="none of 4 images has a saliency map that can be used"):
        run_stages(context, STAGES, redo="refine")
    assert contents(context.folder.masks) == before


def test_a_finished_run_needs_nothing_from_elsewhere(place: Path, dataset: Dataset, told: list[str]) -> None:
    for name in ("classifier.safetensors", "refiner.safetensors", "segmenter.safetensors", "donors", "saliency"):
        remove(place / name)
    run_stages(open_run(place, dataset), STAGES)
    assert [line.split(" (")[0] for line in told] == [f"{stage.name}: finished before" for stage in STAGES]


@pytest.mark.parametrize(
    ("network", "require"), [("classifier", require_for_classify), ("segmenter", require_for_segment)]
)
def test_a_training_that_goes_on_does_not_need_the_weights_it_began_with(
    network: str, require: object, place: Path, dataset: Dataset
) -> None:
    context = open_run(place, dataset)
    folder = context.folder.network(network)
    folder.model.rename(folder.checkpoint)
    remove(place / f"{network}.safetensors")
    assert callable(require)
    require(context, afresh=False)
    with pytest.raises(ArtifactError, match=rf"{network}\.weights: "):
        require(context, afresh=True)


def test_a_trained_refiner_does_not_need_its_first_weights_and_a_half_trained_one_does_neither(
    place: Path, dataset: Dataset
) -> None:
    context = open_run(place, dataset)
    remove(place / "refiner.safetensors")
    require_for_refine(context, afresh=False)
    folder = context.folder.network("refiner")
    kept = folder.model.rename(folder.checkpoint)
    require_for_refine(context, afresh=False)
    kept.rename(folder.model)
    folder.history.unlink()  # it is then trained again
    with pytest.raises(ArtifactError, match=r"refine\.irn\.weights: "):
        require_for_refine(context, afresh=False)


def test_redo_removes_nothing_when_there_are_no_such_weights(place: Path, dataset: Dataset) -> None:
    context = open_run(place, dataset)
    before = contents(context.folder.root)
    changed = replace(context, config=with_settings(context.config, ("classifier.weights", "imagenet")))
    with pytest.raises(ConfigError, match=r"^classifier\.weights: there are no ImageNet weights for 'critter'"):
        run_stages(changed, STAGES, redo="classify")
    assert contents(context.folder.root) == before


@pytest.mark.parametrize("redo", ["localize", "classify"])
def test_redo_removes_nothing_when_the_recipe_makes_no_seeds_to_learn_from(
    redo: str, place: Path, dataset: Dataset
) -> None:
    context = open_run(place, dataset)
    before = contents(context.folder.root)
    config = with_settings(context.config, ("localize.splits", ("val",)))
    with pytest.raises(ConfigError, match=r"localize\.splits: IRN learns from the seeds of 'train'; add it"):
        run_stages(replace(context, config=config, val=dataset), STAGES, redo=redo)
    config = with_settings(config, ("refine.method", "none"))
    with pytest.raises(ConfigError, match=r"localize\.splits: the segmenter trains on the masks of 'train'; add it"):
        run_stages(replace(context, config=config, val=dataset), STAGES, redo=redo)
    assert contents(context.folder.root) == before


def test_redo_removes_nothing_when_the_images_have_gone(place: Path, dataset: Dataset) -> None:
    config = build_config({}, ("--data.name=folder", f"--data.root={place / 'nowhere'}"))
    before = contents(place / "run")
    with pytest.raises(DataError, match=r"data\.root: there is no folder .*nowhere"):
        run_recipe(config, place / "run", redo="classify")
    assert contents(place / "run") == before
