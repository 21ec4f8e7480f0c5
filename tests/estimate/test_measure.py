"""With a clock that only moves when told to, so that every number can be checked by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from torch import nn

from weakseg.estimate.costs import ImageTimes
from weakseg.estimate.measure import SMALL_STEPS, WHOLE_STEPS, time_images, time_training
from weakseg.train.loop import TrainingDiverged
from weakseg.train.plan import TrainingHooks

MODULE = nn.Identity()


@dataclass
class FakeClock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeTraining:
    """Waits for an epoch's first batch, then takes a time per image; the very first of all takes more."""

    clock: FakeClock
    decode_s: float = 0.0
    start_s: float = 1.0
    image_s: float = 0.1
    wait_s: float = 0.0
    set_up_s: float = 5.0
    calls: list[tuple[int, int]] = field(default_factory=list)
    steps: int = 0
    ends_after: int | None = None

    def __call__(self, images: int, size: int, hooks: TrainingHooks) -> None:
        assert hooks.tick is not None
        self.calls.append((images, size))
        self.clock.now_s += images * self.decode_s
        steps = images // size
        for step in range(100 * steps):
            if step == self.ends_after:
                raise TrainingDiverged("the loss is nan")
            self.clock.now_s += self.wait_s if step % steps else self.start_s
            MODULE(None)  # a step calls the network once its batch is there
            self.clock.now_s += size * self.image_s + (self.set_up_s if self.steps == 0 else 0.0)
            self.steps += 1
            hooks.tick(step + 1, 100 * steps)


def test_a_quick_training_is_measured_at_whole_steps_without_what_is_set_up_in_the_first() -> None:
    clock = FakeClock()
    training = FakeTraining(clock, wait_s=0.05, decode_s=0.01)
    times = time_training(training, images=64, batch=8, deadline_s=100.0, clock=clock)
    assert training.calls == [(6, 2), (24, 8)], "epochs of three steps"
    assert training.steps == SMALL_STEPS + WHOLE_STEPS
    assert (times.batch, times.steps, times.images) == (8, WHOLE_STEPS - 1, 24)
    assert times.step_s == pytest.approx(0.8 + 0.05)
    assert times.start_s == pytest.approx(1.0)
    assert times.first_s == pytest.approx(1.0 + 0.24)


def test_a_slow_training_is_measured_at_two_images_a_step() -> None:
    clock = FakeClock()
    training = FakeTraining(clock, image_s=2.0)
    times = time_training(training, images=64, batch=16, deadline_s=30.0, clock=clock)
    assert training.calls == [(6, 2)]
    assert (times.batch, times.steps) == (2, 1)
    assert times.step_s == pytest.approx(4.0)
    assert clock.now_s < 30.0


def test_a_very_slow_training_is_measured_by_its_first_step() -> None:
    clock = FakeClock()
    training = FakeTraining(clock, image_s=50.0)
    times = time_training(training, images=64, batch=16, deadline_s=20.0, clock=clock)
    assert training.steps == 1
    assert times.step_s == pytest.approx(105.0)
    assert times.start_s == times.first_s == pytest.approx(1.0)


@pytest.mark.parametrize("batch", [1, 2])
def test_small_batches_are_measured_at_once(batch: int) -> None:
    clock = FakeClock()
    training = FakeTraining(clock)
    times = time_training(training, images=64, batch=batch, deadline_s=100.0, clock=clock)
    assert training.calls == [(3 * batch, batch)]
    assert times.step_s == pytest.approx(batch * 0.1)


def test_no_more_images_are_asked_for_than_there_are() -> None:
    clock = FakeClock()
    training = FakeTraining(clock)
    time_training(training, images=5, batch=5, deadline_s=100.0, clock=clock)
    assert training.calls == [(4, 2), (5, 5)]


def test_what_was_measured_before_random_weights_diverged_counts() -> None:
    clock = FakeClock()
    training = FakeTraining(clock, ends_after=2)
    assert time_training(training, images=4, batch=2, deadline_s=100.0, clock=clock).steps == 1


def test_a_training_without_a_step_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="made no step"):
        time_training(lambda images, size, hooks: None, images=4, batch=2, deadline_s=1.0, clock=FakeClock())


def test_the_hook_is_gone_afterwards() -> None:
    clock = FakeClock()
    with pytest.raises(KeyError):
        time_training(_fail, images=4, batch=2, deadline_s=1.0, clock=clock)
    calls = []
    clock.now_s = 0.0
    MODULE.register_forward_hook(lambda *_: calls.append(clock.now_s)).remove()
    MODULE(None)
    assert calls == []


def _fail(images: int, size: int, hooks: TrainingHooks) -> None:
    raise KeyError("x")


@dataclass
class FakeWork:
    """Takes a start per call and a time per pixel; the first call takes more."""

    clock: FakeClock
    start_s: float = 0.5
    pixel_s: float = 0.01
    set_up_s: float = 3.0
    calls: list[tuple[int, int | None]] = field(default_factory=list)

    def __call__(self, ids: Sequence[str], side_px: int | None) -> None:
        self.clock.now_s += self.start_s + self.pixel_s * len(ids) * count_pixels(ids, side_px)
        self.clock.now_s += 0.0 if self.calls else self.set_up_s
        self.calls.append((len(ids), side_px))


def count_pixels(ids: Sequence[str], side_px: int | None) -> float:
    return 100.0 if side_px is None else float(side_px * side_px)


POOL = tuple("abcdefghijkl")


def measure(work: FakeWork, *, sides_px: Sequence[int | None] = (None,), deadline_s: float = 1000.0) -> ImageTimes:
    return time_images(
        work, POOL, count_pixels=count_pixels, sides_px=sides_px, deadline_s=deadline_s, clock=work.clock
    )


def test_quick_images_are_measured_together() -> None:
    work = FakeWork(FakeClock(), start_s=0.0)
    times = measure(work)
    assert work.calls == [(1, None), (1, None), (12, None)]
    assert times.image_s == pytest.approx(1.0)
    assert times.start_s == pytest.approx(0.0, abs=1e-9)
    assert (times.pixels, times.images, times.shrunk) == (100.0, 12, False)


def test_what_comes_before_the_first_image_is_told_apart() -> None:
    times = measure(FakeWork(FakeClock(), start_s=2.0))
    assert times.start_s == pytest.approx(2.0)
    assert times.image_s == pytest.approx(1.0)


def test_a_start_is_at_most_what_the_smallest_call_took() -> None:
    # Two by two they take no longer than one alone, which is no start.
    class Paired(FakeWork):
        def __call__(self, ids: Sequence[str], side_px: int | None) -> None:
            super().__call__(ids[: -(-len(ids) // 2)], side_px)

    times = measure(Paired(FakeClock(), start_s=0.0))
    assert times.start_s <= 1.0
    assert times.whole(images=1000, pixels=100.0) == pytest.approx(500.0, rel=0.1)


def test_slow_images_are_measured_on_small_copies_and_their_start_is_not_scaled() -> None:
    work = FakeWork(FakeClock(), start_s=3.0, pixel_s=1.0, set_up_s=9.0)
    times = measure(work, sides_px=(2, 3, None), deadline_s=90.0)
    assert work.calls == [(1, 2), (1, 2), (1, 3), (1, 3), (2, 3)]
    assert times.shrunk
    assert times.whole(images=3, pixels=100.0) == pytest.approx(3 + 3 * 100)


def test_the_largest_side_is_tried_for_which_there_is_time() -> None:
    work = FakeWork(FakeClock(), set_up_s=0.0)
    measure(work, sides_px=(2, 5, None))
    assert [side for _, side in work.calls[:4]] == [2, 2, None, None], "twice, since each size is set up"


def test_an_image_is_tried_again_when_the_first_left_no_time_but_was_quick() -> None:
    work = FakeWork(FakeClock(), pixel_s=0.001, set_up_s=1.0)
    times = measure(work, deadline_s=0.1)
    assert work.calls == [(1, None), (1, None)]
    assert times.image_s == pytest.approx(0.6)


def test_a_single_image_is_tried_alone() -> None:
    clock = FakeClock()
    work = FakeWork(clock)
    times = time_images(work, POOL[:1], count_pixels=count_pixels, sides_px=(None,), deadline_s=1000.0, clock=clock)
    assert work.calls == [(1, None), (1, None)]
    assert times.image_s == pytest.approx(1.5)
