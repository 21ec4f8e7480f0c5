import json
import multiprocessing
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weakseg.errors import ArtifactError, DataError, ShapeError, WeaksegError
from weakseg.pipeline.corrections import store as module
from weakseg.pipeline.corrections.correction import Correction, change_tags
from weakseg.pipeline.corrections.store import CorrectionStore, EditConflict
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "cow"))
SIZE_HW = (2, 3)
MASK = np.array([[0, 1, 255], [3, 0, 2]], np.uint8)


def open_store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(
        tmp_path / "corrections", CLASSES, size_of=lambda sample_id: None if sample_id == "other" else SIZE_HW
    )


def test_what_is_written_is_read_back_with_its_revision(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.read("a/b") is None
    assert store.read_mask("a/b") is None
    assert list(store) == []
    assert not store.root.exists()
    mask = MASK.copy()
    first = store.write(Correction("a/b", verdict="wrong", added_tags=("dog",)), mask, expected_revision=0)
    assert (first.revision, first.has_mask, first.source) == (1, True, "review")
    assert first.changed_at.endswith("+00:00")
    assert store.read("a/b") == first
    np.testing.assert_array_equal(store.read_mask("a/b"), MASK)
    np.testing.assert_array_equal(mask, MASK)
    assert sorted(path.relative_to(store.root).as_posix() for path in store.root.rglob("*.*")) == [
        "a/b.json",
        "a/b.png",
    ]


def test_a_mask_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = store.write(Correction("a"), MASK, expected_revision=0)
    second = store.write(replace(first, verdict="right"), expected_revision=1)
    assert second.has_mask
    assert second.revision == 2
    np.testing.assert_array_equal(store.read_mask("a"), MASK)
    third = store.write(replace(second, has_mask=False, verdict=None), expected_revision=2)
    assert third.says_nothing
    assert store.read_mask("a") is None
    assert not store.mask_file("a").exists()
    assert store.summary().images == 0
    store.remove("a", expected_revision=3)
    assert store.read("a") is None


def test_a_write_upon_an_older_revision_is_refused(tmp_path: Path) -> None:
    one, two = open_store(tmp_path), open_store(tmp_path)
    one.write(Correction("a", verdict="right"), expected_revision=0)
    for act in (
        lambda: two.write(Correction("a", verdict="wrong"), MASK, expected_revision=0),
        lambda: two.remove("a", expected_revision=7),
    ):
        with pytest.raises(EditConflict, match=r"was changed meanwhile by .review. at .*found 1; load it") as caught:
            act()
        assert caught.value.current is not None
        assert caught.value.current.verdict == "right"
    assert one.read_mask("a") is None
    with pytest.raises(EditConflict, match="expected revision 3, found 0") as caught:
        two.write(Correction("b"), expected_revision=3)
    assert caught.value.current is None


def test_ids_that_no_file_system_takes_and_ids_alike_are_told_apart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ids = ("12:30", "12?30", "con", "a", "a/a", "ä" * 200)
    for sample_id in ids:
        store.write(Correction(sample_id), MASK, expected_revision=0)
    assert {correction.id for correction in store} == set(ids)
    assert all(store.read(sample_id) is not None for sample_id in ids)


@pytest.mark.parametrize(
    ("correction", "mask", "error", "text"),
    [
        (Correction("a", added_tags=("dogs",)), None, DataError, r"'a': unknown class 'dogs'"),
        (Correction("a", removed_tags=("cat",), added_tags=("cat",)), None, DataError, "cannot be added and removed"),
        (Correction("a", verdict="good"), None, DataError, "expected the verdict right, wrong or none, got 'good'"),
        (Correction("other"), None, DataError, "'other' is no image of this run"),
        (Correction("a"), np.zeros((3, 2), np.uint8), DataError, "expected a mask of 3 x 2 pixels.*got 2 x 3"),
        (Correction("a"), np.full(SIZE_HW, 4, np.uint8), DataError, r"expected labels 0\.\.3 and 255, got 4;"),
        (
            Correction("a"),
            np.zeros(SIZE_HW, np.int64),
            ShapeError,
            r"expected a mask .* got \(2, 3\) int64",
        ),
        (Correction("a", has_mask=True), None, ArtifactError, "there is no corrected mask .*a.png to keep"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, correction: Correction, mask: np.ndarray | None, error: type[WeaksegError], text: str
) -> None:
    store = open_store(tmp_path)
    with pytest.raises(error, match=text) as caught:
        store.write(correction, mask, expected_revision=0)
    assert "\n" not in str(caught.value)
    assert list(store) == []
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"verdict": "fine"}, "verdict: expected right, wrong or null, got 'fine'"),
        ({"revision": 0}, "revision: expected 1 or more"),
        ({"has_mask": 1}, "has_mask: expected true or false"),
        ({"added_tags": "dog"}, "added_tags: expected a list of texts"),
        ({"id": 3}, "id: expected text"),
        ({"id": "b"}, "is about the image 'b', not 'a'"),
        (None, "expected a mapping with id, verdict"),
    ],
)
def test_a_damaged_record_is_named_and_nobody_is_told_to_delete_it(
    tmp_path: Path, change: dict[str, object] | None, text: str
) -> None:
    store = open_store(tmp_path)
    store.write(Correction("a"), expected_revision=0)
    path = store.record_file("a")
    path.write_text(json.dumps([] if change is None else {**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactError, match=text) as caught:
        store.read("a")
    assert str(path) in str(caught.value)
    assert "delete" not in str(caught.value)
    with pytest.raises(ArtifactError):
        store.write(Correction("a"), expected_revision=1)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(Correction("a"), MASK, expected_revision=0)
    store.mask_file("a").write_bytes(b"\x89PNG no more")
    with pytest.raises(ArtifactError, match=r"corrected mask .*a\.png cannot be used: .*; put back a copy of it"):
        store.read_mask("a")


def test_the_summary_counts_and_tags_change(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(Correction("a", verdict="right"), MASK, expected_revision=0)
    store.write(Correction("b", verdict="wrong"), expected_revision=0)
    tags = store.write(Correction("c", added_tags=("cow",), removed_tags=("dog",)), expected_revision=0)
    store.write(Correction("d"), expected_revision=0)
    assert store.summary().describe() == (
        "3 images: 1 corrected mask, 1 called right, 1 called wrong, 1 with other tags"
    )
    assert change_tags(("cat", "dog"), tags) == ("cat", "cow")
    assert change_tags(("cat",), None) == ("cat",)


def test_threads_do_not_overwrite_each_other(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    refused = []

    def add() -> None:
        for _ in range(10):
            while True:
                found = store.read("a")
                try:
                    store.write(Correction("a"), expected_revision=0 if found is None else found.revision)
                    break
                except EditConflict as error:
                    refused.append(error)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = store.read("a")
    assert last is not None
    assert last.revision == 30


def _hold(root: Path, started: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    from weakseg.pipeline.lock import hold_folder

    with hold_folder(root):
        started.set()
        end.wait(30)


@pytest.mark.slow
def test_a_writer_waits_for_another_process_and_then_says_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    started, end = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(store.root, started, end))
    other.start()
    assert started.wait(60)
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.1)
    with pytest.raises(ArtifactError, match=f"is in use by process {other.pid}"):
        store.write(Correction("a"), expected_revision=0)
    monkeypatch.setattr(module, "LOCK_WAIT_S", 30.0)
    threading.Timer(0.1, end.set).start()
    assert store.write(Correction("a"), expected_revision=0).revision == 1
    other.join(30)
