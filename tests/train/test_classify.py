import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import AUGMENTATION, make_classifier, make_dataset, make_plan
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.models.classifier import Classifier
from weakseg.ops.images import normalise, resize_image
from weakseg.train.classify import (
    classification_loss,
    constant_guess_loss,
    measure_map,
    predict_logits,
    train_classifier,
)

TAGS = ((0,), (1,), (2,), (0, 1), (1, 2), ())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), TAGS)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven images of three sizes, neighbours partly equal."""
    sizes_hw = ((24, 33), (24, 33), (17, 20), (24, 33), (9, 40))
    return make_dataset(tmp_path_factory.mktemp("mixed"), (*TAGS, (0, 2)), split="val", sizes_hw=sizes_hw)


def logits_one_by_one(classifier: Classifier, dataset: Dataset) -> torch.Tensor:
    classifier.eval()
    with torch.no_grad():
        return torch.cat([classifier(normalise(dataset.load_image(sample))[None]) for sample in dataset])


def test_a_class_that_no_image_knows_gets_no_gradient() -> None:
    classifier = make_classifier()
    known = torch.tensor([[True, False, True], [True, False, True], [False, False, True]])
    images = torch.randn(3, 3, 24, 33, generator=torch.Generator().manual_seed(0))
    loss = classification_loss(
        classifier, Batch(images, torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 0]]), known, None)
    )
    loss.backward()
    gradient = classifier.classifier.weight.grad
    assert (gradient[1] == 0).all()
    assert (gradient[[0, 2]] != 0).any(dim=1).all()


def test_the_loss_is_the_mean_over_images_of_the_mean_over_known_classes() -> None:
    def model(images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.0, 5.0], [math.log(3), 0.0]])

    tags, known = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[True, False], [True, True]])
    loss = classification_loss(model, Batch(torch.zeros(2, 3, 1, 1), tags, known, None))
    assert loss.item() == pytest.approx((math.log(2) + (math.log(4 / 3) + math.log(2)) / 2) / 2)


def test_logits_are_those_of_each_whole_image(mixed: Dataset) -> None:
    classifier = make_classifier()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    logits = predict_logits(classifier, mixed, workers=0)
    assert (logits.dtype, logits.shape, logits.requires_grad) == (torch.float32, (7, 3), False)
    assert classifier.training
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    torch.testing.assert_close(logits, logits_one_by_one(classifier, mixed), rtol=1e-4, atol=1e-6)


def test_large_images_are_shrunk_before_they_are_scored(mixed: Dataset) -> None:
    classifier = make_classifier()
    logits = predict_logits(classifier, mixed, workers=0, max_side_px=20)
    classifier.eval()
    with torch.no_grad():
        image = mixed.load_image(mixed.samples[0])
        seen = classifier(normalise(resize_image(image, (15, 20)))[None])  # 24 * 20 / 33 = 14.5
        kept = classifier(normalise(mixed.load_image(mixed.samples[2]))[None])
    torch.testing.assert_close(logits[[0]], seen, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(logits[[2]], kept, rtol=1e-4, atol=1e-6)


def test_mean_average_precision_of_a_known_ranking(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Class 0 is shown by images 0 and 3, class 1 by 1, 3 and 4, class 2 by 2 and 4.
    scores = np.zeros((6, 3), np.float32)
    scores[:, 0] = [9, 8, 1, 7, 1, 1]  # positives rank 1 and 3: (1 + 2/3) / 2
    scores[:, 1] = [0, 3, 0, 2, 1, 0]  # perfect
    scores[:, 2] = [5, 4, 3, 2, 1, 0]  # positives rank 3 and 5: (1/3 + 2/5) / 2
    monkeypatch.setattr("weakseg.train.classify.predict_logits", lambda *_, **__: torch.from_numpy(scores))
    expected = ((1 + 2 / 3) / 2 + 1 + (1 / 3 + 2 / 5) / 2) / 3
    assert measure_map(make_classifier(), dataset, workers=0) == pytest.approx(expected)


def test_unknown_tags_do_not_count_in_the_mean_average_precision(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.zeros((6, 3), np.float32)
    scores[:, 0] = [9, 10, 1, 7, 1, 1]
    monkeypatch.setattr("weakseg.train.classify.predict_logits", lambda *_, **__: torch.from_numpy(scores))
    # Only class 0 is known, and not in image 1, which would have ranked first.
    samples = [
        replace(sample, tags=sample.tags * np.array([1, 0, 0], np.uint8), known=np.array([index != 1, False, False]))
        for index, sample in enumerate(dataset)
    ]
    assert measure_map(make_classifier(), replace(dataset, samples=tuple(samples)), workers=0) == 1.0


def test_without_any_tag_the_mean_average_precision_is_undefined(tmp_path: Path) -> None:
    empty = make_dataset(tmp_path, ((), ()), split="val")
    assert math.isnan(measure_map(make_classifier(), empty, workers=0))


@pytest.mark.parametrize("num_classes", [1, 80])
def test_one_class_and_eighty_classes(num_classes: int, tmp_path: Path) -> None:
    names = [f"class {index}" for index in range(num_classes)]
    dataset = make_dataset(tmp_path, ((0,), ()), names=names)
    classifier = make_classifier(num_classes=num_classes)
    history = train_classifier(
        classifier, dataset, dataset, augmentation=AUGMENTATION, plan=make_plan(epochs=1, batch_size=2), seed=0
    )
    assert 0 <= history[0].metrics["map"] <= 1


@pytest.mark.slow
def test_a_tiny_training_learns_its_images(dataset: Dataset) -> None:
    classifier = make_classifier()
    history = train_classifier(
        classifier,
        dataset,
        dataset,
        augmentation=AUGMENTATION,
        plan=make_plan(epochs=40, batch_size=6, learning_rate=0.1),
        seed=0,
    )
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].metrics["map"] > 0.95
    assert [record.epoch for record in history] == list(range(1, 41))


def test_without_validation_images_there_is_no_metric(dataset: Dataset) -> None:
    history = train_classifier(
        make_classifier(), dataset, None, augmentation=AUGMENTATION, plan=make_plan(epochs=1), seed=0
    )
    assert history[0].metrics == {}


def test_a_constant_guess_has_the_entropy_of_the_tags(tmp_path: Path) -> None:
    two = make_dataset(tmp_path / "two", ((0, 1), (1,)), names=("cat", "dog"))
    assert constant_guess_loss(two) == pytest.approx(math.log(2) / 2)
    unknown = make_dataset(
        tmp_path / "four", ((0, 1), (1,), (), ()), names=("cat", "dog"), unknown=((), (), (1,), (0, 1))
    )
    # Cat is in one of the three that know: -log 1/3 once, -log 2/3 twice, the last of them without a second class.
    assert constant_guess_loss(unknown) == pytest.approx((math.log(3) / 2 + math.log(1.5) / 2 + math.log(1.5)) / 3)
    assert constant_guess_loss(make_dataset(tmp_path / "one", ((0,),), names=("cat",))) == 0.0
    assert constant_guess_loss(two.keep(())) == 0.0
