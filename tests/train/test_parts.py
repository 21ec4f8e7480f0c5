import pytest
import torch
from torch import Tensor, nn

from weakseg.data.crops import Batch
from weakseg.train.parts import BatchPart, add_gradients, split_batch, whole_of


def make_batch(images: int, *, labels: bool = True) -> Batch:
    index = torch.arange(images, dtype=torch.float32)
    return Batch(
        images=index.reshape(-1, 1, 1, 1).expand(images, 3, 2, 3),
        tags=index[:, None],
        known=index[:, None] > 0,
        labels=index.long().reshape(-1, 1, 1).expand(images, 2, 3) if labels else None,
    )


class Scaled(nn.Module):
    """One weight times the mean of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.weight * images.mean(dim=(1, 2, 3))


def share_of_the_mean(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch.images).sum() / len(whole_of(batch).images)


@pytest.mark.parametrize(
    ("images", "parts", "sizes"),
    [(10, 2, [5, 5]), (5, 2, [3, 2]), (7, 3, [3, 2, 2]), (2, 5, [1, 1]), (1, 1, [1])],
)
def test_parts_are_runs_of_nearly_equal_length(images: int, parts: int, sizes: list[int]) -> None:
    batch = make_batch(images)
    pieces = split_batch(batch, parts)
    assert [len(piece.images) for piece in pieces] == sizes
    for name in ("images", "tags", "known", "labels"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name))
    assert all(isinstance(piece, BatchPart) and whole_of(piece) is batch for piece in pieces)


def test_a_batch_is_its_own_whole_and_may_lack_labels() -> None:
    batch = make_batch(3, labels=False)
    assert whole_of(batch) is batch
    assert all(piece.labels is None for piece in split_batch(batch, 2))


def test_gradients_and_losses_of_parts_add_up() -> None:
    """Images 0..4: the mean is 2, the loss 2 * 2; parts hold 0, 1, 2 and 3, 4 and add 6 / 5 and 14 / 5."""
    model = Scaled()
    model.weight.grad = torch.tensor(10.0)
    value = add_gradients(model, make_batch(5), loss=share_of_the_mean, parts=2)
    assert value.item() == pytest.approx(4.0)
    assert not value.requires_grad
    assert model.weight.grad.item() == pytest.approx(12.0), "added to what was there"
    assert model.seen == [3, 2]


def test_one_part_is_the_batch_itself() -> None:
    batch = make_batch(4)
    seen = []

    def loss(model: nn.Module, given: Batch) -> Tensor:
        seen.append(given)
        return share_of_the_mean(model, given)

    add_gradients(Scaled(), batch, loss=loss, parts=1)
    assert len(seen) == 1
    assert seen[0] is batch
