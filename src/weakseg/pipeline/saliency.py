"""The saliency maps a recipe names: looked at once, counted in the fingerprint, and read image by image.

As with photographs, what is found out about a file is kept, in `saliency.json`, and looked up by size and modification
time the next time. An image whose map is missing or cannot be used is named and keeps its mask as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.config.schema import SaliencyConfig
from weakseg.data.base import Dataset
from weakseg.data.grey import decode_grey, read_grey
from weakseg.data.regular_files import read_regular
from weakseg.errors import DataError, ShapeError
from weakseg.files import JsonValue
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.file_index import FileFacts, Looked, digest_bytes, index_files
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import MAX_NAMED
from weakseg.pipeline.records import DIGEST_BYTES, read_records
from weakseg.refine.saliency import find_size_fault, fit_saliency
from weakseg.train.distributed import rank

logger = logging.getLogger("weakseg")

FINGERPRINT_KEY = "saliency maps"


def name_saliency_maps(context: Context) -> dict[str, JsonValue]:
    """Digest the contents of all maps for the fingerprint, since other maps give other masks.

    Maps whose folder is gone by now count as those that were used, once all masks are made; `require_saliency` stops
    those who would make them again.

    Raises:
        DataError: If the folder is not there and masks have never been made with it.
    """
    config = context.config.refine.saliency
    if config.folder is None:
        return {}
    own = read_records(context.folder).get("refine")
    if own is not None and own.finished and not Path(config.folder).is_dir():
        return {FINGERPRINT_KEY: own.parts.get(FINGERPRINT_KEY)}
    require_saliency_folder(config)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for sample_id, facts in _index_maps(context, seeded_datasets(context)).items():
        digest.update(json.dumps((sample_id, facts.digest)).encode())
    return {FINGERPRINT_KEY: digest.hexdigest()}


def require_saliency_folder(config: SaliencyConfig) -> Path | None:
    """Return the folder of the maps, or None if the recipe has none; raises a `DataError` if it is not there."""
    if config.folder is None:
        return None
    if not Path(config.folder).is_dir():
        raise DataError(f"refine.saliency.folder: there is no folder {config.folder}; name the one that holds <id>.png")
    return Path(config.folder)


def require_saliency(context: Context, datasets: Sequence[Dataset]) -> dict[str, str | None]:
    """Look for the maps that masks are to be corrected by.

    Args:
        context: The run.
        datasets: The images that get masks.

    Returns:
        Why the map of an image cannot be used, or None, by image id; empty if the recipe has no saliency.

    Raises:
        DataError: If there is no such folder, or not a single map can be used.
    """
    if require_saliency_folder(context.config.refine.saliency) is None:
        return {}
    problems = {sample_id: facts.problem for sample_id, facts in _index_maps(context, datasets).items()}
    if problems and None not in problems.values():
        first, problem = next(iter(problems.items()))
        raise DataError(
            f"refine.saliency.folder: none of {len(problems)} images has a saliency map that can be used; the first is "
            f"{_map_path(context, first)}: {problem}"
        )
    return problems


def announce_saliency(context: Context, datasets: Sequence[Dataset]) -> None:
    """Name the images that have no map, or one that cannot be used, before the first mask is made.

    Raises:
        DataError: See `require_saliency`.
    """
    maps = require_saliency(context, datasets)
    if rank() != 0:
        return
    unusable = {sample_id: problem for sample_id, problem in maps.items() if problem is not None}
    missing = [sample_id for sample_id in unusable if not _map_path(context, sample_id).is_file()]
    if missing:
        logger.warning(
            "%d of %d images have no saliency map and keep their masks: %s%s",
            len(missing),
            len(maps),
            ", ".join(missing[:MAX_NAMED]),
            ", ..." if len(missing) > MAX_NAMED else "",
        )
    faults = {sample_id: problem for sample_id, problem in unusable.items() if sample_id not in missing}
    faults |= _find_sideways(context, [sample_id for sample_id in maps if sample_id not in unusable])
    for sample_id, fault in list(faults.items())[:MAX_NAMED]:
        logger.warning("saliency map %s: %s; the image keeps its mask", _map_path(context, sample_id), fault)
    if len(faults) > MAX_NAMED:
        logger.warning("and %d more saliency maps that cannot be used", len(faults) - MAX_NAMED)


def find_saliency(context: Context, sample_id: str, size_hw: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Read the saliency map of an image at the image's size (H, W) uint8; None where `announce_saliency` named it."""
    if context.config.refine.saliency.folder is None:
        return None
    try:
        return fit_saliency(read_grey(_map_path(context, sample_id)), size_hw)
    except (DataError, ShapeError):
        return None


def _index_maps(context: Context, datasets: Sequence[Dataset]) -> dict[str, FileFacts]:
    """Look at the map of every image, or remember it from last time; facts by image id."""
    paths = {sample.id: _map_path(context, sample.id) for dataset in datasets for sample in dataset}
    facts = index_files(
        paths.values(), context.folder.saliency_index, look=_look_at_map, label="looking at saliency maps"
    )
    return {sample_id: facts[path] for sample_id, path in paths.items()}


def _look_at_map(path: Path) -> Looked:
    try:
        content = read_regular(path)
    except OSError as error:
        return Looked("", error.strerror or "cannot be read")
    digest = digest_bytes(content)
    try:
        decode_grey(content)
    except DataError as error:
        return Looked(digest, str(error))
    return Looked(digest, None)


def _find_sideways(context: Context, sample_ids: Sequence[str]) -> dict[str, str]:
    """Find the maps that were made from images as stored where EXIF turns them; seeds know the upright size."""
    faults: dict[str, str] = {}
    for sample_id in sample_ids:
        with Image.open(_map_path(context, sample_id)) as header:
            map_hw = (header.height, header.width)
        image_hw = load_seed(context.folder.seed(sample_id)).size_hw
        fault = find_size_fault(map_hw, image_hw)
        if fault is not None:
            faults[sample_id] = fault
    return faults


def _map_path(context: Context, sample_id: str) -> Path:
    folder = context.config.refine.saliency.folder
    assert folder is not None, "a recipe without saliency"
    return Path(folder) / f"{sample_id}.png"
