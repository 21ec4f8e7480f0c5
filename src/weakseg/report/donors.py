"""The report's section on context decoupling: what was cut out of which class, and what pasted images look like."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from PIL import Image

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.scoring.scores import percent


@dataclass(frozen=True)
class DonorRow:
    """What was found of one class, all of it texts."""

    name: str
    found: str
    kept: str
    mean_share: str


@dataclass(frozen=True)
class DonorSection:
    """What the section shows.

    Args:
        rows: One per class.
        sheet: Data URI of the sheet of pasted images.
        size_wh: Its width and height in pixels.
    """

    rows: tuple[DonorRow, ...]
    sheet: str
    size_wh: tuple[int, int]


def build_donor_section(folder: RunFolder) -> DonorSection | None:
    """Gather the section, or return None for a classifier that saw no pasted objects.

    Raises:
        ArtifactError: If one of its files is missing or damaged.
    """
    network = folder.network("classifier")
    if not network.donors.is_file():
        return None
    try:
        entries = decode_json(network.donors.read_text(encoding="utf-8"))
        rows = tuple(
            DonorRow(entry["name"], f"{entry['found']:,}", f"{entry['kept']:,}", percent(entry["mean_share"]))
            for entry in entries
        )
        with Image.open(network.pasted_sheet) as sheet:
            size_wh = sheet.size
        source = "data:image/png;base64," + base64.b64encode(network.pasted_sheet.read_bytes()).decode("ascii")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"what {network.root} tells of pasted objects is damaged ({error!r}); run with --redo classify"
        ) from None
    return DonorSection(rows, source, size_wh)
