"""Context decoupling augmentation: every training image is shown twice, as it is and with a donor pasted into it.

Su et al. (CDA, ICCV 2021) train a classifier on pairs of a plain image and the same image with an object of another
class in it, so that the object is seen out of its usual context. Half of a batch is plain, half is pasted; the tags of
the pasted half are those of host and donor together. An epoch shows every image plain and pasted, so it has twice the
steps of an ordinary one.

This works for every network that learns from crops and tags: `train_on_pairs` takes the loss as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.data.base import Dataset
from weakseg.data.crops import Batch, CropSet
from weakseg.data.donors import DonorPool
from weakseg.data.pairs import PairedCrops, load_pairs
from weakseg.data.pasting import PasteSettings
from weakseg.data.transforms import Augmentation
from weakseg.spelling import require_option
from weakseg.train.loop import EpochRecord
from weakseg.train.optim import build_schedule
from weakseg.train.plan import (
    NO_HOOKS,
    Trainable,
    TrainingHooks,
    TrainingPlan,
    each_epoch,
    train_on_crops,
    train_on_epochs,
)

CompatName = Literal["none", "released"]

COMPAT: tuple[CompatName, ...] = ("none", "released")


@dataclass(frozen=True, eq=False)
class Pasting:
    """What a training pastes, and how.

    Args:
        donors: What to paste.
        settings: How to paste it.
        compat: Whose learning rate, see `train_on_pairs`.
    """

    donors: DonorPool
    settings: PasteSettings = field(default_factory=PasteSettings)
    compat: CompatName = "none"


def build_pair_schedule(
    optimizer: Optimizer, plan: TrainingPlan, *, steps: int, released_steps: int | None
) -> LambdaLR:
    """Build the schedule of a training on pairs.

    The released code counts the steps as if a batch held `batch_size` different images. Batches hold half as many, so
    that its training goes on for as long again after the decay has ended, at the rate of the decay's last step: of
    `poly`, `released_steps ** -power` of the base rate, which is about zero.

    Args:
        optimizer: See `weakseg.train.optim.build_schedule`.
        plan: Schedule, power and share of the rise.
        steps: Number of updates of the whole training.
        released_steps: The number that the released code takes for `steps`; None to decay over all of them.
    """
    schedule = build_schedule(
        optimizer,
        name=plan.schedule,
        steps=steps if released_steps is None else released_steps,
        power=plan.power,
        warmup_share=plan.warmup_share,
    )
    if released_steps is not None:
        last = released_steps - 1
        schedule.lr_lambdas = [partial(_hold_after, factor=f, last=last) for f in schedule.lr_lambdas]
    return schedule


def _hold_after(step: int, *, factor: Callable[[int], float], last: int) -> float:
    return factor(min(step, last))


def train_on_pairs(
    model: Trainable,
    crops: PairedCrops,
    plan: TrainingPlan,
    *,
    loss: Callable[[nn.Module, Batch], Tensor],
    compat: CompatName = "none",
    validate: Callable[[], Mapping[str, float]] | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a network in place on plain and pasted crops; takes the place of `weakseg.train.plan.train_on_crops`.

    Without any donor that function is called, with the same images, so that training goes on as if CDA was off.

    Args:
        model: On its device; says which parameters are backbone and which are head.
        crops: The training images and donors; carries the seed.
        plan: How to train. `batch_size` counts plain and pasted images; an epoch has twice the steps of an ordinary
            one.
        loss: Computes a batch's scalar loss by calling the module it is given.
        compat: `none` decays the learning rate over the steps that are made; `released` over half of them, as the
            released code does.
        validate: Computes metrics after each epoch.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch, those before a resumption included.

    Raises:
        ConfigError: If there is no such `compat` or schedule, or the batch cannot be shared out, see `load_pairs`.
    """
    require_option(compat, COMPAT, what="cda.compat")
    if not len(crops.donors):
        plain = CropSet(crops.dataset, crops.augmentation, seed=crops.seed)
        return train_on_crops(model, plain, plan, loss=loss, validate=validate, hooks=hooks)
    load_epoch = each_epoch(load_pairs, crops, plan)
    released_steps = plan.epochs * max(1, len(crops.dataset) // plan.batch_size) if compat == "released" else None

    def make_schedule(optimizer: Optimizer, steps: int) -> LambdaLR:
        return build_pair_schedule(optimizer, plan, steps=steps, released_steps=released_steps)

    return train_on_epochs(
        model,
        load_epoch,
        plan,
        loss=loss,
        seed=crops.seed,
        make_schedule=make_schedule,
        validate=validate,
        hooks=hooks,
    )


def train_on_tags(
    model: Trainable,
    train: Dataset,
    plan: TrainingPlan,
    *,
    augmentation: Augmentation,
    seed: int,
    pasting: Pasting | None,
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[], Mapping[str, float]] | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a network in place on images and tags, with donors pasted in (`train_on_pairs`) or without.

    Args:
        model: On its device.
        train: Images and tags to learn from.
        plan: How to train.
        augmentation: Random changes of the training images.
        seed: Seed of order, pasting and augmentation.
        pasting: What to paste, or None for `weakseg.train.plan.train_on_crops` on plain images.
        loss: See `train_on_pairs`, as for the rest.
        validate: See there.
        hooks: See there.
    """
    if pasting is None:
        plain = CropSet(train, augmentation, seed=seed)
        return train_on_crops(model, plain, plan, loss=loss, validate=validate, hooks=hooks)
    pairs = PairedCrops(train, augmentation, seed=seed, donors=pasting.donors, settings=pasting.settings)
    return train_on_pairs(model, pairs, plan, loss=loss, compat=pasting.compat, validate=validate, hooks=hooks)
