import torch

from weakseg.estimate.memory import read_gpu_peak, read_peak, start_peak

CPU = torch.device("cpu")
SIZE = 80 * 2**20


def test_a_peak_holds_what_is_gone_again() -> None:
    before = start_peak(CPU)
    held = torch.ones(SIZE, dtype=torch.uint8)
    held_sum = int(held[:3].sum())
    del held
    assert held_sum == 3
    assert read_peak() >= before > 0
    assert read_gpu_peak(CPU) is None
