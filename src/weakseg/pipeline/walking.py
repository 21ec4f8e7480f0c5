"""A run's IRNet and the walk with its recipe's settings, for studies that score what walked."""

from __future__ import annotations

from weakseg.pipeline.context import Context
from weakseg.pipeline.networks import load_irnet
from weakseg.pipeline.seeds import REFINER
from weakseg.refine.irn_walker import Walker


def open_walker(context: Context) -> Walker:
    """Load a run's IRNet, to walk with the settings of its recipe.

    Raises:
        ArtifactError: If it is missing, damaged or another network.
    """
    irnet, _ = load_irnet(context.folder.network(REFINER).model, context.device)
    return Walker(irnet, context.config.refine.irn)
