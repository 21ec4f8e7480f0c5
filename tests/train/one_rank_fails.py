"""The second of two processes fails while the first waits for it; `test_distributed` starts it under `torchrun`."""

from __future__ import annotations

import sys

import torch

from weakseg.endings import end_well
from weakseg.errors import DataError
from weakseg.pipeline.runtime import joined_processes
from weakseg.train.distributed import rank, wait_for_all


def work() -> int:
    """Fail in rank 1."""
    with joined_processes(torch.device("cpu")):
        wait_for_all()
        if rank() == 1:
            raise DataError("image 'x' is damaged")
        wait_for_all()
    return 0


if __name__ == "__main__":
    sys.exit(end_well(work, debug=False))
