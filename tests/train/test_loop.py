import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.data.crops import Batch
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import load_state, save_state
from weakseg.train.loop import EpochRecord, TrainingDiverged, TrainState, capture, fit, restore
from weakseg.train.optim import build_optimizer, build_schedule
from weakseg.train.parts import whole_of

EPOCHS, STEPS = 4, 3


class TinyNet(nn.Module):
    """Convolution, batch norm and a linear head."""

    def __init__(self, *, outputs: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(4, outputs)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


def load_epoch(epoch: int) -> list[Batch]:
    """Batches that depend on the epoch alone."""
    generator = torch.Generator().manual_seed(epoch)
    return [
        Batch(
            images=torch.randn(5, 3, 6, 7, generator=generator),
            tags=torch.rand(5, 2, generator=generator),
            known=torch.ones(5, 2, dtype=torch.bool),
            labels=None,
        )
        for _ in range(STEPS)
    ]


def squared_error(model: nn.Module, batch: Batch) -> Tensor:
    return (model(batch.images) - batch.tags).square().sum() / whole_of(batch).tags.numel()


@dataclass
class Training:
    """One training with its parts, and what it reported."""

    name: str = "one_cycle"
    momentum: float = 0.9
    accumulate: int = 1
    max_gradient_norm: float | None = None
    optimizer_name: str = "sgd"
    seed: int = 0
    model: TinyNet = field(default_factory=TinyNet)
    states: list[TrainState] = field(default_factory=list)
    within: list[TrainState] = field(default_factory=list)
    save_every_s: float | None = None
    ticks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer: Optimizer = build_optimizer(
            self.model.body.parameters(),
            self.model.head.parameters(),
            name=self.optimizer_name,
            learning_rate=0.05,
            head_multiplier=3.0,
            momentum=self.momentum,
            weight_decay=1e-3,
        )
        self.schedule: LambdaLR = build_schedule(
            self.optimizer, name=self.name, steps=EPOCHS * STEPS, power=0.9, warmup_share=0.3
        )

    def run(self, *, epochs: int = EPOCHS, resume: TrainState | None = None) -> tuple[EpochRecord, ...]:
        return fit(
            self.model,
            loss=squared_error,
            load_epoch=load_epoch,
            optimizer=self.optimizer,
            schedule=self.schedule,
            epochs=epochs,
            seed=self.seed,
            accumulate=self.accumulate,
            max_gradient_norm=self.max_gradient_norm,
            resume=resume,
            validate=self.validate,
            after_epoch=lambda state, record: self.states.append(state),
            within_epoch=self.within.append,
            save_every_s=self.save_every_s,
            tick=lambda done, total: self.ticks.append((done, total)),
        )

    def validate(self) -> Mapping[str, float]:
        self.model.eval()
        with torch.no_grad():
            error = float(squared_error(self.model, load_epoch(99)[0]))
        return {"error": error, "undefined": math.nan}


def assert_equal_states(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


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


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 1e-4), ("sgd", 0.9), ("adamw", 0.0)])
@pytest.mark.parametrize("name", ["poly", "one_cycle"])
@pytest.mark.parametrize("done", [1, 3])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    done: int, name: str, optimizer: str, momentum: float, tmp_path: Path
) -> None:
    whole, first, resumed = (
        Training(name, momentum, optimizer_name=optimizer, seed=3, model=TinyNet(dropout=0.4)) for _ in range(3)
    )
    history = whole.run()
    torch.manual_seed(8)  # dropout owes nothing to the state the process is in
    first.run(epochs=done)
    save_state(tmp_path / "checkpoint.safetensors", first.states[-1])
    again = resumed.run(resume=load_state(tmp_path / "checkpoint.safetensors"))
    assert_equal_states(resumed.model.state_dict(), whole.model.state_dict())
    assert_equal_states(resumed.states[-1].tensors, whole.states[-1].tensors)
    assert resumed.states[-1].plain == whole.states[-1].plain
    assert [record.to_json() for record in again] == [record.to_json() for record in history]
    assert resumed.ticks == [(step, EPOCHS * STEPS) for step in range(done * STEPS + 1, EPOCHS * STEPS + 1)]


def test_a_training_in_parts_updates_and_ticks_once_per_batch_and_resumes_bit_for_bit() -> None:
    whole = Training(accumulate=2)
    history = whole.run()
    assert whole.ticks == [(step, EPOCHS * STEPS) for step in range(1, EPOCHS * STEPS + 1)]
    assert whole.states[0].tensors["model.body.1.num_batches_tracked"] == 2 * STEPS, "statistics are of the parts"
    resumed = Training(accumulate=2)
    again = resumed.run(resume=whole.states[1])
    assert_equal_states(resumed.model.state_dict(), whole.model.state_dict())
    assert [record.to_json() for record in again] == [record.to_json() for record in history]


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


def test_a_state_of_adamw_counts_its_steps() -> None:
    training = Training(optimizer_name="adamw")
    training.run(epochs=1)
    names = {name.removeprefix("optimizer.0.") for name in training.states[-1].tensors if ".0." in name[:12]}
    assert names == {"step", "exp_avg", "exp_avg_sq"}
    assert training.states[-1].tensors["optimizer.0.step"].item() == STEPS


def test_training_changes_batch_norms_statistics_and_a_state_holds_them() -> None:
    training = Training()
    training.run(epochs=1)
    state = training.states[0].tensors
    assert state["model.body.1.num_batches_tracked"] == STEPS
    assert not torch.equal(state["model.body.1.running_mean"], torch.zeros(4))
    assert sorted(name for name in state if name.startswith("optimizer.")) == [
        f"optimizer.{index}.momentum_buffer" for index in range(6)
    ]


def test_a_state_is_a_copy() -> None:
    training = Training()
    training.run(epochs=2)
    weights = [state.tensors["model.head.weight"] for state in training.states]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], training.model.head.weight)
    assert weights[1].data_ptr() != training.model.head.weight.data_ptr()


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


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("place", range(EPOCHS * (STEPS - 1)))
def test_a_training_resumed_within_an_epoch_equals_an_uninterrupted_one_bit_for_bit(
    place: int, optimizer: str, tmp_path: Path
) -> None:
    whole, first, resumed = (
        Training(optimizer_name=optimizer, seed=3, model=TinyNet(dropout=0.4), save_every_s=0) for _ in range(3)
    )
    history = whole.run()
    first.run()
    assert [state.plain["steps_in_epoch"] for state in first.within] == [1, 2] * EPOCHS
    save_state(tmp_path / "checkpoint.safetensors", first.within[place])
    again = resumed.run(resume=load_state(tmp_path / "checkpoint.safetensors"))
    assert [record.to_json() for record in again] == [record.to_json() for record in history]
    assert_equal_states(resumed.model.state_dict(), whole.model.state_dict())
    assert_equal_states(resumed.states[-1].tensors, whole.states[-1].tensors)
    assert resumed.states[-1].plain == whole.states[-1].plain
    assert resumed.ticks == whole.ticks[first.within[place].plain["steps"] :]


@pytest.mark.parametrize("every_s", [None, 1e6])
def test_a_training_is_saved_within_epochs_only_when_it_is_time(every_s: float | None) -> None:
    training = Training(save_every_s=every_s)
    training.run()
    assert training.within == []
    assert len(training.states) == EPOCHS


@pytest.mark.parametrize(("name", "value"), [("steps_in_epoch", "3"), ("steps_in_epoch", -1), ("losses", None)])
def test_a_state_within_an_epoch_that_is_damaged_is_named(name: str, value: object) -> None:
    training = Training(save_every_s=0)
    training.run(epochs=1)
    state = training.within[0]
    if name == "losses":
        state = replace(state, tensors={**state.tensors, name: torch.zeros(1, 1)})
    else:
        state = replace(state, plain={**state.plain, name: value})
    with pytest.raises(ArtifactError, match=r"^the checkpoint to go on from is damaged \(steps_in_epoch "):
        Training().run(resume=state)


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


def test_a_finished_training_is_not_trained_on() -> None:
    training = Training()
    history = training.run()
    other = Training()
    assert [r.loss for r in other.run(resume=training.states[-1])] == [r.loss for r in history]
    assert other.ticks == []
    assert_equal_states(other.model.state_dict(), training.model.state_dict())


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


def finished_state() -> TrainState:
    training = Training()
    training.run(epochs=1)
    return training.states[0]


def without(mapping: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in mapping.items() if key != name}


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("tensors", "model.head.weight", None, "the checkpoint to go on from: lacks 1 of 9 parameters: head.weight"),
        ("tensors", "model.extra", torch.zeros(1), "holds 1 unexpected parameters: extra"),
        ("tensors", "model.head.weight", torch.zeros(3, 4), r"'head.weight' should have shape \(2, 4\), got \(3, 4\)"),
        (
            "tensors",
            "optimizer.4.momentum_buffer",
            torch.zeros(2, 9),
            r"damaged \(ValueError\('optimizer.4.momentum_buffer should have shape \(2, 4\), has \(2, 9\)'\)\)",
        ),
        ("tensors", "optimizer.77.momentum_buffer", torch.zeros(1), "the checkpoint to go on from is damaged"),
        ("tensors", "optimizer.x", torch.zeros(1), "the checkpoint to go on from is damaged"),
        ("plain", "steps", None, r"damaged \(KeyError\('steps'\)\); delete it and train again, or replace the stage"),
        ("plain", "steps", "3", "the checkpoint to go on from is damaged"),
        ("plain", "history", {"epoch": 1}, "the checkpoint to go on from is damaged"),
        ("plain", "history", [{"epoch": 1}], r"damaged \(KeyError\('metrics'\)\)"),
        ("plain", "history", ["text"], "expected the record of an epoch, got 'text'"),
    ],
)
def test_a_state_that_does_not_fit_is_named(part: str, name: str, value: object, message: str) -> None:
    state = finished_state()
    changed = without(getattr(state, part), name)
    if value is not None:
        changed[name] = value
    training = Training()
    with pytest.raises(ArtifactError, match=message):
        restore(replace(state, **{part: changed}), training.model, training.optimizer, training.schedule)


def test_a_state_of_another_network_leaves_the_network_as_it_is() -> None:
    model = TinyNet(outputs=5)
    training = Training(model=model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ArtifactError, match="is it another network's"):
        training.run(resume=finished_state())
    assert_equal_states(model.state_dict(), before)


def test_a_state_captured_and_restored_is_the_same_state() -> None:
    state = finished_state()
    training = Training()
    history = restore(state, training.model, training.optimizer, training.schedule)
    again = capture(training.model, training.optimizer, training.schedule, history)
    assert_equal_states(again.tensors, state.tensors)
    assert again.plain == state.plain


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_training_that_goes_on_from_a_state_leaves_it_as_it_is(optimizer: str) -> None:
    first = Training(optimizer_name=optimizer)
    first.run(epochs=1)
    state = first.states[0]
    before = {name: value.clone() for name, value in state.tensors.items()}
    Training(optimizer_name=optimizer).run(resume=state)
    assert_equal_states(state.tensors, before)


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    save_state(tmp_path / "checkpoint.safetensors", finished_state())
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")  # of the JSON header, as the format has it
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["weakseg"])["steps"] == STEPS
    assert "model.body.0.weight" in header
