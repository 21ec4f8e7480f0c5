"""Processes are forked here but for one test, since spawned ones spend seconds on imports."""

import importlib
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from tests.pipeline import made_jobs
from tests.tiny import make_dataset, with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.ahead import WorkerLost
from weakseg.data.base import Dataset
from weakseg.errors import DataError, UsageError
from weakseg.pipeline import processes
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.engines import choose_engine
from weakseg.pipeline.image_jobs import ImageJob, OneProcess, run_job
from weakseg.pipeline.processes import Processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the jobs here kill their own processes"),
]

DEMO = with_settings(build_config(read_recipe("demo")), ("runtime.workers", 0))
TAGS = ((0,), (1,), (2,), (0, 1), (1, 2), (), (0,))


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("torch._inductor.config")  # seconds in each process that asks torch for determinism first
    monkeypatch.setattr(processes, "START_METHOD", "fork")


def make_context(root: Path, *, workers: int = 0) -> Context:
    train = make_dataset(root / "images", TAGS, sizes_hw=((24, 33), (31, 20)))
    val = make_dataset(root / "images", TAGS[:2], split="val")
    config = with_settings(DEMO, ("runtime.workers", workers))
    return Context(config, RunFolder(root / "run"), torch.device("cpu"), train, val, {})


def splits(context: Context) -> list[Dataset]:
    assert context.val is not None
    return [context.train, context.val]


def deed(context: Context, sample_id: str, what: str) -> None:
    folder = context.folder.root / "deeds"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sample_id).write_text(what)


def found(context: Context) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (context.folder.root / "sizes").glob("*.txt")}


def expected(root: Path) -> dict[str, str]:
    context = make_context(root)
    made_jobs.prepare(context)
    OneProcess().work_off(context, made_jobs.SIZES, splits(context))
    return found(context)


def work_off(context: Context, job: ImageJob = made_jobs.SIZES, *, count: int = 2) -> None:
    engine = Processes(count)
    try:
        engine.work_off(context, job, splits(context))
    finally:
        engine.close()
        assert not [child for child in multiprocessing.active_children() if child.name.startswith("weakseg-")]


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = expected(tmp_path_factory.mktemp("one"))
    assert len(found) == 9
    assert found["train_1"].startswith("train_1: 31 x 20, red ")
    return found


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("lost", [[], ["train_0"], ["train_2", "val_1"]], ids=["all stay", "one", "two"])
def test_lost_processes_are_replaced_and_their_images_handed_out_again(
    lost: list[str], workers: int, of_one: dict[str, str], tmp_path: Path, told: list[str]
) -> None:
    context = make_context(tmp_path, workers=workers)
    for sample_id in lost:
        deed(context, sample_id, "once")
    work_off(context)
    assert found(context) == of_one
    losses = [line for line in told if not line.startswith("  measuring")]
    assert len(losses) == len(lost)
    assert all(line.startswith("a process that works on images was lost (SIGKILL); ") for line in losses)


NAMES = [f"train_{number}" for number in range(7)] + ["val_0", "val_1"]


def ask(context: Context, engine: Processes) -> tuple[dict[int, str], set[int]]:
    """Ask processes for the names of images; return these, and who has answered."""
    answers = engine.ask(context, made_jobs.NAMES, splits(context))
    return {place: name for place, (name, _) in answers.items()}, {number for _, number in answers.values()}


@pytest.mark.usefixtures("forked")
def test_processes_that_are_there_answer_questions_and_a_lost_one_is_replaced(tmp_path: Path, told: list[str]) -> None:
    context, engine = make_context(tmp_path), Processes(2)
    assert ask(context, engine) == (dict(enumerate(NAMES)), {os.getpid()}), "nobody is there yet"
    engine.work_off(context, made_jobs.SIZES, splits(context))
    deed(context, "train_2", "once")
    names, who = ask(context, engine)
    assert names == dict(enumerate(NAMES))
    assert os.getpid() not in who
    assert [line for line in told if "was lost" in line] == [
        "a process that works on images was lost (SIGKILL); 1 images are handed out again"
    ]
    deed(context, "val_1", "damaged")
    with pytest.raises(DataError, match=r"^image 'val_1' is damaged$"):
        ask(context, engine)
    assert not engine.crew(0), "all are ended"


@pytest.mark.usefixtures("forked")
def test_images_of_a_lost_block_are_handed_out_one_by_one(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cut_blocks", lambda images, count: [range(images)])
    context = make_context(tmp_path)
    deed(context, "train_4", "always")
    with pytest.raises(WorkerLost, match="lost 3 times at the image 'train_4'"):
        work_off(context)
    assert told[-2:] == [
        f"a process that works on images was lost (SIGKILL); {number} images are handed out again" for number in (9, 1)
    ], "the first had all of them in hand"


@pytest.mark.usefixtures("forked")
def test_only_images_that_are_not_done_are_handed_out(of_one: dict[str, str], tmp_path: Path) -> None:
    context = make_context(tmp_path)
    made_jobs.output(context, "train_3").parent.mkdir(parents=True)
    made_jobs.output(context, "train_3").write_text("as it was")
    work_off(context)
    assert found(context) == {**of_one, "train_3": "as it was"}
    before = multiprocessing.active_children()
    engine = Processes(2)
    engine.work_off(context, made_jobs.SIZES, splits(context))
    assert multiprocessing.active_children() == before, "nothing to do"


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    ("job", "what", "kind", "message"),
    [
        (made_jobs.SIZES, "damaged", DataError, "^image 'train_4' is damaged$"),
        (made_jobs.SIZES, "odd", RuntimeError, "^OddError: odd 1 2$"),
        (
            made_jobs.SIZES,
            "always",
            WorkerLost,
            "lost 3 times at the image 'train_4', the last by SIGKILL, which often",
        ),
        (made_jobs.BAD, "", WorkerLost, "^processes that work on images were lost 3 times before any image, the last"),
    ],
)
def test_what_cannot_be_done_ends_all_processes_with_its_line(
    job: ImageJob, what: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    context = make_context(tmp_path)
    if what:
        deed(context, "train_4", what)
    with pytest.raises(kind, match=message):
        work_off(context, job)


@pytest.mark.usefixtures("forked")
def test_processes_stay_for_the_next_job_and_share_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    context, engine = make_context(tmp_path), Processes(2)
    assert engine._threads == 2
    engine.work_off(context, made_jobs.SIZES, splits(context))
    first = [worker.process.pid for worker in engine.crew(0)]
    for path in made_jobs.output(context, "x").parent.iterdir():
        path.unlink()
    engine.work_off(context, made_jobs.SIZES, splits(context))
    assert [worker.process.pid for worker in engine.crew(0)] == first
    engine.close()


def work_and_wait(root: Path, said: Connection) -> None:
    """Work images off with a process, say which it is, and go on for ever."""
    context = make_context(root)
    engine = Processes(1)
    engine.work_off(context, made_jobs.SIZES, splits(context))
    said.send(engine.crew(0)[0].process.pid)
    time.sleep(600)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_spawned_process_works_and_ends_with_a_parent_that_was_killed(of_one: dict[str, str], tmp_path: Path) -> None:
    forking = multiprocessing.get_context("fork")
    heard, said = forking.Pipe(duplex=False)
    parent = forking.Process(target=work_and_wait, args=(tmp_path, said))
    parent.start()
    pid = heard.recv()
    assert found(make_context(tmp_path)) == of_one
    assert is_alive(pid)
    parent.kill()
    parent.join()
    deadline_s = time.monotonic() + 60
    while is_alive(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_an_engine_is_chosen_by_the_words_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_engine(), OneProcess)
    assert isinstance(choose_engine(processes=3), Processes)
    with pytest.raises(UsageError, match=r"--processes: expected 1 to 1024, got 0"):
        choose_engine(processes=0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match=r"--processes 2: torchrun has started 4 processes, which share the images"):
        choose_engine(processes=2)


def test_a_run_asks_its_engine(tmp_path: Path, of_one: dict[str, str]) -> None:
    context = make_context(tmp_path)
    made_jobs.prepare(context)
    run_job(context, made_jobs.SIZES, splits(context))
    assert found(context) == of_one
