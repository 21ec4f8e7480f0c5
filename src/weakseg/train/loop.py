"""One training loop for every network: epochs of batches, states after epochs and within, and exact resumption.

A state is tensors and plain JSON values, so that it can be written without pickle. Since batches are functions of
(seed, epoch) and dropout one of (seed, step), a run that was killed and resumed from its last state ends with the same
weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.data.crops import Batch
from weakseg.errors import ArtifactError, WeaksegError
from weakseg.files import JsonValue
from weakseg.models.checkpoints import fit_state
from weakseg.models.randomness import seeded_draws
from weakseg.train.distributed import (
    average_gradients,
    rank,
    share_buffers,
    sum_over_ranks,
    tell_differences,
    world_size,
)
from weakseg.train.parts import add_gradients
from weakseg.train.saving import NOT_BEGUN, BegunEpoch, SaveClock, gather_losses, own_loss, skip_batches

Tick = Callable[[int, int], None]
"""Progress callback: (steps done, steps in all)."""

MODEL_PREFIX, OPTIMIZER_PREFIX = "model.", "optimizer."
"""What the names of a state's tensors begin with."""

LOSSES, BEGUN = "losses", "steps_in_epoch"
"""A tensor and a plain entry of states within an epoch, see `BegunEpoch`."""

ADAM_STEP = "step"
"""AdamW counts its steps for each parameter; all else that optimisers keep has the shape of the parameter."""


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

    @staticmethod
    def from_json(record: JsonValue) -> EpochRecord:
        """Read what `to_json` returned; a `ValueError`, `KeyError` or `TypeError` if it is something else."""
        if not isinstance(record, dict) or not isinstance(record["metrics"], dict):
            raise TypeError(f"expected the record of an epoch, got {record!r}")
        metrics = {key: math.nan if value is None else float(value) for key, value in record["metrics"].items()}
        return EpochRecord(int(record["epoch"]), float(record["loss"]), float(record["learning_rate"]), metrics)


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything needed to go on after a step.

    Args:
        tensors: Model entries under `model.` and the optimiser's under `optimizer.<parameter index>.`, all on the CPU;
            within an epoch the `losses` so far.
        plain: `steps` done, and the `history` as JSON values; within an epoch `steps_in_epoch`.
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
    optimizer: Optimizer,
    schedule: LambdaLR,
    epochs: int,
    seed: int = 0,
    accumulate: int = 1,
    max_gradient_norm: float | None = None,
    resume: TrainState | None = None,
    validate: Callable[[], Mapping[str, float]] | None = None,
    validates_last_only: bool = False,
    after_epoch: Callable[[TrainState, EpochRecord], None] | None = None,
    within_epoch: Callable[[TrainState], None] | None = None,
    save_every_s: float | None = None,
    tick: Tick | None = None,
) -> tuple[EpochRecord, ...]:
    """Train a model in place.

    Args:
        model: On its device; left in training mode.
        loss: Computes the scalar loss of a batch by calling the module it is given (a wrapper under `torchrun`). If
            `accumulate` is more than 1, it is given each `BatchPart` and returns the part's share.
        load_epoch: Returns the batches of epoch 0, 1, ...
        optimizer: Over the model's parameters.
        schedule: From `build_schedule`; stepped after every update.
        epochs: Passes in all, those before `resume` included.
        seed: What dropout draws in a step is a function of this, the step and the process.
        accumulate: In how many parts a batch is passed through the network before the one update it gets. The gradient
            is that of the whole batch up to rounding, unless batch norm takes its statistics from the part.
        max_gradient_norm: A gradient whose L2 norm over all parameters together is larger is scaled down to it; None
            for no limit (Pascanu, Mikolov and Bengio, ICML 2013). Smaller ones stay as they are, to the bit.
        resume: State to go on from.
        validate: Computes metrics after each epoch; switches the model's mode as it likes.
        validates_last_only: Whether it is called after the last epoch only; the others' records then have no metrics.
        after_epoch: Receives the state to store.
        within_epoch: Receives further states to store, which do not wait for the end of an epoch.
        save_every_s: How often, in seconds; 0 after every step, None never.
        tick: Progress.

    Returns:
        One record per epoch, those before `resume` included.

    Raises:
        TrainingDiverged: If a loss is not finite; the message says where and what to try.
        ArtifactError: If `resume` does not fit.
    """
    history = [] if resume is None else restore(resume, model, optimizer, schedule)
    begun = NOT_BEGUN if resume is None else read_begun(resume)
    wrapped = average_gradients(model)
    device = next(model.parameters()).device
    clock = SaveClock(None if within_epoch is None else save_every_s, device)
    first = len(history)
    for epoch in range(first, epochs):
        batches = load_epoch(epoch)
        wrapped.train()
        if epoch == first:
            tell_differences(model)
        total = own_loss(begun, device)
        highest_rate = 0.0
        for step, batch in enumerate(skip_batches(batches, begun.steps), start=begun.steps):
            highest_rate = max(highest_rate, _base_rate(optimizer))
            optimizer.zero_grad(set_to_none=True)
            with seeded_draws(device, seed, schedule.last_epoch, rank()):
                total += add_gradients(wrapped, batch.to(device), loss=loss, parts=accumulate)
            if max_gradient_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
            optimizer.step()
            schedule.step()
            if tick is not None:
                tick(epoch * len(batches) + step + 1, epochs * len(batches))
            if clock.is_due() and within_epoch is not None and step + 1 < len(batches):
                losses = gather_losses(total)
                if losses.isfinite().all():  # else the last good state stays
                    within_epoch(capture(model, optimizer, schedule, history, BegunEpoch(step + 1, losses)))
        begun = NOT_BEGUN
        mean_loss = float(sum_over_ranks(total)) / world_size() / len(batches)
        if not math.isfinite(mean_loss):
            raise TrainingDiverged(
                f"the loss is {mean_loss} in epoch {epoch + 1} of {epochs}; try a learning rate below the "
                f"{highest_rate:.3g} it had reached"
            )
        share_buffers(model)
        is_skipped = validate is None or (validates_last_only and epoch < epochs - 1)
        metrics = {} if is_skipped or validate is None else validate()
        history.append(EpochRecord(epoch + 1, mean_loss, _base_rate(optimizer), metrics))
        if after_epoch is not None:
            after_epoch(capture(model, optimizer, schedule, history), history[-1])
    return tuple(history)


def _base_rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def capture(
    model: nn.Module,
    optimizer: Optimizer,
    schedule: LambdaLR,
    history: list[EpochRecord],
    begun: BegunEpoch = NOT_BEGUN,
) -> TrainState:
    """Copy everything needed to go on later."""
    tensors = {f"{MODEL_PREFIX}{name}": value.detach().cpu().clone() for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    for index, buffers in state["state"].items():
        for name, value in buffers.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER_PREFIX}{index}.{name}"] = value.detach().cpu().clone()
    plain: dict[str, JsonValue] = {
        "steps": schedule.last_epoch,
        "history": [record.to_json() for record in history],
    }
    if begun.steps:
        tensors[LOSSES] = begun.losses
        plain[BEGUN] = begun.steps
    return TrainState(tensors, plain)


def read_begun(state: TrainState) -> BegunEpoch:
    """Return how far the epoch had come when a state was captured.

    Raises:
        ArtifactError: If the state is not one that `capture` made.
    """
    steps, losses = state.plain.get(BEGUN, 0), state.tensors.get(LOSSES, NOT_BEGUN.losses)
    if not isinstance(steps, int) or steps < 0 or losses.ndim != 1:
        raise ArtifactError(
            f"the checkpoint to go on from is damaged ({BEGUN} {steps!r}, losses of shape {tuple(losses.shape)}); "
            "delete it and train again, or replace the stage with --redo"
        )
    return BegunEpoch(steps, losses)


def restore(state: TrainState, model: nn.Module, optimizer: Optimizer, schedule: LambdaLR) -> list[EpochRecord]:
    """Put a copy of a state back into model, optimiser and schedule and return the history until then.

    Optimiser and schedule must have been built with the settings of the interrupted training: only what changes while
    it runs is in a state.

    Raises:
        ArtifactError: If the state is another network's, or not one that `capture` made.
    """
    where = "the checkpoint to go on from"
    fit_state(model, _strip(state.tensors, MODEL_PREFIX), where=where)
    try:
        steps, history = _read_plain(state.plain)
        buffers = _read_buffers(_strip(state.tensors, OPTIMIZER_PREFIX), optimizer)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError(
            f"{where} is damaged ({error!r}); delete it and train again, or replace the stage with --redo"
        ) from None
    schedule.last_epoch = steps  # all a schedule remembers: the rate is a function of the step
    for group, base, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = base * factor(steps)
    optimizer.load_state_dict({"state": buffers, "param_groups": optimizer.state_dict()["param_groups"]})
    return history


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read_buffers(tensors: Mapping[str, Tensor], optimizer: Optimizer) -> dict[int, dict[str, Tensor]]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    buffers: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        expected = () if key == ADAM_STEP else tuple(parameters[int(index)].shape)
        if value.shape != expected:
            raise ValueError(f"{OPTIMIZER_PREFIX}{name} should have shape {expected}, has {tuple(value.shape)}")
        buffers.setdefault(int(index), {})[key] = value.clone()  # on the CPU the optimiser would write into the state
    return buffers


def _read_plain(plain: Mapping[str, JsonValue]) -> tuple[int, list[EpochRecord]]:
    steps, records = plain["steps"], plain["history"]
    if not isinstance(steps, int) or not isinstance(records, list):
        raise TypeError(f"steps {steps!r} and history of type {type(records).__name__}")
    return steps, [EpochRecord.from_json(record) for record in records]
