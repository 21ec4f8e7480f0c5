import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, DictMasks, make_dataset, make_plan, make_segmenter
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.errors import ConfigError, DataError
from weakseg.models.deeplab import EveryScale, Segmenter, build_segmenter
from weakseg.models.inference import predict_labels
from weakseg.train.loop import TrainState
from weakseg.train.parts import add_gradients
from weakseg.train.plan import TrainingHooks
from weakseg.train.segment import Balance, segmentation_loss, train_segmenter

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


@pytest.mark.slow
def test_masks_come_from_the_reader_and_not_from_the_truth(dataset: Dataset) -> None:
    empty = {sample.id: dataset.load_mask(sample) * 0 for sample in dataset}
    plan = make_plan(epochs=8, batch_size=6, learning_rate=0.1)
    segmenter = make_segmenter()
    train_segmenter(segmenter, dataset, DictMasks(empty), augmentation=AUGMENTATION, plan=plan, seed=0)
    assert all((predict_labels(segmenter, dataset.load_image(sample)) == 0).all() for sample in dataset)


def test_an_image_without_a_mask_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="has no mask to train on; run the stage 'refine' again"):
        train_segmenter(make_segmenter(), dataset, DictMasks({}), augmentation=AUGMENTATION, plan=make_plan(), seed=0)


def test_a_label_that_is_no_class_is_refused_and_the_highest_is_not(dataset: Dataset) -> None:
    """Three classes have the labels 1 to 3."""
    plan, masks = make_plan(epochs=1), {sample.id: dataset.load_mask(sample) for sample in dataset}
    most = DictMasks({id: mask * 0 + 3 for id, mask in masks.items()})
    assert train_segmenter(make_segmenter(), dataset, most, augmentation=AUGMENTATION, plan=plan, seed=0)[0].loss > 0
    more = DictMasks({id: mask * 0 + 4 for id, mask in masks.items()})
    with pytest.raises(DataError, match=r"training mask of image 'train_\d' has label 4, but there are 3 classes"):
        train_segmenter(make_segmenter(), dataset, more, augmentation=AUGMENTATION, plan=plan, seed=0)


def test_masks_that_are_void_everywhere_teach_nothing(dataset: Dataset) -> None:
    void = {sample.id: dataset.load_mask(sample) * 0 + VOID for sample in dataset}
    segmenter = make_segmenter(fixed_norm=True)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    plan = replace(make_plan(epochs=1), weight_decay=0.0)
    history = train_segmenter(segmenter, dataset, DictMasks(void), augmentation=AUGMENTATION, plan=plan, seed=0)
    assert history[0].loss == 0.0
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())


def odds_of_three(size_hw: tuple[int, int], images: int = 1) -> Tensor:
    """Logits that give label 0 the probability 3/4 and label 1 the probability 1/4 everywhere."""
    return torch.tensor([math.log(3.0), 0.0]).reshape(1, 2, 1, 1).repeat(images, 1, *size_hw)


def test_background_and_foreground_weigh_half_each() -> None:
    """Three background pixels of loss log 4/3, one of the foreground of loss log 4: 0.5 and 0.5, not 0.75 and 0.25."""
    model = Constant(odds_of_three((1, 5)))
    loss = segmentation_loss(model, batch_of(torch.tensor([[[0, 0, 0, 1, VOID]]])), balance="foreground_background")
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    loss.backward()
    assert model.logits.grad[0, :, 0].tolist() == [
        pytest.approx([-0.25 / 6, -0.25 / 6, -0.25 / 6, 0.75 / 2, 0]),
        pytest.approx([0.25 / 6, 0.25 / 6, 0.25 / 6, -0.75 / 2, 0]),
    ]


def test_all_classes_together_are_the_foreground() -> None:
    """Labels 1 and 2 share their half by pixels, two to one."""
    logits = torch.tensor([0.0, 0.0, math.log(2.0)]).reshape(1, 3, 1, 1).repeat(1, 1, 1, 4)  # 1/4, 1/4, 1/2
    loss = segmentation_loss(
        Constant(logits), batch_of(torch.tensor([[[0, 1, 1, 2]]])), balance="foreground_background"
    )
    assert loss.item() == pytest.approx((math.log(4) + (2 * math.log(4) + math.log(2)) / 3) / 2)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 0, VOID], math.log(4 / 3)), ([1, VOID, VOID], math.log(4)), ([VOID, VOID, VOID], 0.0)],
)
def test_where_only_one_side_occurs_it_alone_counts(labels: list[int], expected: float) -> None:
    model = Constant(odds_of_three((1, 3)))
    loss = segmentation_loss(model, batch_of(torch.tensor([[labels]])), balance="foreground_background")
    loss.backward()
    assert loss.item() == pytest.approx(expected)
    assert bool(torch.isfinite(model.logits.grad).all())


def test_an_unknown_balance_is_refused(dataset: Dataset) -> None:
    balance: Balance = "classes"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"segmenter\.balance"):
        train_segmenter(
            make_segmenter(),
            dataset,
            dataset.mask_reader,
            augmentation=AUGMENTATION,
            plan=make_plan(),
            seed=0,
            balance=balance,
        )


class TwoScales(nn.Module):
    """Answers with maps of 2 x 2 and of 1 x 1 cells."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return odds_of_three((2, 2)), odds_of_three((1, 1))


def test_the_losses_of_all_scales_are_added_each_at_its_own_size() -> None:
    """Of 4 x 4 pixels, cells of 2 x 2 sample (1, 1) to (3, 3), one cell of 4 x 4 samples (2, 2)."""
    labels = torch.full((1, 4, 4), VOID)
    labels[0, 1, 1], labels[0, 1, 3], labels[0, 3, 3], labels[0, 2, 2] = 0, 1, 1, 1
    loss = segmentation_loss(TwoScales(), batch_of(labels))
    assert loss.item() == pytest.approx((math.log(4 / 3) + 2 * math.log(4)) / 3 + math.log(4))


def several_scales(num_labels: int = 4) -> Segmenter:
    return build_segmenter(
        "critter",
        num_labels=num_labels,
        aspp_rates=(1, 2),
        fixed_norm=True,
        multi_scale=(0.75, 0.5),
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["none", "foreground_background"])
@pytest.mark.parametrize(("num_labels", "parts"), [(2, 2), (4, 5), (81, 3)])
def test_gradients_in_parts_are_those_of_the_whole_batch(num_labels: int, parts: int, balance: Balance) -> None:
    """Five images whose labelled pixels, background and foreground are unequal in number; one has none at all."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, num_labels, (5, 24, 33), generator=generator)
    labels[0, :12], labels[1], labels[2, :, 5:], labels[3] = 0, VOID, VOID, 1
    batch = Batch(torch.randn(5, 3, 24, 33, generator=generator), torch.zeros(5, 1), torch.ones(5, 1) > 0, labels)
    gradients, losses = [], []
    for accumulate in (1, parts):
        model = EveryScale(several_scales(num_labels))
        loss = partial(segmentation_loss, balance=balance)
        losses.append(add_gradients(model, batch, loss=loss, parts=accumulate))
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(losses[1], losses[0])
    assert losses[0].item() > 0
    for whole, accumulated in zip(*gradients, strict=True):
        torch.testing.assert_close(accumulated, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_training_in_parts_and_scales_resumes_bit_for_bit(dataset: Dataset) -> None:
    plan = replace(make_plan(epochs=3, batch_size=3), accumulate=2)

    def train(hooks: TrainingHooks) -> Segmenter:
        segmenter = several_scales()
        train_segmenter(
            segmenter,
            dataset,
            dataset.mask_reader,
            augmentation=AUGMENTATION,
            plan=plan,
            seed=0,
            balance="foreground_background",
            hooks=hooks,
        )
        return segmenter

    states: list[TrainState] = []
    whole = train(TrainingHooks(after_epoch=lambda state, record: states.append(state)))
    resumed = train(TrainingHooks(resume=states[0]))
    assert len(states) == 3
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.slow
def test_a_training_in_parts_ends_with_the_weights_of_one_in_whole_batches(dataset: Dataset) -> None:
    weights = []
    for accumulate in (1, 3):
        segmenter = several_scales()
        plan = replace(make_plan(epochs=1, batch_size=3), accumulate=accumulate)
        train_segmenter(segmenter, dataset, dataset.mask_reader, augmentation=AUGMENTATION, plan=plan, seed=0)
        weights.append(segmenter.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_tiny_training_of_several_scales_learns_its_masks(dataset: Dataset) -> None:
    segmenter = several_scales()
    plan = replace(make_plan(epochs=60, batch_size=6, learning_rate=0.02), accumulate=2)
    history = train_segmenter(
        segmenter,
        dataset,
        dataset.mask_reader,
        augmentation=AUGMENTATION,
        plan=plan,
        seed=0,
        balance="foreground_background",
    )
    assert history[-1].loss < 0.5 * history[0].loss
