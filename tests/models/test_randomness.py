import random

import numpy as np
import pytest
import torch

from weakseg.models.randomness import seeded_draws

CPU = torch.device("cpu")


def draw(*seed: int) -> list[float]:
    with seeded_draws(CPU, *seed):
        return torch.rand(3).tolist()


def test_draws_follow_from_the_seed_alone() -> None:
    first = draw(1, 2, 3)
    torch.rand(5)
    assert draw(1, 2, 3) == first


@pytest.mark.parametrize("other", [(1, 2, 4), (1, 3, 3), (2, 2, 3), (1, 2), (3, 2, 1)])
def test_every_number_of_the_seed_counts_and_so_does_their_order(other: tuple[int, ...]) -> None:
    assert draw(*other) != draw(1, 2, 3)


def test_the_global_generators_go_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    before = torch.rand(2)
    draw(7)
    assert torch.equal(torch.cat([before, torch.rand(2)]), expected)


def test_other_libraries_generators_are_left_alone() -> None:
    states = (random.getstate(), np.random.get_state()[1].tolist())
    with seeded_draws(CPU, 3):
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_states_come_back_after_an_error() -> None:
    before = torch.get_rng_state()

    def fail() -> None:
        with seeded_draws(CPU, 3):
            torch.rand(1)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
