"""Two processes must learn from SEAM's loss what one would; `test_seam` starts it in two."""

from __future__ import annotations

import torch

from weakseg.data.crops import Batch
from weakseg.models.seam import SEAM, build_seam
from weakseg.pipeline.runtime import joined_processes
from weakseg.train.distributed import average_gradients, rank, sum_over_ranks, world_size
from weakseg.train.seam import Siamese, seam_loss


def make_seam() -> SEAM:
    generator = torch.Generator().manual_seed(0)
    return build_seam("critter38", num_classes=3, freeze_trunk=False, fixed_norm=True, generator=generator)


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    tags = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    return Batch(torch.randn(4, 3, 32, 32, generator=generator), tags, torch.ones(4, 3).bool(), None)


def main() -> None:
    """Compare the gradients of both ranks together with those of one process that has the whole batch."""
    torch.set_num_threads(1)
    with joined_processes(torch.device("cpu")):
        batch, mine = make_batch(), slice(rank(), None, world_size())
        shared, alone = make_seam(), make_seam()
        wrapped = average_gradients(Siamese(shared, shrink=0.5).train())
        loss = seam_loss(wrapped, Batch(batch.images[mine], batch.tags[mine], batch.known[mine], None))
        loss.backward()
        expected = seam_loss(Siamese(alone, shrink=0.5).train(), batch)
        expected.backward()
        torch.testing.assert_close(sum_over_ranks(loss.detach()) / world_size(), expected.detach())
        for (name, parameter), other in zip(shared.named_parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: n + m)
        print(f"rank {rank()} agrees", flush=True)
