"""What bringing corrected masks back will change, worked out before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from weakseg.data.export.specks import Specks
from weakseg.data.masks import encode_mask, read_mask
from weakseg.errors import DataError
from weakseg.file_names import printable
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.pipeline.corrections.correction import Correction, Verdict
from weakseg.pipeline.corrections.store import CorrectionStore, unknown_labels
from weakseg.pipeline.run_folder import RunFolder
from weakseg.types import IGNORE_LABEL

ACCEPTED = "accepted"
"""Source of a correction that calls the run's own mask right."""

EDITED = "masks"
"""Source of a correction that was an edited file of `RUN/masks`."""


@dataclass(frozen=True)
class Change:
    """One correction to write.

    Args:
        correction: What is said.
        png: The mask, packed; None keeps the one that is there.
        revision: The revision it is made upon.
    """

    correction: Correction
    png: bytes | None
    revision: int


@dataclass
class Plan:
    """What is to be written, and what cannot be.

    Args:
        changes: By image id.
        faults: A line for every entry that cannot be used.
        unchanged: Images whose mask came back as the run has made it.
        known: Images of which the corrections say the same already.
        accepted: Images whose mask is called right.
    """

    changes: dict[str, Change] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    known: int = 0
    accepted: int = 0


class Receiver:
    """Turns what a reader has found into changes, one image after the other.

    Args:
        folder: The run's files.
        known: Its images.
        store: Its corrections.
        plan: Receives the changes.
        replace_others: Whether corrections of another source are replaced.
    """

    def __init__(
        self, folder: RunFolder, known: KnownImages, store: CorrectionStore, plan: Plan, replace_others: bool
    ) -> None:
        self._folder, self._known, self._store, self.plan = folder, known, store, plan
        self._replace_others = replace_others
        self._places: dict[str, str] = {}

    def take(self, brought: Brought, *, source: str) -> None:
        """Plan what one entry changes, or note why it cannot be used."""
        try:
            self._take(brought, source)
        except DataError as error:
            self.plan.faults.append(f"{printable(brought.where)}: {error}")

    def _take(self, brought: Brought, source: str) -> None:
        sample_id = self._known.find(brought.image) if brought.image else ""
        if brought.mask is None:
            raise DataError(brought.fault or "the mask cannot be read")
        self._require_fit(sample_id, brought.mask)
        if sample_id in self._places:
            raise DataError(f"'{printable(sample_id)}' has a mask at {self._places[sample_id]} already; keep one")
        self._places[sample_id] = brought.where
        current = self._store.read(sample_id)
        if current is not None and current.has_mask and _equal(self._store.read_mask(sample_id), brought.mask):
            self.plan.known += 1
            return
        if source != EDITED and _is_unchanged(self._folder, sample_id, brought.mask):
            self.plan.unchanged.append(sample_id)
            return
        if brought.doubt is not None and not _has_void(self._folder, sample_id):
            raise DataError(brought.doubt)
        if current is not None and current.has_mask and current.source != source and not self._replace_others:
            raise DataError(
                f"'{printable(sample_id)}' was corrected otherwise by '{printable(current.source)}' at "
                f"{current.changed_at}; add --replace to take this mask instead"
            )
        base = Correction(sample_id) if current is None else current
        changed = replace(base, verdict=None, has_mask=True, source=source)
        self.plan.changes[sample_id] = Change(changed, encode_mask(brought.mask), base.revision)

    def _require_fit(self, sample_id: str, mask: NDArray[np.uint8]) -> None:
        size_hw = self._known.size_of(sample_id)
        if mask.shape != size_hw:
            raise DataError(
                f"expected a mask of {size_hw[1]} x {size_hw[0]} pixels like its image, got {mask.shape[1]} x "
                f"{mask.shape[0]}; export it at the size of the image"
            )
        odd = unknown_labels(mask, self._known.classes)
        if odd:
            raise DataError(
                f"expected labels 0..{self._known.classes.num_classes} and 255, got {', '.join(map(str, odd))}; number "
                "the classes as the run does, or add a labelmap.txt"
            )


def _is_unchanged(folder: RunFolder, sample_id: str, mask: NDArray[np.uint8]) -> bool:
    """Say whether a mask is the run's own, or what an export makes of that: without void, and without specks."""
    path = folder.mask(sample_id)
    if not path.is_file():
        return False
    own = read_mask(path)
    if _equal(own, mask):
        return True
    forms = (own, Specks(None).clear(own))
    return any(_equal(np.where(form == IGNORE_LABEL, np.uint8(0), form), mask) for form in forms)


def _has_void(folder: RunFolder, sample_id: str) -> bool:
    path = folder.mask(sample_id)
    return path.is_file() and bool((read_mask(path) == IGNORE_LABEL).any())


def _equal(one: NDArray[np.uint8] | None, other: NDArray[np.uint8]) -> bool:
    return one is not None and np.array_equal(one, other)


def accept_mask(folder: RunFolder, store: CorrectionStore, sample_id: str, plan: Plan) -> None:
    """Plan to call an image's mask right. The run's own is kept with that word, as another run makes another mask.

    Raises:
        ArtifactError: If what is said of the image so far is damaged.
    """
    right: Verdict = "right"
    planned = plan.changes.get(sample_id)
    if planned is not None:
        plan.changes[sample_id] = replace(planned, correction=replace(planned.correction, verdict=right))
        plan.accepted += 1
        return
    current = store.read(sample_id)
    base = Correction(sample_id) if current is None else current
    if base.has_mask:
        if base.verdict == right:
            plan.known += 1
            return
        plan.changes[sample_id] = Change(replace(base, verdict=right), None, base.revision)
    else:
        path = folder.mask(sample_id)
        if not path.is_file():
            plan.faults.append(f"'{printable(sample_id)}' has no mask in {folder.masks} to call right")
            return
        accepted = replace(base, verdict=right, has_mask=True, source=ACCEPTED)
        plan.changes[sample_id] = Change(accepted, encode_mask(read_mask(path)), base.revision)
    plan.accepted += 1
