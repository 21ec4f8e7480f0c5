"""Tags as a constraint: which classes may appear in the mask of an image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.image_tags import map_background
from weakseg.data.matching import plain_name
from weakseg.data.tag_files import ImageTags, normalise_name, read_tags
from weakseg.errors import DataError, UsageError
from weakseg.types import ClassSet


@dataclass(frozen=True)
class TagConstraint:
    """The classes that may appear in each image.

    Args:
        everywhere: Those of every image, or None where `by_image` tells.
        by_image: Those of some images by name; any class may appear in the others.
    """

    everywhere: tuple[str, ...] | None = None
    by_image: Mapping[str, tuple[str, ...]] | None = None

    def tags_of(self, name: str) -> tuple[str, ...] | None:
        """Return the classes that may appear in an image, in the order of the class set; None for any."""
        if self.by_image is not None:
            return self.by_image.get(name)
        return self.everywhere


def parse_tags(text: str) -> tuple[str, ...]:
    """Split `cat,dog` or, for names with a comma in them, `cat;dog` into names.

    Raises:
        UsageError: If there is none.
    """
    names = tuple(filter(None, (normalise_name(part) for part in text.split(";" if ";" in text else ","))))
    if not names:
        raise UsageError("--tags: expected class names such as 'cat,dog', got none")
    return names


def constrain(
    classes: ClassSet, targets: Mapping[str, Path], *, tags: Sequence[str] | None, tag_file: Path | None
) -> TagConstraint:
    """Turn tags for all images, or a file with those of each, into a constraint.

    A tag file is one that training reads (`weakseg.data.tag_files`). An image's entry is looked for by its path
    relative to the file's folder, then by its name as its mask is called, then, where the file says no folder and only
    one image is called so, by its last part. Unknown tags (`?cat`) may appear.

    Args:
        classes: The network's classes.
        targets: Image file by name.
        tags: Class names for all images, or None.
        tag_file: Tag file, or None.

    Raises:
        UsageError: If both are given.
        DataError: If a name is not one of the classes (the nearest is named), the file cannot be read, or it names
            none of the images.
    """
    if tags is not None and tag_file is not None:
        raise UsageError("--tags and --tag-file: give one of them, tags for all images or a file with those of each")
    if tags is not None:
        return TagConstraint(everywhere=classes.decode(classes.encode(tags)))
    if tag_file is None:
        return TagConstraint()
    table = map_background(read_tags(tag_file, known=classes.names), drop=True)
    for name in table.names:
        try:
            classes.index(name)
        except DataError as error:
            raise DataError(f"{tag_file}: {error}") from None
    entries: dict[str, ImageTags] = {}
    for written, found in table.entries.items():
        entries.setdefault(_key(written), found)
    last_parts = Counter(path.stem for path in targets.values())
    by_image = {}
    for name, path in targets.items():
        candidates = [*_relative_names(path, tag_file.parent), name + path.suffix, name]
        if last_parts[path.stem] == 1:
            candidates += [path.name, path.stem]
        entry = next((entries[key] for key in map(_key, candidates) if key in entries), None)
        if entry is not None:
            by_image[name] = _allowed(entry, classes)
    if not by_image:
        raise DataError(f"{tag_file} names none of the {len(targets)} images, such as '{next(iter(targets))}'")
    return TagConstraint(by_image=by_image)


def _key(name: str) -> str:
    """Write a name in one way; its suffix stays, since the tags of `a.png` say nothing about `a.jpg`."""
    path, suffix = os.path.splitext(plain_name(normalise_name(name)))
    return path + suffix.lower()


def _relative_names(path: Path, folder: Path) -> list[str]:
    place, base = path.resolve(), folder.resolve()
    if base not in place.parents:
        return []
    relative = place.relative_to(base)
    return [relative.as_posix(), relative.with_suffix("").as_posix()]


def _allowed(entry: ImageTags, classes: ClassSet) -> tuple[str, ...]:
    if not entry.rest_absent:
        return tuple(classes)
    return tuple(name for name in classes if name in entry.present or name in entry.unknown)
