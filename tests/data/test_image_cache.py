import pickle

import numpy as np
import pytest

from weakseg.data.image_cache import ImageCache, Picture
from weakseg.errors import DataError


class Loader:
    """Pictures of 3 x 5 px, 45 bytes each and 60 with labels, that remembers what it was asked for."""

    def __init__(self, *, damaged: tuple[int, ...] = (), has_labels: bool = False) -> None:
        self.damaged = damaged
        self.has_labels = has_labels
        self.asked: list[int] = []

    def __call__(self, position: int) -> Picture:
        self.asked.append(position)
        if position in self.damaged:
            raise DataError(f"picture {position} is damaged")
        labels = np.full((3, 5), position, np.uint8) if self.has_labels else None
        return Picture(np.full((3, 5, 3), position, np.uint8), labels)


def test_an_empty_cache_loads_each_time() -> None:
    load = Loader()
    cache = ImageCache(load)
    assert [int(cache[2].pixels[0, 0, 0]) for _ in range(2)] == [2, 2]
    assert (load.asked, len(cache)) == ([2, 2], 0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("max_bytes", "kept"), [(0, 0), (44, 0), (45, 1), (134, 2), (135, 3), (10_000, 7)])
def test_as_many_pictures_are_kept_as_fit(max_bytes: int, kept: int, threads: int) -> None:
    load = Loader()
    cache = ImageCache(load)
    cache.fill(range(7), max_bytes=max_bytes, threads=threads)
    assert len(cache) == kept
    load.asked.clear()
    assert [int(cache[position].pixels[2, 4, 2]) for position in range(7)] == list(range(7))
    assert load.asked == list(range(kept, 7))


def test_labels_count_too() -> None:
    cache = ImageCache(Loader(has_labels=True))
    cache.fill(range(7), max_bytes=119, threads=2)
    assert len(cache) == 1
    labels = cache[0].labels
    assert labels is not None
    assert labels.shape == (3, 5)


def test_a_damaged_picture_is_an_error_only_for_who_asks_for_it() -> None:
    cache = ImageCache(Loader(damaged=(1,)))
    cache.fill(range(3), max_bytes=1000, threads=1)
    assert len(cache) == 2
    with pytest.raises(DataError, match="picture 1 is damaged"):
        cache[1]


def test_pictures_are_not_sent_to_other_processes() -> None:
    cache = ImageCache(Loader())
    cache.fill(range(3), max_bytes=1000, threads=1)
    sent: ImageCache = pickle.loads(pickle.dumps(cache))
    assert (len(cache), len(sent)) == (3, 0)
    assert int(sent[1].pixels[0, 0, 0]) == 1
