import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.tiny_training import EPOCHS, STEPS, TinyNet, Training, assert_equal_states
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import load_state, save_state
from weakseg.train.loop import TrainState, capture, restore


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


def test_a_finished_training_is_not_trained_on() -> None:
    training = Training()
    history = training.run()
    other = Training()
    assert [r.loss for r in other.run(resume=training.states[-1])] == [r.loss for r in history]
    assert other.ticks == []
    assert_equal_states(other.model.state_dict(), training.model.state_dict())


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


def test_a_state_of_adamw_counts_its_steps() -> None:
    training = Training(optimizer_name="adamw")
    training.run(epochs=1)
    names = {name.removeprefix("optimizer.0.") for name in training.states[-1].tensors if ".0." in name[:12]}
    assert names == {"step", "exp_avg", "exp_avg_sq"}
    assert training.states[-1].tensors["optimizer.0.step"].item() == STEPS


def test_a_state_is_a_copy() -> None:
    training = Training()
    training.run(epochs=2)
    weights = [state.tensors["model.head.weight"] for state in training.states]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], training.model.head.weight)
    assert weights[1].data_ptr() != training.model.head.weight.data_ptr()


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    save_state(tmp_path / "checkpoint.safetensors", finished_state())
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")  # of the JSON header, as the format has it
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["weakseg"])["steps"] == STEPS
    assert "model.body.0.weight" in header
