import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.train.tiny_training import EPOCHS, STEPS, TinyNet, Training, assert_equal_states, load_epoch, squared_error
from weakseg.data.crops import Batch
from weakseg.train.loop import EpochRecord, TrainingDiverged, fit
from weakseg.train.optim import build_schedule


def first_step(max_gradient_norm: float | None, *, accumulate: int = 1) -> tuple[dict[str, Tensor], float]:
    """Train for one step of plain SGD at a rate of 1; return by how much each weight moved, and all together."""
    training = Training(accumulate=accumulate)
    before = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    optimizer = torch.optim.SGD(training.model.parameters(), lr=1.0)
    fit(
        training.model,
        loss=squared_error,
        load_epoch=lambda epoch: load_epoch(epoch)[:1],
        optimizer=optimizer,
        schedule=build_schedule(optimizer, name="poly", steps=10, power=0.9, warmup_share=0.3),
        epochs=1,
        accumulate=accumulate,
        max_gradient_norm=max_gradient_norm,
    )
    moved = {name: value.detach() - before[name] for name, value in training.model.named_parameters()}
    return moved, math.sqrt(sum(float(value.square().sum()) for value in moved.values()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_large_gradients_are_scaled_down_together_and_small_ones_stay_to_the_bit(accumulate: int) -> None:
    free, length = first_step(None, accumulate=accumulate)
    assert_equal_states(first_step(1.01 * length, accumulate=accumulate)[0], free)
    bound, shorter = first_step(length / 4, accumulate=accumulate)
    assert shorter == pytest.approx(length / 4, rel=1e-4)
    for name, value in free.items():
        torch.testing.assert_close(4 * bound[name], value, rtol=1e-3, atol=1e-5)


def test_dropout_follows_from_the_seed_and_differs_from_step_to_step() -> None:
    one, again, other = (Training(seed=seed, model=TinyNet(dropout=0.4)) for seed in (1, 1, 2))
    before = torch.get_rng_state()
    for training in (one, again, other):
        training.run(epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal_states(one.model.state_dict(), again.model.state_dict())
    assert not torch.equal(one.model.head.weight, other.model.head.weight)

    drawn = []

    def draw(model: nn.Module, batch: Batch) -> Tensor:
        drawn.append(float(torch.rand(())))
        return squared_error(model, batch)

    training = Training()
    fit(
        training.model,
        loss=draw,
        load_epoch=load_epoch,
        optimizer=training.optimizer,
        schedule=training.schedule,
        epochs=2,
        seed=1,
    )
    assert len(set(drawn)) == 2 * STEPS


def test_training_changes_batch_norms_statistics_and_a_state_holds_them() -> None:
    training = Training()
    training.run(epochs=1)
    state = training.states[0].tensors
    assert state["model.body.1.num_batches_tracked"] == STEPS
    assert not torch.equal(state["model.body.1.running_mean"], torch.zeros(4))
    assert sorted(name for name in state if name.startswith("optimizer.")) == [
        f"optimizer.{index}.momentum_buffer" for index in range(6)
    ]


def test_records_tell_epoch_mean_loss_rate_and_metrics() -> None:
    training = Training("poly")
    history = training.run(epochs=2)
    assert [record.epoch for record in history] == [1, 2]
    assert [record.learning_rate for record in history] == pytest.approx(
        [0.05 * (1 - step / 12) ** 0.9 for step in (3, 6)]
    )
    losses = []
    fresh = Training("poly")

    def remember(model: nn.Module, batch: Batch) -> Tensor:
        value = squared_error(model, batch)
        losses.append(value.item())
        return value

    fit(
        fresh.model,
        loss=remember,
        load_epoch=load_epoch,
        optimizer=fresh.optimizer,
        schedule=fresh.schedule,
        epochs=1,
    )
    assert history[0].loss == pytest.approx(sum(losses) / STEPS)
    assert math.isnan(history[0].metrics["undefined"])
    assert history[1].loss < history[0].loss


@pytest.mark.parametrize("every_s", [None, 1e6])
def test_a_training_is_saved_within_epochs_only_when_it_is_time(every_s: float | None) -> None:
    training = Training(save_every_s=every_s)
    training.run()
    assert training.within == []
    assert len(training.states) == EPOCHS


def test_training_mode_returns_after_a_validation_that_switches_it_off() -> None:
    training = Training()
    modes = []
    fit(
        training.model,
        loss=lambda model, batch: (modes.append(model.training), squared_error(model, batch))[1],
        load_epoch=load_epoch,
        optimizer=training.optimizer,
        schedule=training.schedule,
        epochs=2,
        validate=training.validate,
    )
    assert modes == [True] * 2 * STEPS


def test_undefined_metrics_are_null_in_json_and_come_back() -> None:
    record = EpochRecord(3, 0.5, 0.01, {"map": math.nan, "other": 0.25})
    document = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert document == {"epoch": 3, "loss": 0.5, "learning_rate": 0.01, "metrics": {"map": None, "other": 0.25}}
    again = EpochRecord.from_json(document)
    assert math.isnan(again.metrics["map"])
    assert replace(again, metrics={}) == replace(record, metrics={})
    assert again.metrics["other"] == 0.25


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_before_a_state_is_kept(value: float) -> None:
    training = Training("poly")

    def explode(model: nn.Module, batch: Batch) -> Tensor:
        steps = training.schedule.last_epoch
        return squared_error(model, batch) * (value if steps >= STEPS else 1.0)

    with pytest.raises(TrainingDiverged) as raised:
        fit(
            training.model,
            loss=explode,
            load_epoch=load_epoch,
            optimizer=training.optimizer,
            schedule=training.schedule,
            epochs=EPOCHS,
            after_epoch=lambda state, record: training.states.append(state),
        )
    # An infinite loss makes the weights NaN, and so the next loss.
    rate = 0.05 * 0.75**0.9
    assert str(raised.value) == (
        f"the loss is nan in epoch 2 of 4; try a learning rate below the {rate:.3g} it had reached"
    )
    assert len(training.states) == 1
