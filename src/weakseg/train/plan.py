"""The settings every training shares, and the one function that turns them into a call of `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from weakseg.config.sections.training import AugmentConfig
from weakseg.data.crops import Batch, CropSet, EpochOfCrops, load_crops
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError
from weakseg.models.affinitynet import AffinityNet
from weakseg.models.classifier import Classifier
from weakseg.models.deeplab import EveryScale
from weakseg.models.irnet import IRNet
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.train.distributed import rank, world_size
from weakseg.train.loop import EpochRecord, Tick, TrainState, fit
from weakseg.train.optim import OptimizerName, ScheduleName, build_optimizer, build_schedule


@dataclass(frozen=True)
class TrainingPlan:
    """How long, in what portions and at what rate to train.

    Args:
        epochs: Passes over the images.
        batch_size: Images per step over all processes together.
        schedule: `poly` or `one_cycle`.
        learning_rate: Base (`poly`) or peak (`one_cycle`) rate of the backbone.
        head_multiplier: Factor of the head's rate.
        momentum: Momentum of SGD; AdamW has no use for it.
        weight_decay: See `weakseg.train.optim.build_optimizer`.
        power: Exponent of `poly`.
        warmup_share: Share of the steps in which `one_cycle` rises.
        workers: Processes that decode and augment; changes no result.
        accumulate: In how many parts each process passes its share of a batch through the network, see `fit`.
        optimizer: `sgd` or `adamw`.
        max_gradient_norm: Larger gradients are scaled down to it, see `fit`.
        cache_bytes: Memory for decoded training images, see `weakseg.data.crops.CropSet.keep_images`; changes no
            result.
        validates_last_only: Whether metrics are computed after the last epoch only; changes no network.

    Raises:
        ConfigError: If one of the numbers of epochs, images and parts is below 1.
    """

    epochs: int
    batch_size: int
    schedule: ScheduleName
    learning_rate: float
    head_multiplier: float
    momentum: float
    weight_decay: float
    power: float
    warmup_share: float
    workers: int
    accumulate: int = 1
    optimizer: OptimizerName = "sgd"
    max_gradient_norm: float | None = None
    cache_bytes: int = 0
    validates_last_only: bool = False

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size), ("accumulate", self.accumulate)):
            if value < 1:
                raise ConfigError(f"{name}: expected at least 1, got {value}")


@dataclass(frozen=True, eq=False)
class TrainingHooks:
    """Where a training reports to and goes on from.

    Args:
        resume: State to go on from, or None to begin.
        after_epoch: Receives the state to store and the epoch's record.
        within_epoch: Receives further states to store.
        save_every_s: How often, see `fit`.
        tick: Progress.
    """

    resume: TrainState | None = None
    after_epoch: Callable[[TrainState, EpochRecord], None] | None = None
    within_epoch: Callable[[TrainState], None] | None = None
    save_every_s: float | None = None
    tick: Tick | None = None


NO_HOOKS = TrainingHooks()

Crops = TypeVar("Crops", bound=CropSet, contravariant=True)

Trainable = AffinityNet | Classifier | EveryScale | IRNet | SegmentationNetwork
"""Networks that say which of their parameters learn at the base rate and which at the rate of the head."""


def make_augmentation(config: AugmentConfig) -> Augmentation:
    """Turn the section of a recipe into the transforms' own settings."""
    return Augmentation(
        long_side_px=config.long_side_px, crop_px=config.crop_px, flip=config.flip, colour=config.colour
    )


def train_on_crops(
    model: Trainable,
    crops: CropSet,
    plan: TrainingPlan,
    *,
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[], Mapping[str, float]] | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a network in place on random crops, with two learning rates.

    Args:
        model: On its device; says which parameters are backbone and which are head.
        crops: The training images; carries the seed.
        plan: How to train.
        loss: Computes a batch's scalar loss by calling the module it is given.
        validate: Computes metrics after each epoch.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch, those before a resumption included.
    """
    load_epoch = each_epoch(load_crops, crops, plan)
    return train_on_epochs(model, load_epoch, plan, loss=loss, seed=crops.seed, validate=validate, hooks=hooks)


class LoadEpoch(Protocol[Crops]):
    """Makes up this rank's batches of an epoch, as `weakseg.data.crops.load_crops` does."""

    def __call__(
        self, crops: Crops, /, *, epoch: int, batch_size: int, workers: int, rank: int, world_size: int
    ) -> EpochOfCrops:
        """Return the batches."""
        ...


def each_epoch(load: LoadEpoch[Crops], crops: Crops, plan: TrainingPlan) -> Callable[[int], EpochOfCrops]:
    """Return what makes up the batches of an epoch.

    The images are decoded once, as far as the plan's cache goes, unless they are looked at only once anyway.
    """
    if plan.epochs > 1:
        crops.keep_images(max_bytes=plan.cache_bytes, threads=max(1, plan.workers))

    def load_epoch(epoch: int) -> EpochOfCrops:
        return load(
            crops,
            epoch=epoch,
            batch_size=plan.batch_size,
            workers=plan.workers,
            rank=rank(),
            world_size=world_size(),
        )

    return load_epoch


def train_on_epochs(
    model: Trainable,
    load_epoch: Callable[[int], EpochOfCrops],
    plan: TrainingPlan,
    *,
    loss: Callable[[nn.Module, Batch], Tensor],
    seed: int,
    make_schedule: Callable[[Optimizer, int], LambdaLR] | None = None,
    validate: Callable[[], Mapping[str, float]] | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a network in place on batches that somebody else makes up; `train_on_crops` tells the rest.

    Args:
        model: See `train_on_crops`.
        load_epoch: Returns an epoch's batches; all epochs have equally many.
        plan: See `train_on_crops`; what concerns the making of batches is not looked at.
        loss: See `train_on_crops`.
        seed: Seed of the layers that draw random numbers.
        make_schedule: Turns the optimiser and the number of updates into a schedule; None for the plan's.
        validate: See `train_on_crops`.
        hooks: See `train_on_crops`.

    Returns:
        One record per epoch.
    """
    optimizer = build_optimizer(
        model.backbone_parameters(),
        model.head_parameters(),
        name=plan.optimizer,
        learning_rate=plan.learning_rate,
        head_multiplier=plan.head_multiplier,
        momentum=plan.momentum,
        weight_decay=plan.weight_decay,
    )
    steps = plan.epochs * len(load_epoch(0))
    if make_schedule is None:
        schedule = build_schedule(
            optimizer, name=plan.schedule, steps=steps, power=plan.power, warmup_share=plan.warmup_share
        )
    else:
        schedule = make_schedule(optimizer, steps)
    return fit(
        model,
        loss=loss,
        load_epoch=load_epoch,
        optimizer=optimizer,
        schedule=schedule,
        epochs=plan.epochs,
        seed=seed,
        accumulate=plan.accumulate,
        max_gradient_norm=plan.max_gradient_norm,
        validates_last_only=plan.validates_last_only,
        resume=hooks.resume,
        validate=validate,
        after_epoch=hooks.after_epoch,
        within_epoch=hooks.within_epoch,
        save_every_s=hooks.save_every_s,
        tick=hooks.tick,
    )
