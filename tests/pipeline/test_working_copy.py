"""The working copy of a run that lies elsewhere: what is fetched again, what is put first, and what empties no run."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.elsewhere import fsspec, put, read_below
from tests.pipeline.made_elsewhere import URL, Killed, cache, record, there, write
from weakseg.errors import ArtifactError
from weakseg.pipeline.putting import open_run_elsewhere, put_round
from weakseg.pipeline.working_copy import open_copy
from weakseg.stores import Store

assert cache, "a fixture"


def test_a_copy_is_fetched_once_and_what_others_changed_is_fetched_again(told: list[str]) -> None:
    put({"run.json": b'{"stages": {}}', "seeds/a.npz": b"a", "seeds/b.npz": b"b"}, URL)
    with open_run_elsewhere(URL):
        pass
    put({"seeds/b.npz": b"c", "seeds/c.npz": b"c"}, URL)
    fsspec.filesystem("memory").rm("/bucket/runs/a/seeds/a.npz")
    with open_run_elsewhere(URL) as root:
        assert sorted(path.name for path in (root / "seeds").iterdir()) == ["b.npz", "c.npz"]
        assert (root / "seeds" / "b.npz").read_bytes() == b"c"
    assert [line[line.rindex("(") :] for line in told] == ["(3 files fetched)", "(2 files fetched)"]


def test_what_was_left_in_a_copy_is_put_first_unless_others_went_on(tmp_path: Path) -> None:
    """A command whose network had gone at its end, or that was killed."""
    for others_went_on in (False, True):
        put({"run.json": b'{"stages": {}}', "seeds/a.npz": b"a"}, URL)
        with open_copy(URL) as copy:
            copy.fetch()
            write(copy.root, "seeds/late.npz", "late")
        if others_went_on:
            put({"run.json": b'{"stages": {} }'}, URL)
        with open_run_elsewhere(URL) as root:
            assert (root / "seeds" / "late.npz").exists() != others_went_on
        assert ("seeds/late.npz" in there()) != others_went_on
        fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("lost", ["seeds/a.npz", "run.json", ""])
def test_what_vanished_from_a_copy_is_fetched_again(lost: str) -> None:
    """Scratch disks are emptied by age: that is no wish to empty the run."""
    with open_run_elsewhere(URL) as root:
        record(root, "seeds", "s1")
        write(root, "seeds/a.npz", "a")
        write(root, "seeds/b.npz", "b")
    before = there()
    shutil.rmtree(root) if lost == "" else (root / lost).unlink()
    with open_run_elsewhere(URL) as root:
        assert read_below(root).keys() == before.keys()
    assert there() == before


@pytest.mark.parametrize("lost", ["seeds/a.npz", "run.json"])
def test_what_lost_its_content_with_the_power_is_fetched_again(lost: str) -> None:
    put({"run.json": b'{"stages": {}}', "seeds/a.npz": b"a"}, URL)
    with open_run_elsewhere(URL) as root:
        pass
    before, time_ns = there(), (root / lost).stat().st_mtime_ns
    (root / lost).write_bytes(b"")
    os.utime(root / lost, ns=(time_ns, time_ns))
    with open_run_elsewhere(URL) as root:
        assert read_below(root) == before
    assert there() == before


def test_a_copy_that_vanishes_under_a_command_empties_no_run() -> None:
    def work() -> None:
        with open_run_elsewhere(URL) as root:
            shutil.rmtree(root)

    put({"run.json": b'{"stages": {}}', "seeds/a.npz": b"a"}, URL)
    with pytest.raises(ArtifactError, match=r"^the working copy in .* was deleted while a command works in it"):
        work()
    assert sorted(there()) == ["run.json", "seeds/a.npz"]


def test_what_changed_while_it_was_put_is_kept_when_the_command_is_killed() -> None:
    class KilledAfterWriting(Store):
        def write_many(self, files: Mapping[str, bytes]) -> None:
            super().write_many(files)
            if "classify/checkpoint" in files:
                write(copy.root, "classify/checkpoint", "epoch 2")
                raise Killed

    with open_copy(URL) as copy:
        copy.fetch()
        record(copy.root, "classify", "c1")
        write(copy.root, "classify/checkpoint", "epoch 1")
        copy.store = KilledAfterWriting(URL)
        with pytest.raises(Killed):
            put_round(copy)
    with open_run_elsewhere(URL) as root:
        assert (root / "classify" / "checkpoint").read_text() == "epoch 2"
    assert there()["classify/checkpoint"] == b"epoch 2"
