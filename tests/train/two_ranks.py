"""What two processes must agree on; `test_distributed` starts it in two. Raises on the first disagreement."""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from weakseg.data.crops import Batch
from weakseg.pipeline.runtime import joined_processes
from weakseg.train.classify import classification_loss
from weakseg.train.distributed import (
    average_gradients,
    rank,
    share_buffers,
    sum_over_ranks,
    wait_for_all,
    world_size,
)
from weakseg.train.parts import add_gradients
from weakseg.train.segment import segmentation_loss

VOID = 255


class Pixelwise(nn.Module):
    """A 1x1 convolution: logits of every pixel. Its batch norm is there for the buffers."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.convolution = nn.Conv2d(3, 4, 1, bias=False)
        nn.init.normal_(self.convolution.weight, generator=generator)
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.convolution(images)
        return logits


class Pooled(Pixelwise):
    """Its mean over the pixels: logits of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).mean(dim=(2, 3))


def whole_batch() -> Batch:
    """Four images whose labelled pixels are 6, 5, 1 and 0, so that the processes hold unequal numbers."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (4, 2, 3), generator=generator)
    labels[1, 0, 0] = labels[3] = VOID
    labels[2].flatten()[1:] = VOID
    return Batch(
        images=torch.randn(4, 3, 2, 3, generator=generator),
        tags=torch.randint(0, 2, (4, 4), generator=generator).float(),
        known=torch.rand(4, 4, generator=generator) < 0.7,
        labels=labels,
    )


def share_of(batch: Batch) -> Batch:
    mine = slice(rank(), None, world_size())
    assert batch.labels is not None
    return Batch(batch.images[mine], batch.tags[mine], batch.known[mine], batch.labels[mine])


def check_sums() -> None:
    values = torch.tensor([1.0 + rank(), 10.0])
    assert sum_over_ranks(values).tolist() == [3.0, 20.0]
    assert values.tolist() == [1.0 + rank(), 10.0], "the input is not modified"
    assert sum_over_ranks(torch.tensor(rank() + 1)).item() == 3


def check_buffers() -> None:
    model = Pixelwise()
    model.norm.running_mean += rank()
    model.norm.num_batches_tracked += 7 + rank()
    share_buffers(model)
    assert model.norm.running_mean.tolist() == [0.0, 0.0, 0.0]
    assert model.norm.num_batches_tracked.item() == 7


def check_gradients() -> None:
    for kind, loss in ((Pooled, classification_loss), (Pixelwise, segmentation_loss)):
        model = kind()
        wrapped = average_gradients(model)
        assert wrapped is not model
        value = loss(wrapped, share_of(whole_batch()))
        value.backward()
        mean = sum_over_ranks(value.detach()) / world_size()
        alone = kind()
        expected = whole_loss(alone, kind)
        expected.backward()
        torch.testing.assert_close(mean, expected.detach())
        torch.testing.assert_close(model.convolution.weight.grad, alone.convolution.weight.grad)


def whole_loss(model: nn.Module, kind: type[nn.Module]) -> Tensor:
    """The loss of one process with the whole batch, written out."""
    batch = whole_batch()
    logits = model(batch.images)
    assert batch.labels is not None
    if kind is Pixelwise:
        return nn.functional.cross_entropy(logits, batch.labels, ignore_index=VOID)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, batch.tags, reduction="none")
    return ((losses * batch.known).sum(dim=1) / batch.known.sum(dim=1)).mean()


class TwoSizes(Pixelwise):
    """Logits of every pixel, and of every second one: maps of two sizes."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits = super().forward(images)
        return logits, logits[:, :, ::2, ::2]


def check_parts() -> None:
    """In parts, over two processes and balanced, gradients are those of one process with the whole batch."""
    loss = partial(segmentation_loss, balance="foreground_background")
    for kind in (Pixelwise, TwoSizes):
        model, alone = kind(), kind()
        wrapped = average_gradients(model)
        value = add_gradients(wrapped, share_of(whole_batch()), loss=loss, parts=2)
        mean = sum_over_ranks(value) / world_size()
        expected = balanced_loss(alone)
        expected.backward()
        torch.testing.assert_close(mean, expected.detach())
        torch.testing.assert_close(model.convolution.weight.grad, alone.convolution.weight.grad)


def balanced_loss(model: nn.Module) -> Tensor:
    """The balanced loss of one process with the whole batch, written out."""
    batch = whole_batch()
    assert batch.labels is not None
    answer = model(batch.images)
    total = torch.zeros(())
    for logits in answer if isinstance(answer, tuple) else (answer,):
        # nearest-exact takes the row and columns whose centres lie next to the cells' centres
        labels = batch.labels if logits.shape[2:] == (2, 3) else batch.labels[:, 1:2, [0, 2]]
        losses = nn.functional.cross_entropy(logits, labels, ignore_index=VOID, reduction="none")
        total = total + (losses[labels == 0].mean() + losses[(labels > 0) & (labels != VOID)].mean()) / 2
    return total


def main() -> None:
    """Run every check on both ranks."""
    torch.set_num_threads(1)
    with joined_processes(torch.device("cpu")):
        assert (rank(), world_size()) in ((0, 2), (1, 2))
        for check in (check_sums, check_buffers, check_gradients, check_parts):
            check()
            wait_for_all()
        print(f"rank {rank()} agrees", flush=True)
    assert not dist.is_initialized()
    assert (rank(), world_size()) == (0, 1)
