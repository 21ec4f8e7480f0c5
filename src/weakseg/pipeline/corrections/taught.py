"""What a run has been taught: the corrections of another run, copied once before its first stage.

The copy never changes. `RUN/corrections` may, while somebody looks at the new masks; what is said there teaches the run
after this one. Stages look at the copy alone, and their fingerprints cover what they take from it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, DataError
from weakseg.file_names import printable, safe_path
from weakseg.files import JsonValue
from weakseg.pipeline.records import CONTENTS, DIGEST_BYTES
from weakseg.pipeline.run_folder import RunFolder
from weakseg.types import ClassSet, Sample

CORRECTED_MASKS = "corrected masks"
CORRECTED_TAGS = "images with corrected tags"
WRONG_MASKS = "wrong masks that teach nothing"
"""How many there are, in the fingerprints of the stages that learn from them."""


@dataclass(frozen=True)
class TaughtImage:
    """What a run is taught of one image.

    Args:
        id: The image.
        mask: Digest of its corrected mask, see `digest_mask`; None without one that teaches.
        is_right: Whether a person has called that mask right.
        is_wrong: Whether a person has called the run's mask wrong and given no other.
        added_tags: Names of classes that it shows although its tags do not say so.
        removed_tags: Names of classes that its tags say and it does not show.
    """

    id: str
    mask: str | None = None
    is_right: bool = False
    is_wrong: bool = False
    added_tags: tuple[str, ...] = ()
    removed_tags: tuple[str, ...] = ()

    @property
    def has_tags(self) -> bool:
        """Whether its tags are others than those of the data."""
        return bool(self.added_tags or self.removed_tags)

    @property
    def teaches(self) -> bool:
        """Whether anything is said at all."""
        return self.mask is not None or self.is_wrong or self.has_tags


@dataclass(frozen=True)
class TaughtCounts:
    """How much a run is taught.

    Args:
        masks: Images of the training split with a corrected mask, or one that was called right.
        right: Those whose mask was called right.
        wrong: Images of the training split whose mask teaches nothing, since it was called wrong.
        tags: Images of all splits with corrected tags.
        others: Corrected masks of images that are not trained on: masks of the run, and no more.
    """

    masks: int
    right: int
    wrong: int
    tags: int
    others: int

    def describe(self) -> str:
        """Say it in one line."""
        right = f" ({self.right} of them called right)" if self.right else ""
        parts = [f"{_count(self.masks, 'corrected mask')}{right}"] if self.masks else []
        parts += [f"{_count(self.tags, 'image')} with corrected tags"] if self.tags else []
        parts += [f"{_count(self.wrong, 'wrong mask')} left out"] if self.wrong else []
        parts += [f"{_count(self.others, 'corrected mask')} of images that do not teach"] if self.others else []
        return ", ".join(parts) or "nothing"


@dataclass(frozen=True, eq=False)
class Taught:
    """All that a run is taught.

    Args:
        masks: Folder of the corrected masks, `<id>.png`.
        source: The run whose corrections these were, an absolute path; it may be gone.
        classes: The classes that masks and tags are of.
        images: What is taught of each image, by its id.
    """

    masks: Path
    source: str
    classes: ClassSet
    images: Mapping[str, TaughtImage]

    def has_mask(self, sample_id: str) -> bool:
        """Say whether an image has a corrected mask."""
        return sample_id in self.images and self.images[sample_id].mask is not None

    def is_wrong(self, sample_id: str) -> bool:
        """Say whether an image's mask teaches nothing."""
        return sample_id in self.images and self.images[sample_id].is_wrong

    def read_mask(self, sample_id: str) -> NDArray[np.uint8] | None:
        """Return the corrected mask of an image, or None if it has none.

        Returns:
            (H, W) uint8: 0 background, c+1 class c, 255 where nobody has looked.

        Raises:
            ArtifactError: If it is gone, or not what it was when the run began.
        """
        if not self.has_mask(sample_id):
            return None
        path = self.masks / f"{safe_path(sample_id)}.png"
        try:
            mask = read_mask(path)
        except DataError as error:
            raise ArtifactError(f"{path}, which the run learns from, cannot be read: {error}; {_AGAIN}") from None
        if digest_mask(mask) != self.images[sample_id].mask:
            raise ArtifactError(f"{path}, which the run learns from, is not what it was when the run began; {_AGAIN}")
        return mask

    def correct(self, dataset: Dataset) -> Dataset:
        """Return a split with the tags that a person has corrected."""
        return replace(dataset, samples=tuple(self._correct_tags(sample) for sample in dataset))

    def _correct_tags(self, sample: Sample) -> Sample:
        taught = self.images.get(sample.id)
        if taught is None or not taught.has_tags:
            return sample
        tags, known = sample.tags.copy(), sample.known.copy()
        for names, value in ((taught.removed_tags, 0), (taught.added_tags, 1)):
            for name in names:
                tags[self.classes.index(name)], known[self.classes.index(name)] = value, True
        return replace(sample, tags=tags, known=known)

    def count(self, train: Dataset, val: Dataset | None) -> TaughtCounts:
        """Count what is taught of the images that a run uses."""
        of_train = [self.images[sample.id] for sample in train if sample.id in self.images]
        known = {image.id for image in of_train}
        others = [self.images[s.id] for s in val or () if s.id in self.images and s.id not in known]
        return TaughtCounts(
            masks=sum(image.mask is not None for image in of_train),
            right=sum(image.is_right for image in of_train),
            wrong=sum(image.is_wrong for image in of_train),
            tags=sum(image.has_tags for image in (*of_train, *others)),
            others=sum(image.mask is not None for image in others),
        )

    def name_masks(self, datasets: Iterable[Dataset]) -> dict[str, JsonValue]:
        """Name the corrected masks of some images for the fingerprint of the masks; nothing where there are none."""
        used = {image.id: image.mask for image in self._of(datasets) if image.mask is not None}
        return {f"{CONTENTS}{CORRECTED_MASKS}": _digest(used), CORRECTED_MASKS: len(used)} if used else {}

    def name_lessons(self, train: Dataset) -> dict[str, JsonValue]:
        """Name what training on masks depends on besides these: which were corrected, which are wrong."""
        corrected = [image.id for image in self._of([train]) if image.mask is not None]
        wrong = [image.id for image in self._of([train]) if image.is_wrong]
        parts: dict[str, JsonValue] = {}
        for name, ids in ((CORRECTED_MASKS, corrected), (WRONG_MASKS, wrong)):
            if ids:
                parts |= {f"{CONTENTS}images with {name}": _digest({key: name for key in ids}), name: len(ids)}
        return parts

    def name_tags(self, datasets: Iterable[Dataset]) -> dict[str, JsonValue]:
        """Name how many images have corrected tags; their tags themselves are among those of the images."""
        number = len({image.id for image in self._of(datasets) if image.has_tags})
        return {CORRECTED_TAGS: number} if number else {}

    def _of(self, datasets: Iterable[Dataset]) -> Iterator[TaughtImage]:
        for dataset in datasets:
            for sample in dataset:
                if sample.id in self.images:
                    yield self.images[sample.id]

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "images": [asdict(image) for _, image in sorted(self.images.items())],
        }


_AGAIN = "begin the run again in another --out"


def read_taught(folder: RunFolder) -> Taught | None:
    """Read what a run is taught; None for one that is taught nothing.

    Raises:
        ArtifactError: If the file is damaged.
    """
    path = folder.taught_index
    try:
        document = decode_json(path.read_text(encoding="utf-8"))
        images = {entry["id"]: _parse(entry) for entry in document["images"]}
        return Taught(folder.taught, str(document["source"]), ClassSet(tuple(document["classes"])), images)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); {_AGAIN}") from None


def comparing_command(folder: RunFolder) -> str | None:
    """Return the command that shows what corrections have changed; None for a run without, or whose source has gone.

    Raises:
        ArtifactError: If the file that names the source is damaged.
    """
    taught = read_taught(folder)
    if taught is None or not RunFolder(Path(taught.source)).recipe.is_file():
        return None
    source, here = Path(taught.source), Path.cwd()
    if source.is_relative_to(here) and not folder.root.is_absolute():
        source = source.relative_to(here)
    return f"weakseg report {shlex.quote(printable(str(source)))} {shlex.quote(printable(str(folder.root)))}"


def require_classes(taught: Taught, classes: ClassSet, folder: RunFolder) -> None:
    """Raise an `ArtifactError` if the numbers in the masks that a run was taught mean other classes now."""
    if taught.classes.names != classes.names:
        raise ArtifactError(
            f"{folder.taught_index}: the run learns from corrections of the classes {_list(taught.classes)}, but the "
            f"data now have {_list(classes)}; put the classes back as they were, or begin another run"
        )


def digest_mask(mask: NDArray[np.uint8]) -> str:
    """Digest a mask (H, W) uint8 by its size and labels, however it is packed."""
    digest = hashlib.blake2b(json.dumps(mask.shape).encode(), digest_size=DIGEST_BYTES)
    digest.update(np.ascontiguousarray(mask).tobytes())
    return digest.hexdigest()


def _parse(entry: dict[str, object]) -> TaughtImage:
    """Build an entry from what JSON held; JSON has lists where it has tuples."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return TaughtImage(**values)  # type: ignore[arg-type]


def _digest(named: Mapping[str, str | None]) -> str:
    return hashlib.blake2b(json.dumps(sorted(named.items())).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _list(classes: ClassSet) -> str:
    return ", ".join(printable(name) for name in classes)
