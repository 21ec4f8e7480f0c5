from collections.abc import Sequence

import pytest

from weakseg.scoring.evidence import Evidence
from weakseg.scoring.queue import QueuedImage, TagDoubt, find_doubts, order_images, take_turns

NAMES = ("cat", "dog", "cow")


def see(
    sample_id: str,
    disagreement: float | None,
    *,
    split: str = "train",
    shares: dict[int, float] | None = None,
    tags: Sequence[int] = (1, 0, 0),
    known: Sequence[bool] = (True, True, True),
    likely: Sequence[float] = (0.9, 0.1, 0.1),
) -> Evidence:
    return Evidence(
        id=sample_id,
        split=split,
        free=disagreement,
        given=disagreement,
        seed=disagreement,
        unstable=disagreement,
        shares={0: 0.2} if shares is None else shares,
        tags=tuple(tags),
        known=tuple(known),
        likely=tuple(likely),
    )


def test_images_stand_by_how_much_seed_mask_and_segmenter_disagree() -> None:
    queue = order_images([see("a", 0.1), see("b", 0.4), see("c", 0.1), see("d", 0.2)], NAMES)
    assert [(image.id, round(image.score, 3)) for image in queue.images] == [
        ("b", 2.0),
        ("d", 1.0),
        ("a", 0.5),
        ("c", 0.5),
    ]
    assert queue.images[0].why.startswith("the segmenter says otherwise on 40% of the pixels")
    assert [image.why for image in queue.images[1:]] == ["", "", ""]


def test_splits_are_compared_with_themselves() -> None:
    """The segmenter has learned the masks of train and agrees with them more."""
    evidence = [see("a", 0.1), see("b", 0.3), see("c", 0.4, split="val"), see("d", 0.4, split="val")]
    assert [image.id for image in order_images(evidence, NAMES).images] == ["b", "c", "d", "a"]


def test_what_is_not_known_counts_for_nothing() -> None:
    evidence = [see("a", None), see("b", 0.0), see("c", 0.0)]
    queue = order_images(evidence, NAMES)
    assert [(image.id, image.score) for image in queue.images] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    assert order_images([], NAMES) == order_images([], NAMES)
    assert order_images([see("one", 0.3)], NAMES).images[0].score == pytest.approx(1.0)


def test_corrected_images_come_last_and_their_tags_are_settled() -> None:
    evidence = [see("a", 0.9, likely=(0.1, 0.1, 0.1)), see("b", 0.1)]
    queue = order_images(evidence, NAMES, corrected={"a"})
    assert [(image.id, image.corrected) for image in queue.images] == [("b", False), ("a", True)]
    assert queue.tags == ()


def test_empty_and_odd_areas_are_named() -> None:
    evidence = [see(f"usual {n}", 0.1, shares={0: 0.1}) for n in range(3)]
    evidence += [see("empty", 0.1, shares={0: 0.0}), see("large", 0.1, shares={0: 0.9, 1: 0.1})]
    why = {image.id: image.why for image in order_images(evidence, NAMES).images}
    assert why["empty"] == "no cat in the mask"
    assert why["large"] == "much cat (90% of the image, usual are 10%)"
    assert why["usual 0"] == ""


def test_tags_are_doubted_both_ways_and_unknown_ones_are_not() -> None:
    evidence = [
        see("a", 0.1, likely=(0.2, 0.6, 0.1)),
        see("b", 0.1, tags=(0, 0, 0), shares={}, likely=(0.2, 0.9, 0.95), known=(True, True, False)),
    ]
    assert find_doubts(evidence, NAMES) == [
        TagDoubt("b", "train", "dog", "missing", 0.9),
        TagDoubt("a", "train", "cat", "superfluous", 0.8),
        TagDoubt("a", "train", "dog", "missing", 0.6),
    ]
    turns = [see(f"s{n}", 0.1, likely=(0.1 + n / 100, 0.0, 0.0)) for n in range(3)] + [
        see("m", 0.1, likely=(1, 0.5, 0))
    ]
    turns += [see("v", 0.1, split="val", likely=(0.7, 0, 0))]
    assert [doubt.id for doubt in find_doubts(turns, NAMES)] == ["s0", "m", "v", "s1", "s2"]
    queue = order_images(evidence, NAMES)
    (first, _) = sorted(queue.images, key=lambda image: image.id)
    assert (first.missing_tags, first.doubtful_tags) == (("dog",), ("cat",))
    assert len(find_doubts(evidence, NAMES, above=0.0)) == 5


def test_classes_take_turns_with_their_most_doubtful_images() -> None:
    def queued(name: str, *, corrected: bool = False) -> QueuedImage:
        return QueuedImage(name, "train", 1.0, "", (), (), corrected)

    images = [*map(queued, ("a", "b", "c", "d", "e", "f", "g")), queued("h", corrected=True)]
    tags: dict[str, tuple[int, ...]] = {name: (2,) for name in "abcdefgh"} | {"c": (), "e": (0, 2), "g": (0,)}
    # Class 0 is the first of equals; its image e shows 2 as well, so that both are even again, and g is next.
    assert "".join(image.id for image in take_turns(images, tags)) == "egabdfch"
    assert take_turns([], {}) == []
    only = [queued("a"), queued("b")]
    assert take_turns(only, {"a": (1,), "b": (1,)}) == only, "one class: the order stays"
