import pytest

from weakseg.estimate.costs import (
    Estimate,
    ImageTimes,
    PartCost,
    StepTimes,
    most_gpu_memory,
    most_memory,
    scale_memory,
    total_time,
)


def test_a_training_is_its_epochs_of_steps_each_begun_once() -> None:
    times = StepTimes(first_s=0.5, start_s=0.5, step_s=2.0, batch=16, steps=4, images=48)
    assert times.whole(epochs=3, steps=10, batch=16, images=160) == pytest.approx(3 * (0.5 + 20.0))


def test_steps_of_fewer_images_are_scaled_and_the_start_of_an_epoch_is_not() -> None:
    times = StepTimes(first_s=0.5, start_s=0.5, step_s=0.3, batch=2, steps=2, images=6)
    assert times.whole(epochs=2, steps=5, batch=16, images=80) == pytest.approx(2 * (0.5 + 5 * 2.4))


def test_what_is_done_once_grows_with_the_images() -> None:
    times = StepTimes(first_s=1.5, start_s=0.5, step_s=2.0, batch=8, steps=2, images=24)
    assert times.whole(epochs=2, steps=30, batch=8, images=240) == pytest.approx(10.0 + 2 * 60.5)


def test_images_cost_by_their_pixels() -> None:
    times = ImageTimes(start_s=1.0, image_s=0.2, pixels=100.0, images=3, shrunk=True)
    assert times.whole(images=10, pixels=400.0) == pytest.approx(1.0 + 10 * 0.8)
    assert times.whole(images=0, pixels=400.0) == 0.0


@pytest.mark.parametrize(
    ("fixed", "factor", "expected"),
    [(0, 4.0, 100 + 4 * 60), (20, 4.0, 100 + 20 + 4 * 40), (80, 4.0, 160), (0, 0.5, 160)],
    ids=["all grows", "gradients do not", "nothing else", "never less than tried"],
)
def test_memory_grows_with_what_is_done_at_once(fixed: int, factor: float, expected: int) -> None:
    assert scale_memory(100, 160, fixed=fixed, factor=factor) == expected


def test_memory_that_did_not_grow_stays() -> None:
    assert scale_memory(100, 90, fixed=5, factor=8.0) == 100


def test_an_estimate_adds_times_and_takes_the_largest_memory() -> None:
    parts = (
        PartCost("refine", "labels", 2.0, 500, None),
        PartCost("refine", "masks", 3.5, 700, 40),
        PartCost("segment", "network", None, None, None, "could not be tried"),
    )
    estimate = Estimate(parts, "a laptop", 9.0, 2)
    assert estimate.stages == ("refine", "segment")
    assert estimate.of("refine") == parts[:2]
    assert not estimate.complete
    assert Estimate(parts[:2], "a laptop", 9.0, 2).complete
    assert not Estimate(parts[:2], "a laptop", 9.0, 2, missing=("segment",)).complete
    assert total_time(parts) == 5.5
    assert most_memory(parts) == 700
    assert most_memory(parts[2:]) is None
    assert most_gpu_memory(parts) == 40
    assert most_gpu_memory(parts[:1]) is None
