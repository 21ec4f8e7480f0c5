"""The tree of tar shards: images by their keys, masks below `masks/`, and `tags.json`; and the index that is kept."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from weakseg.data.folder_parts import part_of_name
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.remote.pointers import Pointer
from weakseg.data.remote.shard_tags import encode_tags, read_tags
from weakseg.data.remote.shards import Member, Shard, find_shards, index_shard
from weakseg.data.remote.tree import Leaf, Tree
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue, write_json
from weakseg.remote import digest_of, name_of
from weakseg.stores import read_file

logger = logging.getLogger("weakseg")

MASK_ENDINGS = ("mask.png", "seg.png", "segmentation.png", "label.png", "labels.png", "gt.png")
"""Members that are masks; so is `png` beside an image of another kind."""

INDEX_FILE = "shards.json"

_FORMAT = 1
_TAGS = "tags.json"
_CLASSES = "classes.txt"
_MASKS = "masks"
_SHOWN = 3

Index = dict[str, list[Member]]
"""Members by location of their shard."""

Placed = dict[str, tuple[str, Member]]
"""Location of the shard, and member, by path in the tree."""


def mirror_shards(
    pattern: str, beside: Mapping[str, str], *, kept: Path | None, tick: Callable[[int, int], None] | None = None
) -> Path:
    """Make or update the tree of tar shards.

    Args:
        pattern: The shards, see `find_shards`.
        beside: Texts that lie beside them, such as `classes.txt`: location by name.
        kept: An index that was made before, perhaps on another machine, if there is one.
        tick: Told how many shards are indexed, of how many.

    Returns:
        The root of the tree.

    Raises:
        DataError: If shards are missing, damaged or hold an image twice, or no image has tags.
    """
    shards = find_shards(pattern)
    tree = Tree(pattern, name_of(pattern))
    index = _index(shards, [tree.folder / INDEX_FILE, *(() if kept is None else (kept,))], tick)
    write_index(tree.folder / INDEX_FILE, shards, index)
    classes = _read_classes(beside)
    images, masks = _sort_out(shards, index)
    tags = _read_all_tags(index, shards, images, classes)
    contents = {_TAGS: encode_tags(tags), **{name: read_file(place) for name, place in beside.items()}}
    leaves = {name: Leaf(digest_of(content.hex())) for name, content in contents.items()}
    by_location = {shard.location: shard for shard in shards}
    for path, (location, member) in (*images.items(), *masks.items()):
        leaves[path] = _leaf(by_location[location], member)

    def load(names: list[str]) -> Iterator[tuple[str, bytes]]:
        yield from ((name, contents[name]) for name in names)

    return tree.update(leaves, load)


def kept_index(pattern: str) -> Path:
    """Return where this machine keeps the index of shards."""
    return Tree(pattern, "").folder / INDEX_FILE


def _index(
    shards: Sequence[Shard], places: Sequence[Path], tick: Callable[[int, int], None] | None
) -> dict[str, list[Member]]:
    """Index the shards that no index tells of as they are now."""
    known: dict[str, list[Member]] = {}
    for place in places:
        known = {**_read_index(place), **known}
    index: Index = {}
    for done, shard in enumerate(shards, start=1):
        members = known.get(_state(shard))
        index[shard.location] = index_shard(shard) if members is None else members
        if tick is not None:
            tick(done, len(shards))
    return index


def write_index(path: Path, shards: Sequence[Shard], index: Mapping[str, Sequence[Member]]) -> None:
    """Write where the members of shards are."""
    entries: list[JsonValue] = [
        {"state": _state(shard), "members": [list(asdict(member).values()) for member in index[shard.location]]}
        for shard in shards
    ]
    write_json(path, {"format": _FORMAT, "shards": entries})


def _read_index(path: Path) -> dict[str, list[Member]]:
    try:
        document = decode_json(path.read_bytes())
        if document["format"] != _FORMAT:
            return {}
        return {shard["state"]: [Member(*entry) for entry in shard["members"]] for shard in document["shards"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # only a cache


def _state(shard: Shard) -> str:
    return f"{shard.location} {shard.stored.size_bytes} {shard.stored.token}"


def _leaf(shard: Shard, member: Member) -> Leaf:
    token = f"{shard.stored.size_bytes} {shard.stored.token}"
    pointer = Pointer(shard.location, member.start, member.size_bytes, token, member.name)
    return Leaf(f"{shard.location} {token} {member.start}", pointer, shard.stored.modified_s)


def _read_classes(beside: Mapping[str, str]) -> list[str]:
    if _CLASSES not in beside:
        return []
    return [line.strip() for line in read_file(beside[_CLASSES]).decode("utf-8-sig").splitlines() if line.strip()]


def _sort_out(shards: Sequence[Shard], index: Index) -> tuple[Placed, Placed]:
    """Tell images and masks apart, and give each its path in the tree."""
    images: Placed = {}
    masks: Placed = {}
    owners: dict[str, str] = {}
    for shard in shards:
        part = _part_of(shard)
        for key, members in _by_key(index[shard.location]).items():
            pictures = {member.ending: member for member in members if f".{member.ending}" in IMAGE_SUFFIXES}
            own = [member for member in members if member.ending in MASK_ENDINGS]
            if "png" in pictures and len(pictures) > 1 and not own:
                own = [pictures.pop("png")]
            if not pictures:
                continue
            if key in owners or len(pictures) > 1:
                what = f"'{key}' is in {owners[key]} as well" if key in owners else f"'{key}' has several images"
                raise DataError(f"shard {shard.location}: {what}; give each image a key of its own")
            owners[key] = shard.location
            (ending, image), place = pictures.popitem(), f"{part}{key}"
            images[f"{place}.{ending}"] = (shard.location, image)
            if own:
                masks[f"{_MASKS}/{place}.png"] = (shard.location, own[0])
    if not images:
        raise DataError(f"the {len(shards)} shards ({shards[0].location}, ...) hold no images such as key.jpg")
    return images, masks


def _read_all_tags(
    index: Index, shards: Sequence[Shard], images: Placed, classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    texts: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for shard in shards:
        for member in index[shard.location]:
            if member.text is not None:
                texts[shard.location, member.key][member.ending] = member.text
    tags = {}
    untagged = []
    for path, (location, member) in images.items():
        said = read_tags(texts.get((location, member.key), {}), classes, where=f"shard {location}: '{member.key}'")
        if said is None:
            untagged.append(f"{location}: {member.key}")
        else:
            tags[path] = said
    if untagged:
        logger.warning(
            "%d of %d images have no tags: %s%s; each needs a .json, .cls or .txt beside it",
            *(len(untagged), len(images), ", ".join(untagged[:_SHOWN]), ", ..." if len(untagged) > _SHOWN else ""),
        )
    return tags


def _by_key(members: Sequence[Member]) -> dict[str, list[Member]]:
    found: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        found[member.key].append(member)
    return found


def _part_of(shard: Shard) -> str:
    """Return `train/` or `val/` where the shard or its folder is called so, else nothing."""
    path = PurePosixPath(shard.location)
    words = [*re.split(r"[-_.]", path.stem), path.parent.name]
    part = next((part for word in words if (part := part_of_name(word)) is not None), None)
    return "" if part is None else f"{part}/"
