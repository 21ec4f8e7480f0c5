"""What a person has said about one image, and reading it from its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError

Verdict = Literal["right", "wrong"]

_KEPT_FIELDS = ("id", "verdict", "added_tags", "removed_tags", "has_mask", "revision", "source", "changed_at")

KEEP_ADVICE = "put back a copy of it, or move it elsewhere if nothing of it can be used"
"""What to do about a damaged file that may hold a person's work."""


@dataclass(frozen=True)
class Correction:
    """What a person has said about one image.

    Args:
        id: The image.
        verdict: `right` or `wrong` of its mask as a whole; None if nothing was said of it.
        added_tags: Names of classes that the image shows although its tags do not say so.
        removed_tags: Names of classes that its tags say and the image does not show.
        has_mask: Whether there is a corrected mask, see `CorrectionStore.read_mask`.
        revision: 1 at the first write and one more at each that follows; 0 before. `CorrectionStore.write` sets it.
        source: Where it came from: `review`, `cvat`, `folder`, ...
        changed_at: When it was written, ISO 8601 in UTC. `CorrectionStore.write` sets it.
    """

    id: str
    verdict: Verdict | None = None
    added_tags: tuple[str, ...] = ()
    removed_tags: tuple[str, ...] = ()
    has_mask: bool = False
    revision: int = 0
    source: str = "review"
    changed_at: str = ""

    @property
    def says_nothing(self) -> bool:
        """Whether there is no verdict, no mask and no change of tags: all was taken back."""
        return self.verdict is None and not (self.has_mask or self.added_tags or self.removed_tags)


def change_tags(tags: Iterable[str], correction: Correction | None) -> tuple[str, ...]:
    """Return tags as a correction leaves them: without the removed ones, and the added ones at the end."""
    if correction is None:
        return tuple(tags)
    kept = [tag for tag in tags if tag not in correction.removed_tags]
    return tuple(dict.fromkeys((*kept, *correction.added_tags)))


def read_correction(path: Path) -> Correction | None:
    """Read what is said about an image, or None if there is no such file.

    Raises:
        ArtifactError: If the file is damaged.
    """
    try:
        document = decode_json(path.read_bytes())
        if not isinstance(document, dict) or not set(_KEPT_FIELDS) <= document.keys():
            raise ValueError(f"expected a mapping with {', '.join(_KEPT_FIELDS)}")
        return _parse({name: document[name] for name in _KEPT_FIELDS})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); {KEEP_ADVICE}") from None


def _parse(document: dict[str, object]) -> Correction:
    """Build a correction from what JSON held; raises a `ValueError` that names the field."""
    verdict, has_mask, revision = document["verdict"], document["has_mask"], document["revision"]
    if verdict not in (None, "right", "wrong"):
        raise ValueError(f"verdict: expected right, wrong or null, got {verdict!r}")
    if not isinstance(has_mask, bool):
        raise ValueError(f"has_mask: expected true or false, got {has_mask!r}")
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
        raise ValueError(f"revision: expected 1 or more, got {revision!r}")
    return Correction(
        id=_text(document, "id"),
        verdict=verdict,
        added_tags=_texts(document, "added_tags"),
        removed_tags=_texts(document, "removed_tags"),
        has_mask=has_mask,
        revision=revision,
        source=_text(document, "source"),
        changed_at=_text(document, "changed_at"),
    )


def _text(document: dict[str, object], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text, got {value!r}")
    return value


def _texts(document: dict[str, object], name: str) -> tuple[str, ...]:
    value = document[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name}: expected a list of texts, got {value!r}")
    return tuple(value)
