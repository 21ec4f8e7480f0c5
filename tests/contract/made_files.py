"""The files that every registered method makes of a few images, in one process or in several."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.contract.test_methods import SAVED, build_network, make_refine_config
from tests.pipeline.made_context import AUGMENT, make_context
from tests.pipeline.saved_networks import CLASSES, save_classifier
from tests.tiny import SIZE_HW, make_dataset
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.pipeline.refiners import make_masks
from weakseg.pipeline.runtime import joined_processes
from weakseg.pipeline.seeds import REFINER
from weakseg.pipeline.stages import localize
from weakseg.registry import LOCALIZERS, REFINERS
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import ScoreMaps

TAGS = ((0,), (1, 2), (), (0,), (2,))
"""An odd number of images, one of them without tags: the processes hold unequal shares."""

SIZES_HW = (SIZE_HW, (40, 26))
ONCE = (
    ("localize.splits", ("train",)),
    ("localize.rib.iterations", 2),
    ("localize.rib.partners", 1),
    ("localize.rib.partner_augment", AUGMENT),
)


def make_files(root: Path, images: Path) -> None:
    """Localise with every localiser, and refine random seeds with every refiner -> `<root>/<method>/`."""
    train = make_dataset(images, TAGS, sizes_hw=SIZES_HW)
    for name in LOCALIZERS.names():
        chosen: tuple[tuple[str, object], ...] = (("localize.method", name),)
        if name in SAVED:
            if rank() == 0:
                SAVED[name](root / f"{name}-network")
            wait_for_all()
            chosen = (*chosen, (f"localize.{name}.model", str(root / f"{name}-network")))
        context = make_context(root / name, (train, None), *ONCE, *chosen)
        save_classifier(context.folder.network("classifier"))
        wait_for_all()
        localize(context)
    for name in REFINERS.names():
        make_masks(context := open_refined(root / name, train, name), seeded_datasets(context))


def open_refined(root: Path, train: Dataset, name: str) -> Context:
    """Return a run with random seeds and, for a refiner that trains one, a random network."""
    chosen = (("refine", make_refine_config().refine), ("refine.method", name))
    context = make_context(root, (train, None), *ONCE, *chosen)
    network, settings = build_network(name), context.config.refine.network
    if network is not None:
        assert settings is not None
        save_network(
            context.folder.network(REFINER),
            network,
            describe_network(settings, CLASSES, kind=REFINER, weights_from="random"),
            (),
        )
    generator = torch.Generator().manual_seed(0)
    for place, sample in enumerate(train):
        maps = torch.rand(len(sample.keys), 6, 8, generator=generator)
        if rank() == 0:
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), SIZES_HW[place % 2]))
    wait_for_all()
    return context


def make_files_together(root: Path) -> None:
    """Make them as one of several processes, each with images of its own."""
    with joined_processes(torch.device("cpu")):
        make_files(root, Path(f"{root}_images_{rank()}"))
