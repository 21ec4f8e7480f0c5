"""A run that lies elsewhere is whole at every moment that a command may be killed at, and copies follow it."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from tests.elsewhere import fsspec, put, read_below
from tests.pipeline.made_elsewhere import URL, Killed, cache, record, there, write
from weakseg.errors import ArtifactError
from weakseg.pipeline import putting
from weakseg.pipeline.putting import open_run_elsewhere, put_round
from weakseg.pipeline.working_copy import open_copy
from weakseg.remote import as_said
from weakseg.stores import Store

assert cache, "a fixture"

FILES = {
    "classify": ("model", "history.json"),
    "localize": ("1.npz", "2.npz"),
    "refine": ("1.png", "2.png", "all.json"),
}


def steps(root: Path) -> Iterator[Callable[[], object]]:
    """What a run does to its folder, step by step: three stages, and the last of them anew with other settings."""
    for stage, fingerprint in (("classify", "c1"), ("localize", "l1"), ("refine", "r1"), ("refine", "r2")):
        if fingerprint == "r2":
            for name in FILES[stage]:
                yield (root / "refine" / name).unlink
            yield partial(record, root, "refine", None)
        yield partial(record, root, stage, fingerprint)
        if stage == "classify":
            yield partial(write, root, "classify/checkpoint", "c1")
        for name in FILES[stage]:
            yield partial(write, root, f"{stage}/{name}", fingerprint)
        if stage == "classify":
            yield (root / "classify" / "checkpoint").unlink
        yield partial(record, root, stage, fingerprint, finished=True)


def require_whole(files: Mapping[str, bytes]) -> set[str]:
    """Require what a command elsewhere relies on; returns which stages are called finished."""
    stages = json.loads(files["run.json"])["stages"] if "run.json" in files else {}
    for name, content in files.items():
        stage = name.partition("/")[0]
        if name != "run.json":
            assert stage in stages, f"{name} would be nobody's"
            assert content.decode() == stages[stage]["fingerprint"], f"{name} is of other settings"
    finished = {stage for stage, told in stages.items() if told["finished"]}
    for stage in finished:
        assert {f"{stage}/{name}" for name in FILES[stage]} <= files.keys() or is_begun_anew(files), stage
    return finished


def is_begun_anew(files: Mapping[str, bytes]) -> bool:
    return json.loads(files["run.json"])["stages"]["refine"]["fingerprint"] == "r1" and len(files) < 8


class Interleaved(Store):
    """The run goes on while files are put, and after so many files all ends."""

    def __init__(self, work: Iterator[Callable[[], object]], *, ends_after: int, pace: int) -> None:
        super().__init__(URL, kind=ArtifactError)
        self.left = ends_after
        self._work, self._pace = work, pace

    def go_on(self, count: int | None = None) -> bool:
        """Do some steps of the run; False when it has come to its end."""
        step = None
        for _ in range(self._pace if count is None else count):
            step = next(self._work, None)
            if step is not None:
                step()
        return step is not None

    def _one(self) -> None:
        self.go_on()
        if self.left == 0:
            raise Killed
        self.left -= 1

    def write_many(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self._one()
            super().write_many({name: content})

    def remove_many(self, names: Iterable[str]) -> None:
        for name in names:
            self._one()
            super().remove_many([name])


def run_until(ends_after: int, pace: int) -> int:
    """Work and put in turns; returns how many more files might have been put."""
    with open_copy(URL) as copy:
        copy.fetch()
        store = Interleaved(steps(copy.root), ends_after=ends_after, pace=pace)
        copy.store = store
        with pytest.raises(Killed) if ends_after < 1000 else nullcontext():
            while store.go_on(1):
                put_round(copy)
            put_round(copy)
        return store.left


@pytest.mark.slow
@pytest.mark.parametrize("pace", [0, 4, 20])
def test_what_lies_elsewhere_is_whole_whenever_the_command_is_killed(pace: int, tmp_path: Path) -> None:
    memory, slots = fsspec.filesystem("memory"), tmp_path / "cache"
    total = 1000 - run_until(1000, pace)
    assert require_whole(there()) == set(FILES)
    assert sorted(there()) == sorted(["run.json", *(f"{stage}/{name}" for stage, own in FILES.items() for name in own)])
    reached = set()
    for moment in range(0, total, {0: 3, 4: 2, 20: 1}[pace]):
        memory.store.clear()
        slots.rename(tmp_path / f"cache {pace} {moment}")  # another machine
        try:
            run_until(moment, pace)
        except BaseException as error:
            raise AssertionError(f"killed after {moment} of {total} files") from error
        reached |= {frozenset(require_whole(there()))}
    assert len(reached) >= (3 if pace == 0 else 2), "moments in different stages were met"


def test_a_command_on_another_machine_has_the_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run_elsewhere(f"{URL}/") as root:
        assert root.name == "a"
        assert as_said(f"look at {root}/report.html") == f"look at {URL}/report.html"
        for step in steps(root):
            step()
        write(root, ".weakseg.lock", "me")
        write(root, "refine/.1.png.77-ab.partial", "half")
        expected = {name: content for name, content in read_below(root).items() if ".weakseg" not in name}
        expected.pop("refine/.1.png.77-ab.partial")
    assert sorted(there()) == sorted(expected)
    assert json.loads(there()["run.json"]) == json.loads(expected.pop("run.json"))
    assert {name: there()[name] for name in expected} == expected
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "other"))
    with open_run_elsewhere(URL) as root:
        assert read_below(root) == there()


def test_parts_on_several_machines_put_their_files_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put({"run.json": b'{"stages": {}}', "parts/handed_out.json": b"{}"}, URL)
    with open_run_elsewhere(URL) as one:
        monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "other"))
        with open_run_elsewhere(URL) as two, open_run_elsewhere(URL) as three:
            assert len({one, two, three}) == 3, "on one machine, too"
            for at, root in enumerate((one, two, three)):
                write(root, f"seeds/{at}.npz", "seed")
                write(root, f"parts/{at}-of-3.json", "{}")
    expected = [*(f"parts/{at}-of-3.json" for at in range(3)), "parts/handed_out.json", "run.json"]
    assert sorted(there()) == sorted([*expected, *(f"seeds/{at}.npz" for at in range(3))])


def test_two_commands_that_write_records_do_not_overwrite_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work_on_two_machines() -> None:
        with open_run_elsewhere(URL) as one:
            record(one, "classify", "c1")
            monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "other"))
            with open_run_elsewhere(URL) as two:
                record(two, "classify", "c2")

    with pytest.raises(ArtifactError, match=f"^another command has worked in {URL} meanwhile; end all but one"):
        work_on_two_machines()
    assert json.loads(there()["run.json"])["stages"]["classify"]["fingerprint"] == "c2"


def test_files_are_put_while_the_command_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting, "INTERVAL_S", 0.01)
    monkeypatch.setattr(putting, "REST", 1)
    with open_run_elsewhere(URL) as root:
        record(root, "localize", "l1")
        write(root, "localize/1.npz", "l1")
        deadline_s = time.monotonic() + 20
        while "localize/1.npz" not in there() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert "localize/1.npz" in there()


def test_a_run_that_cannot_be_written_says_where_its_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Forbidden")

    def work() -> None:
        with open_run_elsewhere(URL) as root:
            write(root, "a.txt", "a")
            monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe", refuse)

    with pytest.raises(ArtifactError, match=rf"^{URL}: access is denied \(Forbidden\).*what is left in .*runs/"):
        work()


def test_on_other_file_systems_files_are_renamed_into_place(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with open_run_elsewhere(f"file://{target}") as root:
        write(root, "seeds/a b.npz", "a")
        record(root, "localize", "l1")
    assert sorted(read_below(target)) == ["run.json", "seeds/a b.npz"]
