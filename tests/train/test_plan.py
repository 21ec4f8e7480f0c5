from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, make_classifier, make_dataset, make_plan
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch, CropSet
from weakseg.errors import ConfigError
from weakseg.train.classify import classification_loss
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.train.plan import NO_HOOKS, TrainingHooks, train_on_crops


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"))


def train(dataset: Dataset, *, seed: int = 0, workers: int = 0, hooks: TrainingHooks = NO_HOOKS) -> dict[str, Tensor]:
    model = make_classifier()
    train_on_crops(
        model,
        CropSet(dataset, AUGMENTATION, seed=seed),
        make_plan(workers=workers),
        loss=classification_loss,
        hooks=hooks,
    )
    return model.state_dict()


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_plan_trains_every_image_of_every_epoch(dataset: Dataset) -> None:
    shown = []

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        shown.append(batch.images.shape[0])
        return classification_loss(model, batch)

    ticks = []
    history = train_on_crops(
        make_classifier(),
        CropSet(dataset, AUGMENTATION, seed=0),
        make_plan(epochs=3, batch_size=4),
        loss=loss,
        validate=lambda: {"constant": 0.5},
        hooks=TrainingHooks(tick=lambda done, total: ticks.append((done, total))),
    )
    assert shown == [4, 4, 4]  # six images: one whole batch of four per epoch
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    assert [record.metrics for record in history] == [{"constant": 0.5}] * 3


def test_the_schedule_spans_all_epochs(dataset: Dataset) -> None:
    history = train_on_crops(
        make_classifier(),
        CropSet(dataset, AUGMENTATION, seed=0),
        make_plan(epochs=2, batch_size=3, schedule="poly", learning_rate=0.1),
        loss=classification_loss,
    )
    assert [record.learning_rate for record in history] == pytest.approx([0.1 * 0.5**0.9, 0.0])


@pytest.mark.slow
def test_results_depend_on_the_seed_and_on_nothing_else(dataset: Dataset) -> None:
    torch.manual_seed(1)
    first = train(dataset)
    torch.manual_seed(2)
    assert_equal(train(dataset, workers=1), first)
    other = train(dataset, seed=1)
    assert not torch.equal(other["classifier.weight"], first["classifier.weight"])


def test_hooks_take_a_training_up_where_it_stopped(dataset: Dataset) -> None:
    states: list[TrainState] = []

    def keep(state: TrainState, record: EpochRecord) -> None:
        states.append(state)

    whole = train(dataset, hooks=TrainingHooks(after_epoch=keep))
    assert len(states) == 2
    assert_equal(train(dataset, hooks=TrainingHooks(resume=states[0])), whole)


def test_a_network_with_a_frozen_trunk_trains_what_is_above_it(dataset: Dataset) -> None:
    model = make_classifier(freeze_trunk=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_on_crops(model, CropSet(dataset, AUGMENTATION, seed=0), make_plan(), loss=classification_loss)
    trunk = ("backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2")
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if name.startswith(trunk)], "buffers of batch norm included"
    assert changed == {name for name in before if not name.startswith(trunk)}


def test_fixed_norms_keep_their_statistics_while_scale_and_shift_learn(dataset: Dataset) -> None:
    model = make_classifier(fixed_norm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_on_crops(model, CropSet(dataset, AUGMENTATION, seed=0), make_plan(), loss=classification_loss)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "running_" not in name and "num_batches" not in name}


def test_an_unknown_schedule_is_refused_before_training(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"optim\.schedule"):
        train_on_crops(
            make_classifier(),
            CropSet(dataset, AUGMENTATION, seed=0),
            make_plan(schedule="cosine"),
            loss=classification_loss,
        )


@pytest.mark.parametrize("name", ["epochs", "batch_size", "accumulate"])
def test_a_number_below_1_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected at least 1, got 0"):
        replace(make_plan(), **{name: 0})


@pytest.mark.parametrize(("epochs", "kept"), [(1, 0), (2, 6)])
def test_images_are_kept_where_they_are_seen_again(epochs: int, kept: int, dataset: Dataset) -> None:
    crops = CropSet(dataset, AUGMENTATION, seed=0)
    plan = replace(make_plan(epochs=epochs), cache_bytes=10_000_000)
    train_on_crops(make_classifier(), crops, plan, loss=classification_loss)
    assert len(crops.cache) == kept


def test_metrics_can_be_left_to_the_last_epoch(dataset: Dataset) -> None:
    plan = replace(make_plan(epochs=3), validates_last_only=True)
    asked = []

    def validate() -> dict[str, float]:
        asked.append(len(asked))
        return {"map": 0.5}

    crops = CropSet(dataset, AUGMENTATION, seed=0)
    history = train_on_crops(make_classifier(), crops, plan, loss=classification_loss, validate=validate)
    assert [record.metrics for record in history] == [{}, {}, {"map": 0.5}]
    assert asked == [0]
