from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.localize.score_maps import score_maps
from weakseg.models.classifier import build_classifier
from weakseg.pipeline.joined_calls import JoinedCalls, join_passes


def test_calls_of_one_function_and_shape_are_joined_and_each_gets_its_own() -> None:
    seen: list[tuple[int, ...]] = []

    def double(batch: Tensor) -> Tensor:
        seen.append(tuple(batch.shape))
        return 2 * batch

    calls, begun = JoinedCalls(most=8), Barrier(5)
    doubled = calls.join(double)
    batches = [torch.full((size, 3), float(place)) for place, size in enumerate((2, 2, 2, 2))] + [torch.ones(1, 4)]

    def work(batch: Tensor) -> Tensor:
        with calls.taking_part():
            begun.wait()  # all take part before one calls
            return doubled(batch)

    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(work, batches))
    for batch, result in zip(batches, results, strict=True):
        assert torch.equal(result, 2 * batch)
    assert sorted(seen) == [(1, 4), (8, 3)]


def test_no_more_calls_are_joined_than_asked_for_and_nobody_waits_for_one_that_has_ended() -> None:
    seen: list[int] = []

    def count(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch

    calls, begun = JoinedCalls(most=2), Barrier(4)
    counted = calls.join(count)

    def work(times: int) -> None:
        with calls.taking_part():
            begun.wait()
            for _ in range(times):
                counted(torch.zeros(1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, (0, 1, 2, 3)))
    assert sum(seen) == 6
    assert max(seen) == 2


def test_a_call_alone_waits_for_nobody() -> None:
    calls = JoinedCalls(most=4)
    with calls.taking_part():
        assert calls.join(torch.neg)(torch.ones(2)).tolist() == [-1.0, -1.0]


def test_an_error_reaches_every_thread_of_the_call() -> None:
    def fail(batch: Tensor) -> Tensor:
        raise ZeroDivisionError(len(batch))

    calls, begun = JoinedCalls(most=4), Barrier(2)
    failing = calls.join(fail)

    def work(_: int) -> None:
        with calls.taking_part():
            begun.wait()
            failing(torch.zeros(1))

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, place) for place in range(2)]
        for future in futures:
            with pytest.raises(ZeroDivisionError):
                future.result()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["critter", "efficientnet_lite0"])
def test_maps_of_joined_passes_are_those_of_single_ones(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    classifier = build_classifier(name, num_classes=3, freeze_trunk=True, fixed_norm=True, generator=generator)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((33, 47), (33, 47), (47, 33), (33, 47))]
    tags = [np.array(row) for row in ((1, 0, 1), (0, 1, 0), (1, 1, 1), (0, 0, 0))]
    alone = [score_maps(classifier, image, own, scales=(1.0, 1.5)) for image, own in zip(images, tags, strict=True)]
    calls = join_passes(classifier, most=4)

    def work(place: int) -> list[Tensor]:
        with calls.taking_part():
            return list(score_maps(classifier, images[place], tags[place], scales=(1.0, 1.5)).scales)

    with ThreadPoolExecutor(4) as pool:
        joined = list(pool.map(work, range(4)))
    for own, expected in zip(joined, alone, strict=True):
        for maps, single in zip(own, expected.scales, strict=True):
            assert maps.shape == single.shape
            torch.testing.assert_close(maps, single, rtol=0, atol=1e-6)
