"""Which released checkpoint a network of a run was made of, as the header of its weights file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import NetworkFolder, load_info
from weakseg.pipeline.networks import RELEASED, load_history

DIGITS = 12
"""How many digits of a SHA-256 tell files apart in a sentence."""


@dataclass(frozen=True)
class Origin:
    """The released checkpoint that a network of a run was made of.

    Args:
        file: Its path then.
        sha256: SHA-256 of its bytes, hexadecimal.
        kind: What it is, see `weakseg.models.weights.load_official`.
        mean_average_precision: That of a classifier on the validation split, 0..1; None if undefined, or for others.
    """

    file: str
    sha256: str
    kind: str
    mean_average_precision: float | None = None

    def __str__(self) -> str:
        return describe_released(self.file, self.sha256)


def describe_released(file: str, sha256: str) -> str:
    """Say of a network which released checkpoint it is."""
    return f"released checkpoint {Path(file).name} (SHA-256 {sha256[:DIGITS]}...), not trained here"


def read_origin(folder: NetworkFolder) -> Origin | None:
    """Return the released checkpoint that a network was made of, or None for one that was trained.

    Raises:
        ArtifactError: If the weights file is missing or damaged.
    """
    entry = load_info(folder.model).get(RELEASED)
    if entry is None:
        return None
    try:
        return Origin(**entry)  # type: ignore[arg-type]
    except TypeError as error:
        raise ArtifactError(f"{folder.model}: damaged, it says of its origin {entry!r}; make it again") from error


def read_map(folder: NetworkFolder) -> float | None:
    """Return the mean average precision of a run's classifier on the validation split, 0..1, as it is used.

    Returns:
        That after the last epoch, or of the released checkpoint; None without a validation split, None or NaN if no
        image of it shows a class.

    Raises:
        ArtifactError: If a file of the classifier is missing or damaged.
    """
    origin = read_origin(folder)
    return load_history(folder)[-1].metrics.get("map") if origin is None else origin.mean_average_precision
