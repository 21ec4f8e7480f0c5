"""`python -m weakseg` is the command `weakseg`; `torchrun -m weakseg run ...` starts it on many processes."""

import sys

from weakseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
