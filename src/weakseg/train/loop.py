"""One training loop for every network: epochs of batches, a state after each epoch, and exact resumption.

A state is tensors and plain JSON values, so that it can be written without pickle. Since batches are functions of
(seed, epoch), a run that was killed and resumed from its last state ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler

from weakseg.data.loaders import Batch
from weakseg.errors import ArtifactError, WeaksegError
from weakseg.files import JsonValue
from weakseg.train.distributed import average_gradients, sum_over_ranks, world_size

Tick = Callable[[int, int], None]
"""Progress callback: (steps done, steps in all)."""


class Batches(Protocol):
    """An epoch of batches whose number is known; a `DataLoader` or a list will do."""

    def __len__(self) -> int:
        """Return the number of batches."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches."""
        ...


@dataclass(frozen=True)
class EpochRecord:
    """What is known after an epoch.

    Args:
        epoch: Counted from 1.
        loss: Mean training loss over the epoch's steps and all processes.
        learning_rate: Base group's rate after the epoch.
        metrics: What the validation returned; NaN where a number is undefined.
    """

    epoch: int
    loss: float
    learning_rate: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values; an undefined metric becomes null."""
        metrics: dict[str, JsonValue] = {key: None if math.isnan(v) else v for key, v in self.metrics.items()}
        return {"epoch": self.epoch, "loss": self.loss, "learning_rate": self.learning_rate, "metrics": metrics}


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything needed to go on after an epoch.

    Args:
        tensors: Model entries under `model.` and SGD's buffers under `optimizer.<parameter index>.`, all on the CPU.
        plain: Epochs done, the optimiser's groups, the schedule's counters and the history.
    """

    tensors: Mapping[str, Tensor]
    plain: Mapping[str, JsonValue]


class TrainingDiverged(WeaksegError):
    """The loss became NaN or infinite."""


def fit(
    model: nn.Module,
    *,
    loss: Callable[[nn.Module, Batch], Tensor],
    load_epoch: Callable[[int], Batches],
    optimizer: SGD,
    schedule: LRScheduler,
    epochs: int,
    resume: TrainState | None = None,
    validate: Callable[[], Mapping[str, float]] | None = None,
    after_epoch: Callable[[TrainState, EpochRecord], None] | None = None,
    tick: Tick | None = None,
) -> tuple[EpochRecord, ...]:
    """Train a model in place.

    Args:
        model: On its device; left in training mode.
        loss: Computes the scalar loss of a batch by calling the module it is given (a wrapper under `torchrun`).
        load_epoch: Returns the batches of epoch 0, 1, ...
        optimizer: Over the model's parameters.
        schedule: Stepped after every update.
        epochs: Passes in all, those before `resume` included.
        resume: State to go on from.
        validate: Computes metrics after each epoch; switches the model's mode as it likes.
        after_epoch: Receives the state to store.
        tick: Progress.

    Returns:
        One record per epoch, those before `resume` included.

    Raises:
        TrainingDiverged: If a loss is not finite; the message says where and what to try.
        ArtifactError: If `resume` does not fit the model.
    """
    history = [] if resume is None else restore(resume, model, optimizer, schedule)
    wrapped = average_gradients(model)
    device = next(model.parameters()).device
    for epoch in range(len(history), epochs):
        batches = load_epoch(epoch)
        wrapped.train()
        total = torch.zeros((), device=device)
        for step, batch in enumerate(batches):
            value = loss(wrapped, batch.to(device))
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += value.detach()
            if tick is not None:
                tick(epoch * len(batches) + step + 1, epochs * len(batches))
        mean_loss = float(sum_over_ranks(total)) / world_size() / len(batches)
        if not math.isfinite(mean_loss):
            raise TrainingDiverged(
                f"the loss is {mean_loss} in epoch {epoch + 1} of {epochs}; try a learning rate below "
                f"{optimizer.param_groups[0]['lr']:.3g}"
            )
        metrics = {} if validate is None else validate()
        history.append(EpochRecord(epoch + 1, mean_loss, float(optimizer.param_groups[0]["lr"]), metrics))
        if after_epoch is not None:
            after_epoch(capture(model, optimizer, schedule, history), history[-1])
    return tuple(history)


def capture(model: nn.Module, optimizer: SGD, schedule: LRScheduler, history: list[EpochRecord]) -> TrainState:
    """Copy everything needed to go on later."""
    tensors = {f"model.{name}": value.detach().cpu().clone() for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    for index, buffers in state["state"].items():
        for name, value in buffers.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value.detach().cpu().clone()
    groups = [{key: value for key, value in group.items() if key != "params"} for group in state["param_groups"]]
    plain: dict[str, JsonValue] = {
        "groups": groups,
        "schedule_steps": schedule.last_epoch,
        "history": [record.to_json() for record in history],
    }
    return TrainState(tensors, plain)


def restore(state: TrainState, model: nn.Module, optimizer: SGD, schedule: LRScheduler) -> list[EpochRecord]:
    """Put a state back into model, optimiser and schedule and return the history until then."""
    prefix = "model."
    weights = {name.removeprefix(prefix): value for name, value in state.tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"the checkpoint does not fit the network: {' '.join(str(error).split())[:300]}") from None
    buffers: dict[int, dict[str, Tensor]] = {}
    for name, value in state.tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            buffers.setdefault(int(index), {})[key] = value
    groups, steps, records = state.plain["groups"], state.plain["schedule_steps"], state.plain["history"]
    assert isinstance(groups, list)
    assert isinstance(steps, int)
    assert isinstance(records, list)
    current = optimizer.state_dict()["param_groups"]
    merged = [{**old, **new} for old, new in zip(current, groups, strict=True) if isinstance(new, dict)]
    optimizer.load_state_dict({"state": buffers, "param_groups": merged})
    # Both schedules are functions of the step count alone; the rates themselves came back with the groups.
    schedule.last_epoch = steps
    schedule._last_lr = [float(group["lr"]) for group in optimizer.param_groups]
    return [_read_record(record) for record in records]


def _read_record(record: JsonValue) -> EpochRecord:
    assert isinstance(record, dict)
    epoch, metrics = record["epoch"], record["metrics"]
    assert isinstance(epoch, int)
    assert isinstance(metrics, dict)
    numbers = {key: value if isinstance(value, float) else math.nan for key, value in metrics.items()}
    return EpochRecord(epoch, _float(record["loss"]), _float(record["learning_rate"]), numbers)


def _float(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)
