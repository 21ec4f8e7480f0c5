from collections.abc import Iterator

import pytest
import torch.distributed as dist

from weakseg.errors import WeaksegError
from weakseg.pipeline import turns
from weakseg.pipeline.turns import CommonTurns, Counters, OwnTurns, cut_blocks, open_turns


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "world_size", lambda: 3)


def common(store: Counters, *, images: int, done: set[int]) -> CommonTurns:
    return CommonTurns(
        store, key="work", images=images, is_pending=lambda place: place not in done, total=images - len(done)
    )


@pytest.mark.parametrize(
    ("images", "processes", "first", "blocks"), [(0, 2, 0, 0), (1, 4, 1, 1), (100, 2, 6, 52), (2000, 2, 16, 0)]
)
def test_blocks_hold_every_image_once_and_become_smaller(images: int, processes: int, first: int, blocks: int) -> None:
    found = cut_blocks(images, processes)
    assert [place for block in found for place in block] == list(range(images))
    sizes = [len(block) for block in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[:1] == [first][: len(sizes)]
    assert sizes[-2 * processes :] == [1] * len(sizes[-2 * processes :])
    if blocks:
        assert len(found) == blocks


def test_a_process_alone_has_all_turns() -> None:
    done = {1, 3}
    own = open_turns(5, is_pending=lambda place: place not in done)
    assert isinstance(own, OwnTurns)
    assert [(place, own.finish(place, None)) for place in own] == [(0, (1, 3)), (2, (2, 3)), (4, (3, 3))]


@pytest.mark.usefixtures("three")
def test_processes_get_every_pending_image_once_as_they_ask() -> None:
    store, done = dist.HashStore(), {0, 5, 6}
    hands: list[Iterator[int]] = [iter(common(store, images=40, done=done)) for _ in range(3)]
    taken: list[list[int]] = [[], [], []]
    taken[0] = [next(hands[0])]  # a slow one, which has just begun
    for place in hands[1]:
        taken[1].append(place)
        other = next(hands[2], None)
        taken[2] += [] if other is None else [other]
    taken[0] += hands[0]
    assert sorted(taken[0] + taken[1] + taken[2]) == sorted(set(range(40)) - done)
    assert taken[0] == [1], "the others have taken the rest"


@pytest.mark.usefixtures("three")
def test_what_is_done_is_counted_over_all_processes() -> None:
    store = dist.HashStore()
    first, second = (common(store, images=4, done={0}) for _ in range(2))
    assert [first.finish(1, None), second.finish(2, None), first.finish(3, None)] == [(1, 3), (2, 3), (3, 3)]
    assert second.finish(3, None) == (4, 4), "a process that began later saw more images that were not done"


@pytest.mark.usefixtures("three")
def test_a_store_that_has_gone_is_one_line() -> None:
    class Gone:
        def add(self, key: str, amount: int) -> int:
            raise RuntimeError("Connection reset by peer")

    with pytest.raises(WeaksegError, match=r"^the process that hands out images has gone without a word; start the"):
        next(iter(common(Gone(), images=4, done=set())))
