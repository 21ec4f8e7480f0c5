import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, DictMasks, make_dataset, make_plan
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.errors import ConfigError, DataError, ShapeError
from weakseg.models.affinitynet import AffinityNet, build_affinitynet
from weakseg.ops.images import normalise
from weakseg.train.affinity import affinity_loss, affinity_losses, train_affinity
from weakseg.train.lesson import Lesson
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.train.plan import TrainingHooks

VOID = 255
EPS = 1e-5


class Constant(nn.Module):
    """Answers with the features it holds."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = nn.Parameter(features)

    def forward(self, images: Tensor) -> Tensor:
        return self.features


def batch_of(labels: Tensor) -> Batch:
    return Batch(torch.zeros(len(labels), 3, *labels.shape[1:]), torch.zeros(1, 1), torch.ones(1, 1) > 0, labels)


def make_affinitynet(*, freeze_trunk: bool = True) -> AffinityNet:
    generator = torch.Generator().manual_seed(0)
    return build_affinitynet("critter38", freeze_trunk=freeze_trunk, fixed_norm=False, generator=generator)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), sizes_hw=((24, 33), (40, 26)))


def test_losses_of_a_row_of_three_sources() -> None:
    """Sources are columns 1 to 3 of the upper row, each paired with the pixel to the right and three below."""
    features = torch.tensor([[[[9.0, 0.0, 1.0, 3.0, 3.0], [9.0, 0.5, 9.0, 3.0, 9.0]]]])
    labels = torch.tensor([[[0, 0, 0, 2, 2], [VOID, 1, VOID, 2, VOID]]])
    losses = affinity_losses(features, labels, radius=2, num_labels=3)
    assert losses.background.item() == pytest.approx(-math.log(math.exp(-1) + EPS), rel=1e-5)  # 0 and 1
    assert losses.foreground.item() == pytest.approx(-math.log(1 + EPS), abs=1e-6)  # 3 and 3, to the right and below
    # 0 and 0.5 below; 1 and 3 to the right, 0.5 to the left below, 3 to the right below.
    apart = [-math.log(1 - math.exp(-distance) + EPS) for distance in (0.5, 2.0, 0.5, 2.0)]
    assert losses.negative.item() == pytest.approx(sum(apart) / 4, rel=1e-5)
    expected = (losses.background + losses.foreground + 2 * losses.negative) / 4
    torch.testing.assert_close(losses.total(), expected)
    assert losses.total().shape == ()


def test_distances_are_averaged_over_channels() -> None:
    features = torch.zeros(1, 4, 2, 3)
    features[0, 0, 0, 1] = 2.0  # the only source
    losses = affinity_losses(features, torch.zeros(1, 2, 3, dtype=torch.int64), radius=2, num_labels=1)
    assert losses.background.item() == pytest.approx(0.5, abs=1e-4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_names_of_the_foreground_classes_do_not_matter_and_neither_does_a_constant(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 5, 7, generator=generator)
    labels = torch.randint(0, 4, (2, 5, 7), generator=generator)
    renamed = torch.tensor([0, 79, VOID - 1, 3])[labels]
    losses = affinity_losses(features, labels, radius=3, num_labels=4)
    others = affinity_losses(features + 1.5, renamed, radius=3, num_labels=VOID)
    for name in ("background", "foreground", "negative"):
        torch.testing.assert_close(getattr(losses, name), getattr(others, name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("label", "only"), [(0, "background"), (3, "foreground")])
def test_with_one_label_the_other_losses_are_zero(label: int, only: str) -> None:
    features = torch.randn(1, 4, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = affinity_losses(features, torch.full((1, 4, 5), label), radius=2, num_labels=4)
    for name in ("background", "foreground", "negative"):
        assert (getattr(losses, name).item() > 0) == (name == only)


def test_without_labels_all_losses_and_gradients_are_zero() -> None:
    model = Constant(torch.randn(1, 4, 5, 5))
    loss = affinity_loss(model, batch_of(torch.full((1, 40, 40), VOID)), radius=2, num_labels=4)
    loss.backward()
    assert loss.item() == 0.0
    assert (model.features.grad == 0).all()


def test_equal_features_of_two_labels_have_a_finite_loss_and_gradient() -> None:
    model = Constant(torch.zeros(1, 2, 2, 3))
    labels = torch.tensor([[[0, 1, 2], [0, 2, 0]]])
    losses = affinity_losses(model(labels), labels, radius=2, num_labels=3)
    losses.total().backward()
    assert losses.negative.item() == pytest.approx(-math.log(EPS), rel=1e-3)
    assert bool(model.features.grad.isfinite().all())


def test_gradients_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 2, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([[[0, 0, 1, 1, VOID], [0, 2, 2, 1, 1], [0, 0, 2, VOID, 1]]])

    def total(values: Tensor) -> Tensor:
        return affinity_losses(values, labels, radius=3, num_labels=3).total()

    assert torch.autograd.gradcheck(total, (features,))


def test_half_precision_is_computed_in_float32() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 3, 4, 6, generator=generator).to(torch.bfloat16)
    labels = torch.randint(0, 3, (1, 4, 6), generator=generator)
    losses = affinity_losses(features, labels, radius=2, num_labels=3)
    exact = affinity_losses(features.float(), labels, radius=2, num_labels=3)
    assert losses.total().dtype == torch.float32
    assert torch.equal(losses.total(), exact.total())


def test_labels_are_sampled_at_the_centres_of_the_cells() -> None:
    """Only the centres are labelled, all as background; neighbours differ by 1, diagonal ones by 0."""
    labels = torch.full((1, 24, 32), VOID)
    labels[:, 4::8, 4::8] = 0
    checkers = (torch.arange(3)[:, None] + torch.arange(4)) % 2
    loss = affinity_loss(Constant(checkers.float()[None, None]), batch_of(labels), radius=2, num_labels=4)
    assert loss.item() == pytest.approx(1 / 8, abs=1e-4)


def test_the_highest_label_keeps_its_number() -> None:
    """Label 254 must come through the interpolation of floats as 254: it is foreground, not ignored."""
    features = (torch.arange(12) % 2).float().reshape(1, 1, 3, 4)
    loss = affinity_loss(Constant(features), batch_of(torch.full((1, 24, 32), 254)), radius=2, num_labels=255)
    assert loss.item() > 0.01


@pytest.mark.slow
def test_training_tells_objects_from_background(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=((96, 128), (104, 112)))
    network = make_affinitynet()
    augmentation = replace(AUGMENTATION, long_side_px=(104, 140), crop_px=96)
    plan = make_plan(epochs=12, batch_size=6, schedule="poly", learning_rate=0.3)
    history = train_affinity(network, Lesson(dataset, dataset.mask_reader, augmentation, plan, seed=0))
    assert history[-1].loss < 0.6 * history[0].loss
    network.eval()
    within, between = [], []
    for sample in dataset:
        with torch.no_grad():
            features = network(normalise(dataset.load_image(sample))[None])[0]
        labels = torch.from_numpy(dataset.load_mask(sample))[4::8, 4::8]
        affinity = (features[:, :, 1:] - features[:, :, :-1]).abs().mean(dim=0).neg().exp()
        known = (labels[:, 1:] != VOID) & (labels[:, :-1] != VOID)
        same = labels[:, 1:] == labels[:, :-1]
        within.append(affinity[known & same])
        between.append(affinity[known & ~same])
    assert torch.cat(within).mean() > 1.5 * torch.cat(between).mean()


def test_training_leaves_a_frozen_trunk(dataset: Dataset) -> None:
    network = make_affinitynet()
    trunk = torch.nn.ModuleList(network.backbone.trunk_modules())
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    tail = network.backbone.b7.conv_branch2a.weight.clone()
    train_affinity(network, Lesson(dataset, dataset.mask_reader, AUGMENTATION, make_plan(), seed=0), radius=2)
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    assert not torch.equal(network.backbone.b7.conv_branch2a.weight, tail)


def test_a_training_taken_up_again_ends_with_the_same_network(dataset: Dataset) -> None:
    states: list[TrainState] = []

    def keep(state: TrainState, record: EpochRecord) -> None:
        states.append(state)

    def train(hooks: TrainingHooks) -> AffinityNet:
        network = make_affinitynet()
        lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, make_plan(), seed=3, hooks=hooks)
        train_affinity(network, lesson, radius=2)
        return network

    whole = train(TrainingHooks(after_epoch=keep))
    resumed = train(TrainingHooks(resume=states[0]))
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_crops_too_small_for_the_radius_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"crop_px 32 is too small for radius 5: .* 9 cells of 8 px.* least 65 px"):
        train_affinity(make_affinitynet(), Lesson(dataset, dataset.mask_reader, AUGMENTATION, make_plan(), seed=0))


def test_an_image_without_labels_is_named(dataset: Dataset) -> None:
    labels = DictMasks({"train_0": np.zeros((24, 33), np.uint8)})
    with pytest.raises(DataError, match=r"train_[1-5]"):
        train_affinity(make_affinitynet(), Lesson(dataset, labels, AUGMENTATION, make_plan(), seed=0), radius=2)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.zeros(1, 2, 4, 5), torch.zeros(1, 5, 4, dtype=torch.int64), r"expected float features \(N, D, H, W\)"),
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64), r"got torch.float32 \(2, 4, 5\)"),
        (torch.zeros(1, 2, 4, 5, dtype=torch.int64), torch.zeros(1, 4, 5, dtype=torch.int64), "got torch.int64"),
        (torch.zeros(1, 2, 4, 5), torch.zeros(1, 4, 5), "expected integer labels, got torch.float32"),
        (torch.zeros(1, 2, 4, 5), torch.full((1, 4, 5), 3), r"labels must be 0\.\.2 or 255 \(ignored\), got \[3\]"),
        (torch.zeros(1, 2, 1, 5), torch.zeros(1, 1, 5, dtype=torch.int64), "need a map of at least 2 x 3 px"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(features: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        affinity_losses(features, labels, radius=2, num_labels=3)


def test_a_radius_without_pairs_is_refused() -> None:
    with pytest.raises(ConfigError, match="radius: expected at least 2 cells"):
        affinity_losses(torch.zeros(1, 2, 4, 5), torch.zeros(1, 4, 5, dtype=torch.int64), radius=1, num_labels=3)
