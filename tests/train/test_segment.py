import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, DictMasks, make_dataset, make_plan, make_segmenter
from weakseg.data.base import Dataset
from weakseg.data.loaders import Batch
from weakseg.errors import DataError
from weakseg.models.inference import predict_labels
from weakseg.train.segment import segmentation_loss, train_segmenter

VOID = 255


class Constant(nn.Module):
    """Answers with the logits it holds."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def batch_of(labels: Tensor) -> Batch:
    return Batch(torch.zeros(len(labels), 3, *labels.shape[1:]), torch.zeros(1, 1), torch.ones(1, 1) > 0, labels)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"))


def test_only_labelled_pixels_count() -> None:
    """Two labels; odds 3 : 1 at every pixel. Three pixels are labelled, one of them wrongly."""
    model = Constant(torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1).repeat(1, 1, 2, 3))
    labels = torch.tensor([[[0, VOID, VOID], [1, VOID, 0]]])
    loss = segmentation_loss(model, batch_of(labels))
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)
    loss.backward()
    gradient = model.logits.grad[0]
    assert (gradient[:, labels[0] == VOID] == 0).all()
    assert gradient[:, 0, 0].tolist() == pytest.approx([-0.25 / 3, 0.25 / 3])
    assert gradient[:, 1, 0].tolist() == pytest.approx([0.75 / 3, -0.75 / 3])


def test_pixels_of_all_images_weigh_the_same() -> None:
    model = Constant(torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1).repeat(2, 1, 1, 3))
    labels = torch.tensor([[[0, 0, 0]], [[1, VOID, VOID]]])
    loss = segmentation_loss(model, batch_of(labels))
    assert loss.item() == pytest.approx((3 * math.log(4 / 3) + math.log(4)) / 4)


def test_a_batch_without_labels_has_loss_zero_and_a_gradient_of_zero() -> None:
    model = Constant(torch.randn(2, 4, 3, 2))
    loss = segmentation_loss(model, batch_of(torch.full((2, 24, 16), VOID)))
    loss.backward()
    assert loss.item() == 0.0
    assert (model.logits.grad == 0).all()


def test_labels_are_sampled_at_the_centres_of_the_cells() -> None:
    """Six columns to two cells of three: columns 1 and 4; of four rows to two cells, rows 1 and 3."""
    labels = torch.full((1, 4, 6), 3)
    labels[0, 1, 1], labels[0, 1, 4], labels[0, 3, 1], labels[0, 3, 4] = 0, 1, 1, 2
    logits = torch.zeros(1, 4, 2, 2)
    for row, column, label in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        logits[0, label, row, column] = 50.0
    assert segmentation_loss(Constant(logits), batch_of(labels)).item() == pytest.approx(0.0, abs=1e-6)


def test_the_highest_label_keeps_its_number() -> None:
    """254 must come through the interpolation of floats as 254."""
    logits = torch.zeros(1, 255, 1, 1)
    logits[0, 254] = 60.0
    assert segmentation_loss(Constant(logits), batch_of(torch.full((1, 8, 8), 254))).item() == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.slow
def test_a_tiny_training_learns_its_masks(dataset: Dataset) -> None:
    segmenter = make_segmenter()
    plan = make_plan(epochs=60, batch_size=6, learning_rate=0.1)
    history = train_segmenter(segmenter, dataset, dataset.mask_reader, augmentation=AUGMENTATION, plan=plan, seed=0)
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].metrics == {}
    right = total = 0
    for sample in dataset:
        truth = dataset.load_mask(sample)
        labels = predict_labels(segmenter, dataset.load_image(sample))
        right += int((labels == truth)[truth != VOID].sum())
        total += int((truth != VOID).sum())
    assert right / total > 0.85


def test_masks_come_from_the_reader_and_not_from_the_truth(dataset: Dataset) -> None:
    empty = {sample.id: dataset.load_mask(sample) * 0 for sample in dataset}
    plan = make_plan(epochs=8, batch_size=6, learning_rate=0.1)
    segmenter = make_segmenter()
    train_segmenter(segmenter, dataset, DictMasks(empty), augmentation=AUGMENTATION, plan=plan, seed=0)
    assert all((predict_labels(segmenter, dataset.load_image(sample)) == 0).all() for sample in dataset)


def test_an_image_without_a_mask_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="has no mask to train on; run the stage 'refine' again"):
        train_segmenter(make_segmenter(), dataset, DictMasks({}), augmentation=AUGMENTATION, plan=make_plan(), seed=0)


def test_masks_that_are_void_everywhere_teach_nothing(dataset: Dataset) -> None:
    void = {sample.id: dataset.load_mask(sample) * 0 + VOID for sample in dataset}
    segmenter = make_segmenter(fixed_norm=True)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    plan = replace(make_plan(epochs=1), weight_decay=0.0)
    history = train_segmenter(segmenter, dataset, DictMasks(void), augmentation=AUGMENTATION, plan=plan, seed=0)
    assert history[0].loss == 0.0
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())
