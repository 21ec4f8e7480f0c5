"""Settings of the whole test suite."""

import torch

# Small tensors gain nothing from threads, and on busy cores threads that wait for each other cost tenfold.
torch.set_num_threads(1)
