import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.pipeline import made_jobs
from tests.pipeline.test_processes import deed, expected, found, make_context, splits
from weakseg.errors import WeaksegError
from weakseg.pipeline import image_jobs
from weakseg.pipeline.image_jobs import OneProcess
from weakseg.pipeline.runtime import joined_processes
from weakseg.pipeline.turns import OwnTurns

FORKS = multiprocessing.get_context("fork")


def be_rank(number: int, start: int, port: int, root: Path) -> None:
    """Work on the images as one of two processes that `torchrun` has started."""
    told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": start}
    os.environ.update({name: str(value) for name, value in told.items()})
    context = make_context(root)
    with joined_processes(torch.device("cpu")):
        OneProcess().work_off(context, made_jobs.SIZES, splits(context))


@pytest.mark.slow
def test_what_a_lost_process_had_in_hand_is_done_after_the_next_start(tmp_path: Path) -> None:
    """The launcher's store outlives the processes; counts of an earlier start must not hold in the next one."""
    context = make_context(tmp_path)
    made_jobs.prepare(context)
    deed(context, "train_3", "once")
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    codes = []
    for start in range(2):
        ranks = [FORKS.Process(target=be_rank, args=(number, start, store.port, tmp_path)) for number in range(2)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(60)
            process.kill()
        codes.append(sorted(process.exitcode or 0 for process in ranks))
    assert codes == [[-signal.SIGKILL, 1], [0, 0]]
    assert found(context) == expected(tmp_path / "whole")


@pytest.mark.parametrize("forgets", [1, 2])
def test_images_that_nobody_had_are_worked_on_again_but_not_for_ever(
    forgets: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tmp_path)
    made_jobs.prepare(context)
    starts: list[int] = []

    def forget(images: int, *, is_pending: object) -> OwnTurns:
        starts.append(images)
        return OwnTurns(range(2, images) if len(starts) <= forgets else range(images))

    monkeypatch.setattr(image_jobs, "open_turns", forget)
    monkeypatch.setattr(image_jobs, "world_size", lambda: 2)
    if forgets == 1:
        OneProcess().work_off(context, made_jobs.SIZES, splits(context))
        assert len(found(context)) == 9
        return
    with pytest.raises(WeaksegError, match=r"^2 images have no file though they were worked on \(measuring\)$"):
        OneProcess().work_off(context, made_jobs.SIZES, splits(context))
