"""The cases on a real GPU: `python -m tests.device.on_gpu [cuda:N]` from the repository's root.

Prints a line for each and exits with 1 if one fails. No test, since the machines that test this project have no GPU.
"""

from __future__ import annotations

import os
import sys

import torch

from tests.device.cases import as_in_a_run, assert_alike
from tests.device.localize_cases import LOCALIZING
from tests.device.method_cases import METHODS
from tests.device.network_cases import NETWORKS
from tests.device.ops_cases import OPS
from tests.device.pretended import CPU
from tests.device.refine_cases import REFINING

TOLERANCE = 1e-3
"""How far floats may differ: convolutions add up in another order than the CPU's, and score maps are of order 10."""


def main(words: list[str]) -> int:
    """Run all cases on the device that is named first, or `cuda`."""
    device = torch.device(words[0] if words else "cuda")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False  # as by default for matrix products, so that numbers have all digits
    failed = 0
    tables = (OPS, LOCALIZING, REFINING, NETWORKS, METHODS)
    for name, case in (item for table in tables for item in table.cases.items()):
        try:
            with as_in_a_run():
                assert_alike(case(device), case(CPU), device=device, tolerance=TOLERANCE)
            told = "follows"
        except Exception as error:  # whatever a device raises
            failed += 1
            told = f"FAILS: {type(error).__name__}: {error}"
        sys.stdout.write(f"{name}: {told}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
