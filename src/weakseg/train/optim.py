"""The two optimisers and the two schedules in use; schedules are functions of the step alone.

`poly` is what the released codes of IRN, RIB, CDA, PSA and SEAM do: the rate is `base * (1 - step / steps) ** 0.9`,
set before each step; their weight decay lands in SGD's momentum slot, so that momentum is 1e-4 or 5e-4 rather than 0.9
(docs/sources.md#optimiser). `one_cycle` is for networks that start from random weights (Smith and Topin, 2018).
`adamw` is what transformers are usually trained with (Loshchilov and Hutter, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.spelling import require_option

OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["poly", "one_cycle"]

FIRST_SHARE = 1 / 25
"""Where `one_cycle` begins, as a share of its peak; this and the next are the defaults of fast.ai and of torch."""

LAST_SHARE = FIRST_SHARE / 10_000
"""Where `one_cycle` ends."""


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
    groups = _group(backbone, head, learning_rate=learning_rate, head_multiplier=head_multiplier)
    return SGD(groups, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)


def build_optimizer(
    backbone: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    *,
    name: str,
    learning_rate: float,
    head_multiplier: float,
    momentum: float,
    weight_decay: float,
) -> Optimizer:
    """Build an optimiser with two groups, the head learning `head_multiplier` times faster.

    Args:
        backbone: See `build_sgd`.
        head: See `build_sgd`.
        name: `sgd`, or `adamw` with torch's own averaging of gradients (betas 0.9 and 0.999).
        learning_rate: Base rate.
        head_multiplier: Factor of the head's rate.
        momentum: Momentum of SGD; AdamW has no use for it.
        weight_decay: L2 penalty of SGD; of AdamW the share, times the rate, that every step takes off a parameter.
            Applied to all parameters, biases and norms included.

    Raises:
        ConfigError: If there is no such optimiser.
    """
    require_option(name, ("sgd", "adamw"), what="optim.optimizer")
    if name == "sgd":
        return build_sgd(
            backbone,
            head,
            learning_rate=learning_rate,
            head_multiplier=head_multiplier,
            momentum=momentum,
            weight_decay=weight_decay,
        )
    groups = _group(backbone, head, learning_rate=learning_rate, head_multiplier=head_multiplier)
    return AdamW(groups, lr=learning_rate, weight_decay=weight_decay)


def _group(
    backbone: Iterable[nn.Parameter], head: Iterable[nn.Parameter], *, learning_rate: float, head_multiplier: float
) -> list[dict[str, list[nn.Parameter] | float]]:
    """Return the groups that hold parameters which need a gradient, with their rates."""
    groups: list[dict[str, list[nn.Parameter] | float]] = [
        {"params": [p for p in backbone if p.requires_grad], "lr": learning_rate},
        {"params": [p for p in head if p.requires_grad], "lr": learning_rate * head_multiplier},
    ]
    return [group for group in groups if group["params"]]


def poly_factor(step: int, *, steps: int, power: float) -> float:
    """Return the share of the base rate at a step 0..steps: `(1 - step / steps) ** power`."""
    return float(max(0.0, 1 - step / steps) ** power)


def one_cycle_factor(step: int, *, steps: int, warmup_share: float) -> float:
    """Return the share of the peak rate at a step 0..steps: half a cosine up to 1, then half a cosine down.

    The curve of `torch.optim.lr_scheduler.OneCycleLR`, which divides by zero where its rise takes a single step (4
    steps, a quarter of them rising) or all of them, and which cycles the momentum too unless told not to.

    Args:
        step: Steps done.
        steps: Steps in all.
        warmup_share: Share of the steps, 0..1, in which the rate rises; it is highest at `warmup_share * steps`.
    """
    peak = warmup_share * steps
    if step < peak:
        return _ease(FIRST_SHARE, 1.0, step / peak)
    if step >= steps:
        return LAST_SHARE
    return _ease(1.0, LAST_SHARE, (step - peak) / (steps - peak))


def _ease(first: float, last: float, share: float) -> float:
    """Go from one value to another along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def build_schedule(optimizer: Optimizer, *, name: str, steps: int, power: float, warmup_share: float) -> LambdaLR:
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
        return LambdaLR(optimizer, partial(poly_factor, steps=steps, power=power))
    return LambdaLR(optimizer, partial(one_cycle_factor, steps=steps, warmup_share=warmup_share))
