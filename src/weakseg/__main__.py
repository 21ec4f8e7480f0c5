"""`python -m weakseg` is the command `weakseg`; `torchrun -m weakseg run ...` starts it on many processes."""

import os
import signal
import sys


def _end(number: int, frame: object) -> None:
    """End on Ctrl-C or SIGTERM while the command is still being imported; `weakseg.endings` heeds them afterwards."""
    os.write(2, b"weakseg: interrupted\n")
    os._exit(128 + number)


if __name__ in ("__main__", "weakseg.__main__"):  # not in the workers that import this module once more
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, _end)

from weakseg.cli import main  # noqa: E402 (the handlers come first)

if __name__ == "__main__":
    sys.exit(main())
