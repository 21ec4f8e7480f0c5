import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, DictMasks, make_dataset, make_plan
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.errors import ConfigError, DataError
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.ops.affinity import affinity_displacement_losses
from weakseg.ops.images import limit_side, normalise
from weakseg.train.irn import estimate_mean_displacement, irn_loss, train_irn
from weakseg.train.lesson import Lesson
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan

RADIUS = 3
VOID = 255


class Constant(nn.Module):
    """Answers with the edge logits and displacements it holds."""

    def __init__(self, logits: Tensor, displacement: Tensor) -> None:
        super().__init__()
        self.logits, self.displacement = nn.Parameter(logits), nn.Parameter(displacement)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits, self.displacement


def batch_of(labels: Tensor) -> Batch:
    return Batch(torch.zeros(len(labels), 3, *labels.shape[1:]), torch.zeros(1, 1), torch.ones(1, 1) > 0, labels)


def make_irnet() -> IRNet:
    return build_irnet("critter", generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), sizes_hw=((24, 33), (40, 26)))


def train(
    irnet: IRNet, dataset: Dataset, plan: TrainingPlan, *, seed: int = 0, hooks: TrainingHooks = NO_HOOKS
) -> tuple[EpochRecord, ...]:
    lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, plan, seed, hooks=hooks)
    return train_irn(irnet, lesson, radius=RADIUS, crop_size=32)


def test_labels_are_sampled_at_the_centres_of_the_cells() -> None:
    """Only the centres are labelled, all of them background; affinities are 1/2, and only half of `positive` counts."""
    labels = torch.full((1, 12, 16), VOID)
    labels[:, 2::4, 2::4] = 0
    model = Constant(torch.zeros(1, 3, 4), torch.zeros(1, 2, 3, 4))
    loss = irn_loss(model, batch_of(labels), radius=2, num_labels=4)
    assert loss.item() == pytest.approx(math.log(2) / 4, abs=1e-4)


def test_the_loss_is_the_total_of_the_affinity_and_displacement_losses() -> None:
    generator = torch.Generator().manual_seed(4)
    logits, displacement = torch.randn(2, 6, 7, generator=generator), torch.randn(2, 2, 6, 7, generator=generator)
    cells = torch.randint(0, 3, (2, 6, 7), generator=generator)
    labels = cells.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    loss = irn_loss(Constant(logits, displacement), batch_of(labels), radius=RADIUS, num_labels=4)
    expected = affinity_displacement_losses(logits.sigmoid(), displacement, cells, radius=RADIUS, num_labels=4)
    torch.testing.assert_close(loss, expected.total())


def test_the_highest_label_keeps_its_number() -> None:
    """Label 254 must come through the interpolation of floats as 254: it is foreground, not ignored."""
    model = Constant(torch.zeros(1, 4, 4), torch.zeros(1, 2, 4, 4))
    loss = irn_loss(model, batch_of(torch.full((1, 16, 16), 254)), radius=2, num_labels=255)
    assert loss.item() > math.log(2) / 4


def test_a_batch_without_labels_has_loss_zero_and_a_gradient_of_zero() -> None:
    model = Constant(torch.randn(1, 5, 5), torch.randn(1, 2, 5, 5))
    loss = irn_loss(model, batch_of(torch.full((1, 20, 20), VOID)), radius=2, num_labels=4)
    loss.backward()
    assert loss.item() == 0.0
    assert (model.logits.grad == 0).all()
    assert (model.displacement.grad == 0).all()


@pytest.mark.slow
def test_training_finds_the_borders_and_leaves_the_backbone(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=((64, 96), (80, 72)))
    irnet = make_irnet()
    before = {name: value.clone() for name, value in irnet.backbone.state_dict().items()}
    augmentation = replace(AUGMENTATION, long_side_px=(72, 110), crop_px=64)
    plan = make_plan(epochs=60, batch_size=6, schedule="poly", learning_rate=0.5, momentum=1e-4)
    history = train_irn(irnet, Lesson(dataset, dataset.mask_reader, augmentation, plan, seed=0), radius=5)
    assert history[-1].loss < 0.6 * history[0].loss
    assert all(torch.equal(value, before[name]) for name, value in irnet.backbone.state_dict().items())
    at_border, elsewhere = [], []
    for sample in dataset:
        edge, _ = irnet.infer(normalise(dataset.load_image(sample)))
        labels = torch.from_numpy(dataset.load_mask(sample))[2::4, 2::4]
        border = torch.zeros(labels.shape, dtype=torch.bool)
        for one, other in ((border[1:], labels[1:] != labels[:-1]), (border[:, 1:], labels[:, 1:] != labels[:, :-1])):
            one |= other
        at_border.append(edge[border])
        elsewhere.append(edge[~border])
    assert torch.cat(at_border).mean() > 1.4 * torch.cat(elsewhere).mean()


def test_the_mean_displacement_is_written_after_the_last_epoch(dataset: Dataset) -> None:
    irnet, states = make_irnet(), []

    def keep(state: TrainState, record: EpochRecord) -> None:
        states.append(state)

    train(irnet, dataset, make_plan(), hooks=TrainingHooks(after_epoch=keep))
    assert [state.tensors["model.mean_displacement"].tolist() for state in states] == [[0.0, 0.0]] * 2
    expected = estimate_mean_displacement(irnet, dataset, crop_size=32)
    assert expected.abs().min() > 0
    torch.testing.assert_close(irnet.mean_displacement, expected)


@pytest.mark.slow
@pytest.mark.parametrize("epochs_done", [1, 2])
def test_a_training_taken_up_again_ends_with_the_same_network(dataset: Dataset, epochs_done: int) -> None:
    """After the last epoch only the mean displacement is left to do."""
    states: list[TrainState] = []

    def keep(state: TrainState, record: EpochRecord) -> None:
        states.append(state)

    whole, resumed = make_irnet(), make_irnet()
    history = train(whole, dataset, make_plan(), hooks=TrainingHooks(after_epoch=keep))
    again = train(resumed, dataset, make_plan(), hooks=TrainingHooks(resume=states[epochs_done - 1]))
    assert again == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_displacement_branch_learns_head_multiplier_times_as_fast(dataset: Dataset) -> None:
    """One step without momentum and decay moves a parameter by rate * gradient."""
    moves = {}
    for multiplier in (1.0, 10.0):
        irnet = make_irnet()
        before = {name: value.clone() for name, value in irnet.named_parameters()}
        plan = replace(
            make_plan(epochs=1, batch_size=6, schedule="poly", learning_rate=1e-3, momentum=0.0),
            head_multiplier=multiplier,
            weight_decay=0.0,
        )
        train(irnet, dataset, plan)
        moves[multiplier] = {name: value.detach() - before[name] for name, value in irnet.named_parameters()}
    edge, displacement = "edge.predict.weight", "displacement.predict.weight"
    torch.testing.assert_close(moves[10.0][edge], moves[1.0][edge])
    torch.testing.assert_close(moves[10.0][displacement], 10 * moves[1.0][displacement], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("crop_size", "max_side_px"), [(None, None), (48, None), (32, 28)])
def test_the_mean_displacement_weighs_every_cell_of_every_image_alike(
    dataset: Dataset, crop_size: int | None, max_side_px: int | None
) -> None:
    irnet = make_irnet()
    cells = []
    for sample in dataset:
        image = limit_side(dataset.load_image(sample), max_side_px)
        _, displacement = irnet.infer(normalise(image), crop_size=crop_size)
        cells.append(displacement.flatten(1))
    irnet.mean_displacement.copy_(torch.tensor([3.0, 4.0]))  # takes no part
    mean = estimate_mean_displacement(irnet, dataset, crop_size=crop_size, max_side_px=max_side_px)
    assert mean.dtype == torch.float32
    assert not mean.requires_grad
    torch.testing.assert_close(mean, torch.cat(cells, dim=1).mean(dim=1))


def test_crops_too_small_for_the_radius_are_refused_before_training(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"crop_px 32 is too small for radius 10: .* at least 73 px"):
        train_irn(make_irnet(), Lesson(dataset, dataset.mask_reader, AUGMENTATION, make_plan(), seed=0), radius=10)


@pytest.mark.parametrize("radius", [3, 10])
def test_the_smallest_crop_that_is_allowed_works(dataset: Dataset, radius: int) -> None:
    crop_px = 4 * (2 * radius - 2) + 1
    augmentation = replace(AUGMENTATION, crop_px=crop_px, long_side_px=(crop_px, crop_px))
    lesson = Lesson(dataset, dataset.mask_reader, augmentation, make_plan(epochs=1), seed=0)
    assert train_irn(make_irnet(), lesson, radius=radius)[0].loss > 0
    smaller = replace(lesson, augmentation=replace(augmentation, crop_px=crop_px - 1))
    with pytest.raises(ConfigError, match=f"at least {crop_px} px"):
        train_irn(make_irnet(), smaller, radius=radius)


def test_an_image_without_labels_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"image 'train_.' has no mask to train on; run the stage 'refine' again"):
        train_irn(make_irnet(), Lesson(dataset, DictMasks({}), AUGMENTATION, make_plan(), seed=0), radius=RADIUS)


def test_a_label_that_is_no_class_is_refused(dataset: Dataset) -> None:
    wrong = {sample.id: dataset.load_mask(sample) * 0 + 4 for sample in dataset}
    with pytest.raises(DataError, match=r"training mask of image 'train_.' has label 4, but there are 3 classes"):
        train_irn(make_irnet(), Lesson(dataset, DictMasks(wrong), AUGMENTATION, make_plan(), seed=0), radius=RADIUS)
