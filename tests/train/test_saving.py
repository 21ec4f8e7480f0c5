from collections.abc import Iterator

import pytest
import torch

from weakseg.data.crops import EpochOfCrops
from weakseg.train import saving
from weakseg.train.saving import BegunEpoch, SaveClock, gather_losses, own_loss, skip_batches

CPU = torch.device("cpu")


class Watch:
    """Shows the time that a test says."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(saving, "time", watch)
    return watch


def saved_after(clock: SaveClock, watch: Watch, step_times_s: list[float]) -> list[int]:
    steps = []
    for step, time_s in enumerate(step_times_s, start=1):
        watch.now_s += time_s
        if clock.is_due():
            steps.append(step)
    return steps


@pytest.mark.parametrize(
    ("every_s", "expected"), [(None, []), (0, [1, 2, 3, 4, 5, 6]), (10, [3, 6]), (5, [2, 4, 6]), (1000, [])]
)
def test_one_process_saves_when_it_is_time(every_s: float | None, expected: list[int], watch: Watch) -> None:
    assert saved_after(SaveClock(every_s, CPU), watch, [4.0] * 6) == expected


@pytest.mark.parametrize(
    ("step_times_s", "expected", "agreed"),
    [
        ([4.0] * 7, [3, 6], [1, 1, 0, 1, 1, 0, 1]),
        ([1.0, 1.0, 1.0, 20.0, 20.0, 20.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [10], [9, 0, 9]),
    ],
    ids=["even", "slower than at first"],
)
def test_several_processes_look_only_at_steps_they_have_agreed_on(
    step_times_s: list[float], expected: list[int], agreed: list[int], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def agree(told: torch.Tensor) -> torch.Tensor:
        asked.append(int(told))
        return told

    monkeypatch.setattr(saving, "world_size", lambda: 2)
    monkeypatch.setattr(saving, "sum_over_ranks", agree)
    assert saved_after(SaveClock(10, CPU), watch, step_times_s) == expected
    assert asked == agreed


def test_a_process_takes_its_own_sum_of_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gather_losses(torch.tensor(2.5)).tolist() == [2.5]
    begun = BegunEpoch(3, torch.tensor([1.0, 4.0]))
    assert own_loss(begun, CPU) == 5.0, "begun by two"
    monkeypatch.setattr(saving, "world_size", lambda: 2)
    monkeypatch.setattr(saving, "rank", lambda: 1)
    total = own_loss(begun, CPU)
    total += 1
    assert (total, begun.losses.tolist()) == (5.0, [1.0, 4.0])
    assert own_loss(BegunEpoch(3, torch.tensor([7.0])), CPU) == 0.0, "begun by one: rank 0 has it"


def test_steps_that_are_done_are_passed_over() -> None:
    def make() -> Iterator[int]:
        yield from range(4)

    whole = list(range(4))
    assert skip_batches(whole, 0) is whole  # type: ignore[arg-type,comparison-overlap]
    assert list(skip_batches(make(), 3)) == [3]  # type: ignore[arg-type,comparison-overlap]
    crops = EpochOfCrops(None, [[(0, 1)], [(0, 2)], [(0, 0)]], workers=0)  # type: ignore[arg-type]
    rest = skip_batches(crops, 2)
    assert isinstance(rest, EpochOfCrops)
    assert list(rest.keys) == [[(0, 0)]]
