import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.made_context import AUGMENT, OPTIM, make_context, splits
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import NetworkFolder, load_tensors
from weakseg.pipeline.networks import make_plan
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.segmenters import start_segmenter
from weakseg.pipeline.stages import STAGES, classify
from weakseg.pipeline.starting import start_classifier
from weakseg.train.classify import train_classifier
from weakseg.train.plan import make_augmentation
from weakseg.train.segment import train_segmenter

assert splits, "a fixture"


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
def test_stages_leave_the_global_generators_of_numpy_alone(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    before = np.random.get_state()[1].tolist()
    run_stages(make_context(tmp_path, splits), STAGES)
    assert np.random.get_state()[1].tolist() == before
