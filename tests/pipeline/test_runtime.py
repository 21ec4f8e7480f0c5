import os
from collections.abc import Iterator

import pytest
import torch

from weakseg.errors import ConfigError
from weakseg.pipeline.runtime import choose_device, joined_processes, launched_rank, make_deterministic, make_generator


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give torch's settings and the launcher's variables back as they were."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> list[torch.device]:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_auto_takes_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")
    chosen = pretend_gpus(monkeypatch, 1)
    assert choose_device("auto") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")
    assert chosen == [torch.device("cuda:0")]


def test_every_process_takes_the_gpu_of_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("cuda") == torch.device("cuda:3")
    assert choose_device("auto") == torch.device("cuda:3")
    assert choose_device("cuda:1") == torch.device("cuda:1")


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="'cuda:1' is one GPU for 2 processes; use cuda, which gives each its own"):
        choose_device("cuda:1")
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "mps", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"runtime\.device: expected auto, cpu, cuda or cuda:N, got '{name}'"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 0)
    with pytest.raises(ConfigError, match="'cuda:1' asked for, but torch sees no CUDA GPU; use auto or cpu"):
        choose_device("cuda:1")
    pretend_gpus(monkeypatch, 2)
    with pytest.raises(ConfigError, match="'cuda:2' asked for, but there are 2 GPUs"):
        choose_device("cuda:2")


@pytest.mark.parametrize("world_size", [None, "1"])
def test_one_process_joins_nothing(world_size: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if world_size is not None:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    with joined_processes(torch.device("cpu")):
        assert not torch.distributed.is_initialized()


def test_the_launchers_rank_is_known_without_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched_rank() == 0
    monkeypatch.setenv("RANK", "5")
    assert launched_rank() == 5


def test_determinism_is_asked_for_and_only_warned_about() -> None:
    make_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_generators_of_one_seed_are_equal_and_independent_of_the_global_one() -> None:
    torch.manual_seed(1)
    first = torch.rand(3, generator=make_generator(7))
    torch.manual_seed(2)
    assert torch.equal(torch.rand(3, generator=make_generator(7)), first)
    assert not torch.equal(torch.rand(3, generator=make_generator(8)), first)
