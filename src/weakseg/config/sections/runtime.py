"""Settings of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RuntimeConfig:
    """How to compute; changes no result but for rounding, and no fingerprint.

    Args:
        device: `auto` takes a CUDA GPU when there is one; or `cpu`, `cuda`, `cuda:1`, ...
        workers: Processes that decode and augment images; 0 does it in the main process.
        seed: Seed of initialisation, shuffling and augmentation. Unlike the others it does change results, and it
            is part of the fingerprint of every stage that draws at random.
        max_partners_at_once: RIB passes so many partners through the network together; less needs less memory. Null
            for all.
        images_at_once: On a GPU, images of one size whose passes through the classifier are joined (`cam`, `lpcam`). 1
            joins none; more keep a GPU busier, and results agree up to the rounding of sums.
        cache_mb: Memory, in MB, for decoded and shrunk training images, shared by the processes of this machine; what
            does not fit is decoded in every epoch. 0 keeps none.
        disk_cache_mb: Disk, in MB, for copies of images that lie elsewhere (a URL, tar shards there), shared by all
            processes of this machine; what was used last stays. 0 keeps none.
        validate: After which epochs the classifier's mAP on `val` is measured: `every` one, or only the `last`, which
            saves a pass over `val` in each of the others.
        save_every_s: A training is saved every so many seconds, besides after each epoch; 0 for after every step, null
            for after epochs only.
        track: Who follows the run: `tensorboard`, `mlflow`, both or nobody. Needs the extra `track`.
    """

    device: str = "auto"
    workers: int = 2
    seed: int = 0
    max_partners_at_once: int | None = None
    images_at_once: int = 1
    cache_mb: int = 1024
    disk_cache_mb: int = 20_000
    validate: Literal["every", "last"] = "every"
    save_every_s: float | None = 300.0
    track: tuple[Literal["tensorboard", "mlflow"], ...] = ()
