"""Splits of a folder of tagged images: a share of them, or those that a list names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.folder_parts import find_parts, part_of_name
from weakseg.data.lists import read_lines
from weakseg.data.matching import ImageNames, match_names
from weakseg.errors import DataError
from weakseg.types import Sample

PARTS = ("train", "val")
ALL = "all"
TEST = "test"

_OTHER_PART = {"train": "val", "val": "train"}
_LIST_FOLDERS = ("", "splits", "split", "lists", "ImageSets", "ImageSets/Segmentation", "ImageSets/Main")
_HASH_BYTES = 8
_SHOWN = 3


@dataclass(frozen=True)
class ChosenSplit:
    """The images of a split.

    Args:
        samples: The samples, in the order given.
        problems: What is wrong with the list that chose them.
        how: What chose them, for messages.
    """

    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    how: str


def choose_split(
    samples: Sequence[Sample],
    images: ImageNames,
    root: Path,
    *,
    split: str,
    val_fraction: float,
    told: Mapping[str, str] | None = None,
    untagged: Sequence[Problem] = (),
) -> ChosenSplit:
    """Choose the images of a split.

    `train` and `val` are the lists `train.txt` and `val.txt` in the root or in `splits/` where there are any; one list
    alone leaves the other part all other images. Without lists they are what tables say, or the folders of these names
    (`weakseg.data.folder_parts`). Without those, `val` is a share of the images, chosen by the hash of their ids.

    Args:
        samples: All tagged images, sorted by id.
        images: All images, tagged or not.
        root: The root of the data set.
        split: `train`, `val`, `all`, `test` where there is a folder or a list of that name, or the path of a list.
        val_fraction: Share of the images that make up `val` without lists.
        told: Part by image id, where the source of the tags tells.
        untagged: What hindered rows of that source to tag images, for the message about an empty split.

    Raises:
        DataError: If there is no such split, or its list cannot be read or chooses no tagged image.
    """
    if split == ALL:
        return ChosenSplit(tuple(samples), (), "all of them")
    if split in PARTS:
        own, other = (_find_list(root, part) for part in (split, _OTHER_PART[split]))
        if own is not None:
            return _choose_listed(samples, images, own)
        if other is not None:
            listed = {sample.id for sample in _choose_listed(samples, images, other).samples}
            rest = tuple(sample for sample in samples if sample.id not in listed)
            chosen = ChosenSplit(rest, (), f"those that {other.name} does not list")
            return _require_some(chosen, split, len(samples), untagged)
        parts = told or find_parts(sample.id for sample in samples)
        if {split, "val"} <= set(parts.values()):
            how = f"the {'rows' if told else 'folder'} of '{split}'"
            return ChosenSplit(tuple(s for s in samples if parts.get(s.id) == split), (), how)
        pool = [sample for sample in samples if parts.get(sample.id) != TEST]
        held_out = _held_out(pool, val_fraction)
        rest = tuple(sample for sample in pool if (sample.id in held_out) == (split == "val"))
        chosen = ChosenSplit(rest, (), f"{val_fraction:.0%} are held out as 'val'")
        return _require_some(chosen, split, len(samples), untagged)
    for path in (Path(split), root / split, root / f"{split}.txt"):
        if path.is_file():
            return _choose_listed(samples, images, path)
    parts = told or find_parts(sample.id for sample in samples)
    chosen_samples = tuple(sample for sample in samples if parts.get(sample.id) == split)
    if chosen_samples:
        return ChosenSplit(chosen_samples, (), f"the folder of '{split}'")
    raise DataError(
        f"no split '{split}': a folder has 'train', 'val', 'all', or takes the path of a list file; --data.val null is "
        "for no validation"
    )


def _find_list(root: Path, part: str) -> Path | None:
    for folder in (root / name for name in _LIST_FOLDERS):
        plain = folder / f"{part}.txt"
        if plain.is_file():
            return plain
        if folder.is_dir():
            lists = (path for path in sorted(folder.glob("*.[tT][xX][tT]")) if part_of_name(path.stem) == part)
            found = next((path for path in lists if path.is_file()), None)
            if found is not None:
                return found
    return None


def _require_some(chosen: ChosenSplit, split: str, num_tagged: int, untagged: Sequence[Problem]) -> ChosenSplit:
    if not chosen.samples:
        why = f" ({len(untagged)} rows fit no image: {untagged[0].message})" if untagged else ""
        raise DataError(
            f"split '{split}' is empty: {num_tagged} tagged images{why}, of which {chosen.how}; set data.val_fraction "
            "so that both splits get some, or data.val to null for no validation"
        )
    return chosen


def _choose_listed(samples: Sequence[Sample], images: ImageNames, path: Path) -> ChosenSplit:
    lines = list(dict.fromkeys(read_lines(path)))
    matches = match_names(lines, images, source=path.name)
    wanted = set(matches.ids.values())
    chosen = tuple(sample for sample in samples if sample.id in wanted)
    if not chosen:
        shown = ", ".join(sample.id for sample in samples[:_SHOWN]) or "none"
        raise DataError(
            f"the list {path} chooses no image: it has {len(lines)} lines ({', '.join(lines[:_SHOWN])}, ...), of which "
            f"{len(wanted)} are images below the root; {len(samples)} images have tags ({shown}, ...)"
        )
    return ChosenSplit(chosen, matches.problems, path.name)


def _held_out(samples: Sequence[Sample], val_fraction: float) -> set[str]:
    """Choose ids by their hash, so that the choice depends neither on the order nor on the platform."""
    ranked = sorted(hashlib.blake2b(s.id.encode(), digest_size=_HASH_BYTES).digest() + s.id.encode() for s in samples)
    count = round(val_fraction * len(samples))
    return {entry[_HASH_BYTES:].decode() for entry in ranked[:count]}
