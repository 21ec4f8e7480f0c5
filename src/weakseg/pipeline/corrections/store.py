"""What a person has said about the images of a run: one JSON per image, and one PNG per corrected mask.

Both lie in `RUN/corrections/`, under the id of the image (`weakseg.file_names.safe_path`). Stages never write there and
`--redo` never removes anything from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from weakseg.data.masks import encode_mask, read_mask
from weakseg.errors import ArtifactError, DataError, ShapeError
from weakseg.file_names import printable, safe_path
from weakseg.files import advise_on, write_bytes, write_json
from weakseg.pipeline.corrections.correction import KEEP_ADVICE, Correction, Verdict, read_correction
from weakseg.pipeline.lock import release_folder, take_folder
from weakseg.types import IGNORE_LABEL, ClassSet

LOCK_WAIT_S = 10.0
"""How long a writer waits for another process; each holds the lock for a single image."""

_LOCK_PAUSE_S = 0.02
_THREADS = threading.RLock()
"""The lock between processes lets a whole process in; this one lets in one of its threads."""


class EditConflict(ArtifactError):
    """Somebody else has changed what is said about an image since it was read.

    Args:
        message: One line.
        current: What is on disk now; None if nothing is.
    """

    def __init__(self, message: str, current: Correction | None) -> None:
        super().__init__(message)
        self.current = current


@dataclass(frozen=True)
class CorrectionCounts:
    """How many images of a run were corrected, and how.

    Args:
        images: Images of which something is said.
        right: Those whose mask was called right.
        wrong: Those whose mask was called wrong.
        masks: Those with a corrected mask.
        tags: Those with added or removed tags.
    """

    images: int
    right: int
    wrong: int
    masks: int
    tags: int

    def describe(self) -> str:
        """Say it in one line."""
        return (
            f"{_count(self.images, 'image')}: {_count(self.masks, 'corrected mask')}, {self.right} called right, "
            f"{self.wrong} called wrong, {self.tags} with other tags"
        )


class CorrectionStore:
    """Reads and writes the corrections of a run.

    Several processes and threads may use a store of the same folder at once: a write waits for the others, and one
    that does not know of the latest is refused.

    Args:
        root: The folder, `RunFolder.corrections`; made at the first write.
        classes: The classes of the run.
        size_of: Returns the (height, width) of an image by its id, or None for an image that is none of the run's.
            With it, masks of another size and images of others are refused; without it, neither can be known.
    """

    def __init__(
        self, root: Path, classes: ClassSet, *, size_of: Callable[[str], tuple[int, int] | None] | None = None
    ) -> None:
        self.root = root
        self.classes = classes
        self._size_of = size_of

    def read(self, sample_id: str) -> Correction | None:
        """Return what is said about an image, or None if nothing ever was.

        Raises:
            ArtifactError: If the file is damaged.
        """
        path = self.record_file(sample_id)
        correction = read_correction(path)
        if correction is not None and correction.id != sample_id:
            raise ArtifactError(
                f"{path} is about the image '{printable(correction.id)}', not '{printable(sample_id)}'; {KEEP_ADVICE}"
            )
        return correction

    def read_mask(self, sample_id: str) -> NDArray[np.uint8] | None:
        """Return the corrected mask of an image, or None if there is none.

        Returns:
            (H, W) uint8: 0 background, c+1 class c, 255 where nobody has looked.

        Raises:
            ArtifactError: If a file is damaged or missing, or the mask has labels or a size that cannot be.
        """
        correction = self.read(sample_id)
        if correction is None or not correction.has_mask:
            return None
        path = self.mask_file(sample_id)
        try:
            mask = read_mask(path)
            self._check_mask(sample_id, mask)
        except (DataError, ShapeError) as error:
            raise ArtifactError(f"corrected mask {path} cannot be used: {error}; {KEEP_ADVICE}") from None
        return mask

    def write(
        self, correction: Correction, mask: NDArray[np.uint8] | None = None, *, expected_revision: int
    ) -> Correction:
        """Write what is said about an image; it is on disk when this returns.

        Args:
            correction: All that is said now. Its `revision` and `changed_at` are not looked at.
            mask: (H, W) uint8, its new mask: 0 background, c+1 class c, 255 where nobody has looked. When None, the
                mask on disk stays if `correction.has_mask`, and goes if not.
            expected_revision: The revision that this change was made upon; 0 if there was none.

        Returns:
            What was written, with its new revision and time.

        Raises:
            EditConflict: If another revision is on disk.
            DataError: If a tag is none of the classes, the mask has another size than the image or a label outside the
                classes, or the image is none of the run's.
            ShapeError: If the mask is no (H, W) uint8 array.
            ArtifactError: If a file cannot be written, or the mask that shall stay is missing.
        """
        self._check_words(correction)
        if mask is not None:
            self._check_mask(correction.id, mask)
        with self._alone():
            self._require_revision(correction.id, expected_revision)
            path = self.mask_file(correction.id)
            if mask is None and correction.has_mask and not path.is_file():
                raise ArtifactError(f"there is no corrected mask {path} to keep; write the mask with its correction")
            written = replace(
                correction,
                has_mask=mask is not None or correction.has_mask,
                revision=expected_revision + 1,
                changed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            )
            if mask is not None:  # before the record: a process that is killed in between has lost nothing
                write_bytes(path, encode_mask(mask))
            write_json(self.record_file(correction.id), asdict(written))
            if not written.has_mask:
                _unlink(path)
        return written

    def remove(self, sample_id: str, *, expected_revision: int) -> None:
        """Forget all that is said about an image; its next revision is 1 again.

        To take everything back and still notice who has not seen it, write a correction that says nothing.

        Raises:
            EditConflict: If another revision is on disk.
            ArtifactError: If the system refuses.
        """
        with self._alone():
            self._require_revision(sample_id, expected_revision)
            _unlink(self.record_file(sample_id))
            _unlink(self.mask_file(sample_id))

    def __iter__(self) -> Iterator[Correction]:
        """Go through all corrections by the names of their files; raises an `ArtifactError` at a damaged one."""
        for path in sorted(self.root.rglob("*.json")):
            correction = None if path.name.startswith(".") else read_correction(path)
            if correction is not None:
                yield correction

    def summary(self) -> CorrectionCounts:
        """Count what is said; raises as iterating does."""
        said = [correction for correction in self if not correction.says_nothing]
        return CorrectionCounts(
            images=len(said),
            right=sum(correction.verdict == "right" for correction in said),
            wrong=sum(correction.verdict == "wrong" for correction in said),
            masks=sum(correction.has_mask for correction in said),
            tags=sum(bool(correction.added_tags or correction.removed_tags) for correction in said),
        )

    def record_file(self, sample_id: str) -> Path:
        """Return where the words about an image are kept."""
        return self.root / f"{safe_path(sample_id)}.json"

    def mask_file(self, sample_id: str) -> Path:
        """Return where the corrected mask of an image is kept."""
        return self.root / f"{safe_path(sample_id)}.png"

    def _require_revision(self, sample_id: str, expected: int) -> None:
        current = self.read(sample_id)
        found = 0 if current is None else current.revision
        if found == expected:
            return
        by = "" if current is None else f" by '{printable(current.source)}' at {current.changed_at}"
        raise EditConflict(
            f"'{printable(sample_id)}' was changed meanwhile{by}: expected revision {expected}, found {found}; load it "
            "again and repeat the change",
            current,
        )

    def _check_words(self, correction: Correction) -> None:
        name = printable(correction.id)
        if correction.verdict is not None and correction.verdict not in get_args(Verdict):
            raise DataError(f"'{name}': expected the verdict right, wrong or none, got '{correction.verdict}'")
        for tag in (*correction.added_tags, *correction.removed_tags):
            try:
                self.classes.index(tag)
            except DataError as error:
                raise DataError(f"'{name}': {error}") from None
        both = sorted(set(correction.added_tags) & set(correction.removed_tags))
        if both:
            raise DataError(f"'{name}': {', '.join(both)} cannot be added and removed at once; leave out one")
        if self._size_of is not None and self._size_of(correction.id) is None:
            raise DataError(f"'{name}' is no image of this run; its ids are those in image_scores.csv and masks/")

    def _check_mask(self, sample_id: str, mask: NDArray[np.uint8]) -> None:
        name = printable(sample_id)
        if mask.ndim != 2 or mask.dtype != np.uint8 or mask.size == 0:
            raise ShapeError(f"'{name}': expected a mask (H, W) uint8, got {mask.shape} {mask.dtype}")
        size_hw = None if self._size_of is None else self._size_of(sample_id)
        if size_hw is not None and mask.shape != tuple(size_hw):
            raise DataError(
                f"'{name}': expected a mask of {size_hw[1]} x {size_hw[0]} pixels like its image, got "
                f"{mask.shape[1]} x {mask.shape[0]}; draw it at the size of the image"
            )
        odd = unknown_labels(mask, self.classes)
        if odd:
            raise DataError(
                f"'{name}': expected labels 0..{self.classes.num_classes} and 255, got {', '.join(map(str, odd))}; "
                "give every pixel the number of one of the classes"
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _THREADS:
            taken = _take_patiently(self.root)
            try:
                yield
            finally:
                if taken:
                    release_folder(self.root)


def unknown_labels(mask: NDArray[np.uint8], classes: ClassSet) -> list[int]:
    """Return the labels of a mask (H, W) that are neither 0, nor a class's, nor 255."""
    used = np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORE_LABEL + 1))
    return [int(label) for label in used if classes.num_classes < label < IGNORE_LABEL]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _take_patiently(root: Path) -> bool:
    """Take the folder's lock, waiting for another process; returns what `take_folder` does."""
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return take_folder(root)
        except ArtifactError:
            if time.monotonic() > until:
                raise
        time.sleep(_LOCK_PAUSE_S)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot remove {path}: {advise_on(error)}") from error
