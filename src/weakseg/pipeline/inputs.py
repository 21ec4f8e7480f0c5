"""Opening the data sets of a recipe and looking at every image file once, before any stage runs.

Unreadable files are named and left out here, so that no stage meets one. What is found out about a file is kept in
`images.json` and looked up by size and modification time the next time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from weakseg.config.schema import DataConfig, RunConfig
from weakseg.data.base import Dataset, Problem
from weakseg.data.coco import open_coco
from weakseg.data.depth import PixelRange, find_range
from weakseg.data.folder import FolderReading, open_folder_splits
from weakseg.data.image_facts import inspect_image
from weakseg.data.remote.kept import set_max_mb
from weakseg.data.remote.places import lies_elsewhere, open_place
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.data.voc import open_voc
from weakseg.errors import ConfigError, DataError
from weakseg.files import write_bytes
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import read_taught, require_classes
from weakseg.pipeline.file_index import INSPECTION_THREADS, FileFacts, Looked, index_files
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.pipeline.runtime import choose_device
from weakseg.pipeline.telling import show_progress
from weakseg.remote import is_stand_in
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

FETCHING_THREADS = 16
"""So many images that lie elsewhere are fetched side by side when a run begins."""

MAX_NAMED = 5
"""Problems of one kind that are named one by one before the rest is only counted."""


def prepare(config: RunConfig, folder: RunFolder) -> Context:
    """Open the splits of a recipe, leave out what cannot be used, and digest the rest.

    Tags that a person has corrected take the place of the data's own, see `weakseg.pipeline.corrections`.

    Args:
        config: The resolved configuration.
        folder: The run's files; generated data and the image index are written below it.

    Raises:
        ConfigError: If the recipe lacks a root or a split.
        DataError: If no image is left to train on, or the splits differ in their classes.
        ArtifactError: If what the run is taught is damaged, or of other classes.
    """
    device = choose_device(config.runtime.device)
    data = bring_here(config.data, folder, keep=True)
    if data.root != config.data.root:  # who reads files of this machine may have no folder for a cache
        set_max_mb(config.runtime.disk_cache_mb)
    datasets = open_splits(data, folder)
    train, val = datasets[0], datasets[1] if len(datasets) > 1 else None
    if val is not None and val.classes.names != train.classes.names:
        differing = sorted(set(val.classes).symmetric_difference(train.classes)) or ["their order"]
        raise DataError(
            f"the classes of {train.split} and {val.split} must be the same, but these differ: {', '.join(differing)}"
        )
    taught = read_taught(folder)
    if taught is not None:
        require_classes(taught, train.classes, folder)
        train, val = taught.correct(train), None if val is None else taught.correct(val)
    facts = index_images([sample for dataset in datasets for sample in dataset], folder.image_index)
    train = _leave_out(train, facts, need_tags=True)
    val = None if val is None else _leave_out(val, facts, need_tags=False, told=train.problems)
    if not train.samples:
        raise DataError(f"{train.name} {train.split}: no readable image with known tags is left; run 'weakseg check'")
    if val is not None and not val.samples:
        logger.warning("%s %s: no readable image is left, so there is no validation", val.name, val.split)
        val = None
    _warn_of_unlearnable(train)
    config, train, val = _settle_range(config, train, val, facts)
    digests = {"train": _digest(train, facts)}
    if val is not None:
        digests["val"] = _digest(val, facts)
    return Context(config, folder, device, train, val, digests, _of_samples(facts, train, val), taught=taught)


def _settle_range(
    config: RunConfig, train: Dataset, val: Dataset | None, facts: Mapping[Path, FileFacts]
) -> tuple[RunConfig, Dataset, Dataset | None]:
    """Choose how values of more than 8 bits become 0..255, once for all images, and keep that among the settings."""
    used = _of_samples(facts, train, val)
    finding = find_range([about.span for about in used.values() if about.span is not None], config.data.pixel_range)
    if finding is None:
        return config, train, val
    (logger.warning if finding.guessed else logger.info)("%s: %s%s", train.name, finding, finding.advice)
    data = replace(config.data, pixel_range=(finding.pixel_range.low, finding.pixel_range.high))
    deep = replace(train, pixel_range=finding.pixel_range)
    return replace(config, data=data), deep, None if val is None else replace(val, pixel_range=finding.pixel_range)


def _of_samples(facts: Mapping[Path, FileFacts], *datasets: Dataset | None) -> dict[Path, FileFacts]:
    return {s.image_path: facts[s.image_path] for dataset in datasets if dataset is not None for s in dataset}


def open_splits(data: DataConfig, folder: RunFolder) -> list[Dataset]:
    """Open the training split and, if the recipe names one, the validation split, just as their readers see them.

    The generated data set is drawn first when the recipe asks for it; the second time it is found finished.
    """
    data = bring_here(data, folder)
    if data.name == "critters" and rank() == 0:
        _draw_critters(data, folder)
    wait_for_all()
    val = None if data.name == "critters" and data.critters.val_images == 0 else data.val
    asked = None if data.pixel_range is None else PixelRange(*data.pixel_range)
    splits = [split for split in (data.train, val) if split is not None]
    if data.name == "folder":
        datasets = _open_folder(data, splits)
    else:
        datasets = [open_split(data, split, folder) for split in splits]
    return [replace(dataset, pixel_range=asked) for dataset in datasets]


def bring_here(data: DataConfig, folder: RunFolder, *, keep: bool = False) -> DataConfig:
    """Return the settings with the root on this machine: for a URL or tar shards the tree that stands for them.

    Args:
        data: The settings.
        folder: The run; an index of shards in it is used.
        keep: Whether the index is kept in the run, for other machines.

    Raises:
        ConfigError: If critters are to be drawn elsewhere.
        DataError: If the data cannot be read.
        MissingExtra: If a package is not installed.
    """
    if data.root is None or not lies_elsewhere(data.root):
        return data
    if data.name == "critters":
        raise ConfigError(f"data.root: critters are drawn into a folder of this machine, got {data.root}")
    place = None
    for mine in (rank() == 0, rank() != 0):  # one looks first, and the others find what it has made
        if mine:
            with show_progress("reading shards") as tick:
                place = open_place(data.root, kept=folder.shard_index, tick=tick)
        wait_for_all()
    assert place is not None, "one of the two is mine"
    if keep and place.index is not None and rank() == 0:
        write_bytes(folder.shard_index, place.index.read_bytes())
    return replace(data, root=str(place.root))


def _draw_critters(data: DataConfig, folder: RunFolder) -> None:
    critters = data.critters
    settings = CritterSettings(
        size_px=critters.size_px, p_context=critters.p_context, p_coat=critters.p_coat, p_empty=critters.p_empty
    )
    with show_progress("drawing critters") as tick:
        write_critters(
            critters_root(data, folder),
            settings,
            images=critters.images,
            val_images=critters.val_images,
            seed=critters.seed,
            progress=tick,
        )


def critters_root(data: DataConfig, folder: RunFolder) -> Path:
    """Return where the generated data set lies."""
    return folder.generated_data if data.root is None else Path(data.root)


def open_split(data: DataConfig, split: str, folder: RunFolder) -> Dataset:
    """Open one split with the reader the recipe names.

    Raises:
        ConfigError: If the reader needs `data.root` and there is none.
        DataError: If the folder is not what the reader expects.
    """
    if data.name == "critters":
        return replace(open_voc(critters_root(data, folder), split=split), name="critters")
    if data.name == "folder":
        return _open_folder(data, [split])[0]
    root = _require_root(data)
    drop_background = data.background_tag == "drop"
    if data.name == "voc":
        return open_voc(root, split=split, mask_values=data.mask_values, drop_background=drop_background)
    return open_coco(root, split=split, drop_background=drop_background)


def _require_root(data: DataConfig) -> Path:
    if data.root is None:
        raise ConfigError(f"data.root: expected the folder of the {data.name} data set, got null; add --data.root PATH")
    root = Path(data.root)
    if not root.is_dir():
        raise DataError(f"data.root: there is no folder {root}")
    return root


def _open_folder(data: DataConfig, splits: Sequence[str]) -> list[Dataset]:
    reading = FolderReading(
        tag_separator=data.tag_separator,
        drop_background=data.background_tag == "drop",
        only_folder_class=data.only_folder_class,
        mask_values=data.mask_values,
    )
    return open_folder_splits(
        _require_root(data),
        splits=splits,
        tags=None if data.tags is None else Path(data.tags),
        # Without validation nothing is held out: every tagged image is there to learn from.
        val_fraction=0.0 if data.val is None else data.val_fraction,
        reading=reading,
    )


def index_images(samples: Sequence[Sample], cache: Path) -> dict[Path, FileFacts]:
    """Look at every image file, or remember it from last time; see `index_files`."""
    paths = {sample.image_path for sample in samples}
    # Those that lie elsewhere are waited for, not computed on.
    is_elsewhere = any(map(is_stand_in, itertools.islice(paths, 1)))  # all of a data set's images, or none
    threads = FETCHING_THREADS if is_elsewhere else INSPECTION_THREADS
    return index_files(paths, cache, look=_look_at_image, label="looking at images", threads=threads)


def _look_at_image(path: Path) -> Looked:
    seen = inspect_image(path)
    return Looked(seen.digest, seen.problem, seen.span)


def _leave_out(
    dataset: Dataset, facts: dict[Path, FileFacts], *, need_tags: bool, told: Sequence[Problem] = ()
) -> Dataset:
    """Return the data set without what cannot be used; names that, and its problems but for those `told` before."""
    problems = list(dataset.problems)
    kept = []
    for sample in dataset:
        problem = facts[sample.image_path].problem
        if problem is not None:
            problems.append(Problem("warning", "unreadable", sample.id, f"{sample.image_path}: {problem}; left out"))
        elif not need_tags or sample.known.any():
            kept.append(sample)
    _log_problems(dataset, [problem for problem in problems if problem not in told])
    return replace(dataset, samples=tuple(kept), problems=tuple(problems))


def _warn_of_unlearnable(train: Dataset) -> None:
    """Name the classes that training can teach nothing: no image shows them, or none is known not to."""
    tags = np.stack([sample.tags for sample in train]).astype(bool)
    known = np.stack([sample.known for sample in train])
    learnable = tags.any(axis=0) & (known & ~tags).any(axis=0)
    names = [name for name, can_learn in zip(train.classes, learnable, strict=True) if not can_learn]
    if names:
        logger.warning(
            "%s %s: %d of %d classes cannot be learnt (%s%s): each needs an image that shows it and one that is known "
            "not to; 'weakseg check' says which lack what, docs/data.md how to add it",
            train.name,
            train.split,
            len(names),
            len(train.classes),
            ", ".join(names[:MAX_NAMED]),
            ", ..." if len(names) > MAX_NAMED else "",
        )


def _log_problems(dataset: Dataset, problems: Iterable[Problem]) -> None:
    by_kind: dict[str, list[Problem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    for kind, found in by_kind.items():
        for problem in found[:MAX_NAMED]:
            logger.warning("%s %s: %s: %s", dataset.name, dataset.split, problem.where, problem.message)
        if len(found) > MAX_NAMED:
            logger.warning(
                "%s %s: and %d more of kind '%s'; 'weakseg check' counts them all",
                dataset.name,
                dataset.split,
                len(found) - MAX_NAMED,
                kind,
            )


def _digest(dataset: Dataset, facts: dict[Path, FileFacts]) -> str:
    digest = hashlib.blake2b(json.dumps([dataset.split, list(dataset.classes)]).encode(), digest_size=DIGEST_BYTES)
    for sample in dataset:
        entry = (sample.id, sample.tags.tolist(), sample.known.tolist(), facts[sample.image_path].digest)
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()
