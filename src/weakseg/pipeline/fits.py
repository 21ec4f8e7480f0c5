"""Numbers in the place of a refiner's `auto`, once the run knows where its seeds would be cut.

`weakseg.pipeline.fitting` finds that out; here it is read.
"""

from __future__ import annotations

from weakseg.config.fits import fit_settings, list_fits
from weakseg.config.schema import RefineConfig
from weakseg.pipeline.context import Context
from weakseg.pipeline.threshold_file import load_choice


def fitted_section(context: Context) -> RefineConfig:
    """Return the recipe's section `refine` with numbers alone in the chosen refiner's settings.

    Raises:
        ArtifactError: If some say `auto`, and `seed_threshold.json` is missing or damaged.
    """
    section = context.config.refine
    if not list_fits(section):
        return section
    return fit_settings(section, load_choice(context.folder.seed_threshold).threshold)
