import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from weakseg.errors import ConfigError
from weakseg.train.optim import (
    FIRST_SHARE,
    LAST_SHARE,
    build_optimizer,
    build_schedule,
    build_sgd,
    one_cycle_factor,
    poly_factor,
)


def parameter(*values: float, frozen: bool = False) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values), requires_grad=not frozen)


def sgd(backbone: list[nn.Parameter], head: list[nn.Parameter], *, momentum: float = 0.0, decay: float = 0.0) -> SGD:
    return build_sgd(backbone, head, learning_rate=0.1, head_multiplier=10.0, momentum=momentum, weight_decay=decay)


def optimizer_of(name: str, backbone: list[nn.Parameter], head: list[nn.Parameter], *, decay: float = 0.0) -> Optimizer:
    return build_optimizer(
        backbone, head, name=name, learning_rate=0.1, head_multiplier=10.0, momentum=0.5, weight_decay=decay
    )


def rates(optimizer: SGD, name: str, *, steps: int, warmup_share: float = 0.25) -> list[list[float]]:
    """Return the rates of the groups at every step, and after the last."""
    schedule = build_schedule(optimizer, name=name, steps=steps, power=0.9, warmup_share=warmup_share)
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return [*seen, [group["lr"] for group in optimizer.param_groups]]


def test_the_head_learns_ten_times_faster() -> None:
    backbone, head = parameter(1.0), parameter(1.0)
    optimizer = sgd([backbone], [head])
    (backbone + head).sum().backward()
    optimizer.step()
    assert backbone.item() == pytest.approx(1 - 0.1)
    assert head.item() == pytest.approx(1 - 1.0)


def test_frozen_parameters_are_left_out_and_so_is_a_group_without_any() -> None:
    optimizer = sgd([parameter(1.0, frozen=True)], [parameter(1.0), parameter(2.0, frozen=True)])
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_sgd_by_name_is_sgd_with_its_momentum() -> None:
    optimizer = optimizer_of("sgd", [parameter(1.0)], [parameter(1.0)], decay=0.01)
    assert isinstance(optimizer, SGD)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1.0]
    assert {(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups} == {(0.5, 0.01)}


def test_the_first_step_of_adamw_by_hand() -> None:
    """Whatever the gradient's size, the first step is the rate; before it the decay takes off rate * 0.01 of 2."""
    backbone, head = parameter(2.0), parameter(2.0)
    optimizer = optimizer_of("adamw", [backbone, parameter(1.0, frozen=True)], [head], decay=0.01)
    assert isinstance(optimizer, AdamW)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    (3 * backbone - 100 * head).sum().backward()
    optimizer.step()
    assert backbone.item() == pytest.approx(2 - 0.1 * 0.01 * 2 - 0.1)
    assert head.item() == pytest.approx(2 - 1.0 * 0.01 * 2 + 1.0)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optim\.optimizer: expected one of adamw, sgd, got 'adam'"):
        optimizer_of("adam", [parameter(1.0)], [])


def test_two_steps_of_the_released_optimiser_by_hand() -> None:
    """Weight decay in the momentum slot: momentum is 1e-4, and the decay is applied on top."""
    weight = parameter(2.0)
    optimizer = sgd([weight], [], momentum=1e-4, decay=5e-4)
    schedule = build_schedule(optimizer, name="poly", steps=4, power=0.9, warmup_share=0.0)
    weight.grad = torch.tensor([3.0])
    optimizer.step()
    schedule.step()
    buffer = 3.0 + 5e-4 * 2.0
    after_one = 2.0 - 0.1 * buffer
    assert weight.item() == pytest.approx(after_one, rel=1e-6)
    weight.grad = torch.tensor([-1.0])
    optimizer.step()
    buffer = 1e-4 * buffer + (-1.0 + 5e-4 * after_one)
    assert weight.item() == pytest.approx(after_one - 0.1 * 0.75**0.9 * buffer, rel=1e-6)


def test_poly_takes_its_rate_before_each_step() -> None:
    seen = rates(sgd([parameter(0.0)], [parameter(0.0)]), "poly", steps=4)
    factors = [1.0, 0.7719, 0.5359, 0.2872, 0.0]  # (1 - step / 4) ** 0.9
    assert [row[0] for row in seen] == pytest.approx([0.1 * factor for factor in factors], abs=1e-5)
    assert [row[1] for row in seen] == pytest.approx([factor for factor in factors], abs=1e-4)


def test_poly_stays_at_zero_after_its_end() -> None:
    assert poly_factor(5, steps=4, power=0.9) == 0.0
    assert poly_factor(3, steps=4, power=0.0) == 1.0


def test_one_cycle_rises_to_its_peak_and_falls_to_almost_nothing() -> None:
    factors = [one_cycle_factor(step, steps=8, warmup_share=0.25) for step in range(9)]
    # Two steps up from 1/25, then half a cosine down in six.
    falling = [0.5 + 0.5 * math.cos(math.pi * k / 6) for k in range(7)]
    assert factors == pytest.approx([0.04, 0.52, *falling], abs=5e-6)
    assert factors[-1] == LAST_SHARE == 4e-6


@pytest.mark.parametrize(
    ("steps", "warmup_share", "factors"),
    [
        (1, 0.25, [0.04]),
        (1, 0.0, [1.0]),
        (1, 1.0, [0.04]),
        (2, 0.25, [0.04, 0.75]),
        (2, 0.5, [0.04, 1.0]),
        (2, 0.0, [1.0, 0.5]),
        (2, 1.0, [0.04, 0.52]),
        (3, 0.0, [1.0, 0.75, 0.25]),
        (3, 1.0, [0.04, 0.28, 0.76]),
        (4, 0.25, [0.04, 1.0, 0.75, 0.25]),
    ],
)
def test_one_cycle_survives_trainings_of_a_few_steps(steps: int, warmup_share: float, factors: list[float]) -> None:
    seen = rates(sgd([parameter(0.0)], [parameter(0.0)]), "one_cycle", steps=steps, warmup_share=warmup_share)
    assert [row[0] for row in seen[:-1]] == pytest.approx([0.1 * factor for factor in factors], abs=1e-6)
    assert [row[1] for row in seen[:-1]] == pytest.approx(factors, abs=1e-5)


@given(steps=st.integers(1, 200), warmup_share=st.floats(0, 1))
def test_one_cycle_stays_within_its_bounds_and_has_one_peak(steps: int, warmup_share: float) -> None:
    factors = [one_cycle_factor(step, steps=steps, warmup_share=warmup_share) for step in range(steps + 1)]
    assert all(LAST_SHARE <= factor <= 1.0 for factor in factors)
    peak = warmup_share * steps
    assert all(a <= b + 1e-12 for step, (a, b) in enumerate(pairwise(factors)) if step + 1 <= peak and step + 1 < steps)
    assert all(a + 1e-12 >= b for step, (a, b) in enumerate(pairwise(factors)) if step >= peak)
    assert FIRST_SHARE == 1 / 25


def test_one_cycle_agrees_with_torch_where_that_is_defined() -> None:
    """Torch counts the last step as the end: its 9 steps are the 8 of ours and what follows."""
    weight = parameter(0.0)
    optimizer = SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9, pct_start=1 / 3, cycle_momentum=False)
    for step in range(9):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(one_cycle_factor(step, steps=8, warmup_share=0.25))
        optimizer.step()
        theirs.step()


def test_momentum_stays_what_was_asked_for() -> None:
    optimizer = sgd([parameter(0.0)], [], momentum=0.9)
    rates(optimizer, "one_cycle", steps=5)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optim\.schedule: expected one of one_cycle, poly, got 'step'"):
        rates(sgd([parameter(0.0)], []), "step", steps=3)
