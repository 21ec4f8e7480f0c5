import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipeline.made_context import AUGMENT, OPTIM, contents, make_context
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, ConfigError
from weakseg.localize.cam import score_maps
from weakseg.localize.seam import refined_score_maps
from weakseg.models.seam import SEAM
from weakseg.pipeline.artifacts import RunFolder, load_info, load_seed, save_mask
from weakseg.pipeline.classifiers import name_donor_source, open_pasting, warn_of_guessing
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.networks import load_classifier, load_history
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.pipeline.stages import STAGES, classify, localize, segment

LENGTH = {"epochs": 1, "batch_size": 2, "min_updates": 5}
"""Two updates to an epoch of five images."""

CDA = (("classifier.batch_size", 4), ("classifier.epochs", 1), ("classifier.cda.area_share", (0.05, 0.9)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    return make_dataset(root, ((0,), (1,), (0, 1), (0,), ())), make_dataset(root, ((0,), (2, 1)), split="val")


def finished_run(root: Path, dataset: Dataset) -> Path:
    """Return the folder of a run whose masks are the truth, void made background."""
    for sample in dataset:
        mask = dataset.load_mask(sample)
        save_mask(RunFolder(root).mask(sample.id), np.where(mask == 255, 0, mask).astype(np.uint8))
    return root


def test_objects_of_another_run_are_pasted_and_told_of(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    masks = finished_run(tmp_path / "old", splits[0])
    context = make_context(tmp_path / "new", splits, *CDA, ("classifier.cda.masks", str(masks)))
    plain = make_context(tmp_path / "plain", splits, *CDA)
    with caplog.at_level(logging.WARNING, logger="weakseg"):
        summary = classify(context)
    assert ", 3 donors, mAP" in summary  # two images show class 0 alone, one class 1
    assert "no object of 1 of 3 classes could be cut out (fox)" in caplog.text
    folder = context.folder.network("classifier")
    found = json.loads(folder.donors.read_text())
    assert [(entry["name"], entry["found"], entry["kept"]) for entry in found] == [
        ("cat", 2, 2),
        ("dog", 1, 1),
        ("fox", 0, 0),
    ]
    with Image.open(folder.pasted_sheet) as sheet:
        assert sheet.mode == "RGB"
    classify(plain)
    assert not plain.folder.network("classifier").donors.exists()
    ours, theirs = (item.folder.network("classifier").model.read_bytes() for item in (context, plain))
    assert ours != theirs


def test_few_images_are_passed_over_more_often_by_both_networks(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    train, _ = splits
    lengths = [
        (f"{network}.{name}", value) for network in ("classifier", "segmenter") for name, value in LENGTH.items()
    ]
    context = make_context(tmp_path, (train, None), *lengths)
    assert classify(context).startswith("5 images, 3 epochs instead of 1 since they are few, loss ")
    for sample in train:
        save_mask(context.folder.mask(sample.id), np.zeros(train.load_mask(sample).shape, np.uint8))
    assert segment(context).startswith("5 images, 3 epochs instead of 1 since they are few, loss ")
    histories = [load_history(context.folder.network(network)) for network in ("classifier", "segmenter")]
    assert [len(history) for history in histories] == [3, 3]


def test_without_a_run_to_cut_from_nothing_is_pasted(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    assert open_pasting(make_context(tmp_path, splits)) is None


def test_a_folder_without_masks_is_named(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path / "new", splits, ("classifier.cda.masks", str(tmp_path / "nowhere")))
    with pytest.raises(
        ArtifactError, match=r"classifier\.cda\.masks: expected a run folder with masks/, got .*nowhere"
    ):
        classify(context)


def test_masks_of_other_images_are_named(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    masks = finished_run(tmp_path / "old", splits[1])
    context = make_context(tmp_path / "new", splits, ("classifier.cda.masks", str(masks)))
    with pytest.raises(ArtifactError, match="has no mask of any image of train; choose a run on this data set"):
        classify(context)


def test_another_refinement_of_the_source_changes_the_fingerprint(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    source = RunFolder(finished_run(tmp_path / "old", splits[0]))
    context = make_context(tmp_path / "new", splits, *CDA, ("classifier.cda.masks", str(source.root)))
    key = f"result of refine in {source.root}"

    def state(fingerprint: str, *, finished: bool = True) -> StageRecord:
        return StageRecord(finished, fingerprint, {key: fingerprint})

    assert name_donor_source(make_context(tmp_path / "plain", splits)) == {}
    assert name_donor_source(context) == {key: None}  # masks that no stage is known to have made
    write_records(source, {"refine": state("first")})
    assert name_donor_source(context) == {key: "first"}
    write_records(context.folder, {"classify": state("first")})
    write_records(source, {"refine": state("second")})
    assert name_donor_source(context) == {key: "second"}
    write_records(source, {"refine": state("second", finished=False)})
    assert name_donor_source(context) == {key: "first"}
    assert plan_records(context, STAGES)["classify"].parts[key] == "first"


def test_an_odd_batch_cannot_be_half_pasted() -> None:
    from weakseg.arguments.requests import parse_recipe_words

    with pytest.raises(ConfigError, match=r"classifier\.batch_size: half of a batch is pasted .* got 5"):
        parse_recipe_words("run", ["demo", "--classifier.cda.masks=runs/a", "--classifier.batch_size=5"])


SEAM_SETTINGS = (
    ("classifier.method", "seam"),
    ("classifier.name", "critter38"),
    ("classifier.augment", AUGMENT),
    ("classifier.optim", OPTIM),
)


@pytest.mark.slow
def test_seam_trains_is_loaded_as_seam_and_gives_refined_seeds(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, *SEAM_SETTINGS)
    classify(context)
    folder = context.folder.network("classifier")
    assert load_info(folder.model)["method"] == "seam"
    assert [record.epoch for record in load_history(folder)] == [1, 2]
    classifier, _ = load_classifier(folder.model, torch.device("cpu"))
    assert isinstance(classifier, SEAM)
    localize(context)
    sample = splits[1].samples[1]
    image = splits[1].load_image(sample)
    seed = load_seed(context.folder.seed(sample.id))
    refined = refined_score_maps(classifier, image, sample.tags, scales=(1.0, 0.5))
    plain = score_maps(classifier, image, sample.tags, scales=(1.0, 0.5))
    assert all(torch.equal(one, other) for one, other in zip(seed.scales, refined.scales, strict=True))
    assert not torch.equal(seed.scales[0], plain.scales[0])


@pytest.mark.slow
def test_rib_runs_on_seam(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(
        tmp_path,
        splits,
        *SEAM_SETTINGS,
        ("localize.method", "rib"),
        ("localize.rib.iterations", 2),
        ("localize.rib.partners", 1),
        ("localize.rib.partner_augment", AUGMENT),
    )
    classify(context)
    assert localize(context).startswith("rib seeds of 7 images; adaptations ended: ")


@pytest.mark.slow
def test_a_seam_training_goes_on_where_it_was_interrupted(
    tmp_path: Path, splits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    from weakseg.pipeline import networks

    save_state = networks.save_state

    def save_then_stop(path: Path, state: networks.TrainState) -> None:
        save_state(path, state)
        raise KeyboardInterrupt

    whole, cut = (make_context(tmp_path / name, splits, *SEAM_SETTINGS) for name in ("whole", "cut"))
    classify(whole)
    monkeypatch.setattr(networks, "save_state", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        classify(cut)
    monkeypatch.undo()
    classify(cut)
    assert contents(cut.folder.root) == contents(whole.folder.root)


def test_seam_on_another_backbone_is_refused_when_the_recipe_is_read() -> None:
    from weakseg.arguments.requests import parse_recipe_words

    with pytest.raises(
        ConfigError,
        match=r"'seam' needs classifier\.name to be one of critter38, efficientnet_lite0, .*, resnet38, got critter$",
    ):
        parse_recipe_words("run", ["demo", "--classifier.method=seam"])


@pytest.mark.parametrize(("loss", "warned"), [(0.645, True), (0.62, True), (0.6, False), (0.02, False)])
def test_a_classifier_that_only_guesses_is_named(
    loss: float, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steel = make_dataset(tmp_path, ((0,), (1,), (2,)))  # a guess of one third each has a loss of 0.637
    with caplog.at_level(logging.WARNING, logger="weakseg"):
        warn_of_guessing(steel, loss)
    assert ("learned nothing of the images: its loss ends at" in caplog.text) is warned


def test_where_every_image_has_every_tag_there_is_nothing_to_guess(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="weakseg"):
        warn_of_guessing(make_dataset(tmp_path, ((0,), (0,)), names=("cat",)), 0.3)
    assert not caplog.text
