"""Training of the segmentation network from pseudo masks."""

from __future__ import annotations

from torch import Tensor, nn

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.loaders import Batch, CropSet
from weakseg.data.transforms import Augmentation
from weakseg.models.deeplab import Segmenter
from weakseg.train.distributed import sum_over_ranks, world_size
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan, train_on_crops
from weakseg.types import IGNORE_LABEL


def train_segmenter(
    segmenter: Segmenter,
    train: Dataset,
    masks: MaskReader,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a segmenter in place with cross-entropy, 255 left out.

    Args:
        segmenter: On its device.
        train: Images; their tags are not used.
        masks: Reads the pseudo mask of each image.
        augmentation: Random changes of images and masks.
        plan: How to train.
        seed: Seed of order and augmentation.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch.
    """
    crops = CropSet(train, augmentation, seed=seed, masks=masks)
    return train_on_crops(segmenter, crops, plan, loss=segmentation_loss, hooks=hooks)


def segmentation_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy over the labelled pixels of a batch, computed at the network's stride.

    The mask is sampled at the centres of the logits' cells (nearest), as DeepLab-v2 trains at its output stride. A
    batch without any labelled pixel has loss 0.

    With several processes the mean is over the labelled pixels of all of them: the average of the processes' losses,
    and so of their gradients, is that of one process with the whole batch.
    """
    assert batch.labels is not None, "a segmentation batch without masks"
    logits: Tensor = model(batch.images)
    labels = nn.functional.interpolate(batch.labels[:, None].float(), logits.shape[2:], mode="nearest-exact")
    # One row per pixel: the loss of whole maps has no deterministic implementation on a GPU.
    rows = logits.movedim(1, -1).flatten(end_dim=2)
    total = nn.functional.cross_entropy(rows, labels.flatten().long(), ignore_index=IGNORE_LABEL, reduction="sum")
    return total * world_size() / sum_over_ranks((labels != IGNORE_LABEL).sum()).clamp(min=1)
