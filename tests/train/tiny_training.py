"""A training of a tiny network that takes milliseconds, with what it reported."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.data.crops import Batch
from weakseg.train.loop import EpochRecord, TrainState, fit
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
