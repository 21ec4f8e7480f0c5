"""Stochastic gradient descent with the two schedules in use, both functions of the step alone.

`poly` is what the released codes of IRN, RIB, CDA, PSA and SEAM do: the rate is `base * (1 - step / steps) ** 0.9`,
set before each step; their weight decay lands in SGD's momentum slot, so that momentum is 1e-4 or 5e-4 rather than 0.9
(DESIGN section 5). `one_cycle` is for networks that start from random weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from weakseg.spelling import require_option

ScheduleName = Literal["poly", "one_cycle"]


def build_sgd(
    backbone: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    head_multiplier: float,
    momentum: float,
    weight_decay: float,
) -> SGD:
    """Build SGD with two groups, the head learning `head_multiplier` times faster.

    Args:
        backbone: Parameters at the base rate; those that need no gradient are left out.
        head: Parameters at the multiplied rate.
        learning_rate: Base rate.
        head_multiplier: Factor of the head's rate.
        momentum: Momentum. The released recipes have 1e-4 here (see the module's text).
        weight_decay: L2 penalty, applied to both groups.
    """
    groups = [
        {"params": [p for p in backbone if p.requires_grad], "lr": learning_rate},
        {"params": [p for p in head if p.requires_grad], "lr": learning_rate * head_multiplier},
    ]
    return SGD(
        [group for group in groups if group["params"]], lr=learning_rate, momentum=momentum, weight_decay=weight_decay
    )


def poly_factor(step: int, *, steps: int, power: float) -> float:
    """Return the share of the base rate at a step 0..steps: `(1 - step / steps) ** power`."""
    return float(max(0.0, 1 - step / steps) ** power)


def build_schedule(optimizer: SGD, *, name: str, steps: int, power: float, warmup_share: float) -> LRScheduler:
    """Build a schedule that is stepped after every update.

    Args:
        optimizer: Its groups' current rates are the base (`poly`) or the peak (`one_cycle`).
        name: `poly` or `one_cycle`.
        steps: Number of updates of the whole training.
        power: Exponent of `poly`.
        warmup_share: Share of the steps in which `one_cycle` rises.

    Raises:
        ConfigError: If there is no such schedule.
    """
    require_option(name, ("poly", "one_cycle"), what="optim.schedule")
    if name == "poly":
        return LambdaLR(optimizer, lambda step: poly_factor(step, steps=steps, power=power))
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    # OneCycleLR needs at least two steps to have a cycle; a third keeps its last phase non-empty.
    return OneCycleLR(optimizer, peaks, total_steps=max(3, steps), pct_start=warmup_share)
