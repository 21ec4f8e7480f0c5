"""The files of others that a refiner reads, such as class-agnostic masks: found, counted, and in the fingerprint.

What is found out about a file is kept, in `refiner_files.json`, and looked up by size and modification time next time.
Whether it can be used shows when it is read: these files may be large.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from weakseg.config.chosen import refiner_facts
from weakseg.config.schema import RefineConfig
from weakseg.data.base import Dataset
from weakseg.data.regular_files import read_regular
from weakseg.errors import ConfigError, DataError
from weakseg.files import JsonValue
from weakseg.methods import ImageFiles, RefinerFacts
from weakseg.pipeline.context import Context
from weakseg.pipeline.file_index import Looked, digest_bytes, index_files
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import MAX_NAMED
from weakseg.pipeline.records import CONTENTS, DIGEST_BYTES, read_records
from weakseg.train.distributed import rank

logger = logging.getLogger("weakseg")


def name_refiner_files(context: Context) -> dict[str, JsonValue]:
    """Digest the contents of all files for the fingerprint, since others give other masks.

    Files whose folder is gone by now count as those that were used, once all masks are made.

    Raises:
        DataError: If the folder is not there and masks have never been made with it.
    """
    config = context.config.refine
    facts = refiner_facts(config)
    if facts is None or facts.reads is None or _folder_name(facts, facts.reads, config) is None:
        return {}
    key = f"{CONTENTS}{_setting(facts, facts.reads)}"
    own = read_records(context.folder).get("refine")
    if own is not None and own.finished and not Path(str(_folder_name(facts, facts.reads, config))).is_dir():
        return {key: own.parts.get(key)}
    found = _find_all(facts.reads, require_folder(facts, facts.reads, config), seeded_datasets(context))
    index = index_files(
        [path for paths in found.values() for path in paths],
        context.folder.refiner_index,
        look=_look,
        label=f"looking at {facts.reads.what}",
    )
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for sample_id, paths in found.items():
        digest.update(json.dumps((sample_id, [index[path].digest for path in paths])).encode())
    return {key: digest.hexdigest()}


def require_folder(facts: RefinerFacts[Any], reads: ImageFiles, section: RefineConfig) -> Path:
    """Return the folder of the files that a refiner reads.

    Raises:
        ConfigError: If the recipe names none.
        DataError: If it is not there.
    """
    setting, folder = _setting(facts, reads), _folder_name(facts, reads, section)
    if folder is None:
        raise ConfigError(f"{setting}: refine.method '{facts.name}' needs the folder of the {reads.what}; name it")
    if not Path(folder).is_dir():
        raise DataError(f"{setting}: there is no folder {folder}; name the one that holds the {reads.what}")
    return Path(folder)


def require_refiner_files(context: Context, datasets: Sequence[Dataset]) -> Mapping[str, Sequence[Path]]:
    """Look for the files that the recipe's refiner reads.

    Args:
        context: The run.
        datasets: The images that get masks.

    Returns:
        Those of every image with a tag, by its id, as its mask is background whatever they say; nothing if the refiner
        reads none.

    Raises:
        ConfigError: If the recipe names no folder.
        DataError: If there is no such folder, or it has nothing for any of the images.
    """
    facts = refiner_facts(context.config.refine)
    if facts is None or facts.reads is None:
        return {}
    folder = require_folder(facts, facts.reads, context.config.refine)
    found = _find_all(facts.reads, folder, datasets)
    if found and not any(found.values()):
        raise DataError(
            f"{_setting(facts, facts.reads)}: {folder} has {facts.reads.what} for none of {len(found)} images, such as "
            f"'{next(iter(found))}'; name files by the images' ids"
        )
    return found


def announce_refiner_files(context: Context, datasets: Sequence[Dataset]) -> None:
    """Count the images for which there are no files, before the first mask is made.

    Raises:
        ConfigError, DataError: See `require_refiner_files`.
    """
    found = require_refiner_files(context, datasets)
    missing = [sample_id for sample_id, paths in found.items() if not paths]
    facts = refiner_facts(context.config.refine)
    if missing and rank() == 0 and facts is not None and facts.reads is not None:
        logger.warning(
            "%d of %d tagged images have no %s and do without: %s%s",
            len(missing),
            len(found),
            facts.reads.what,
            ", ".join(missing[:MAX_NAMED]),
            ", ..." if len(missing) > MAX_NAMED else "",
        )


def without_files(section: RefineConfig) -> RefineConfig:
    """Return the section without the folder of the files that its refiner reads, which then does without."""
    facts = refiner_facts(section)
    if facts is None or facts.reads is None:
        return section
    own = replace(facts.settings_in(section), **{facts.reads.setting: None})
    return replace(section, **{facts.name: own})


def lacks_folder(section: RefineConfig, method: str) -> bool:
    """Say whether a refiner cannot be chosen, since it reads files and the recipe names no folder of them."""
    facts = refiner_facts(replace(section, method=method))
    return facts is not None and facts.reads is not None and _folder_name(facts, facts.reads, section) is None


def _find_all(reads: ImageFiles, folder: Path, datasets: Sequence[Dataset]) -> Mapping[str, Sequence[Path]]:
    return {sample.id: reads.find(folder, sample.id) for dataset in datasets for sample in dataset if sample.keys}


def _folder_name(facts: RefinerFacts[Any], reads: ImageFiles, section: RefineConfig) -> str | None:
    found = getattr(facts.settings_in(section), reads.setting)
    return None if found is None else str(found)


def _setting(facts: RefinerFacts[Any], reads: ImageFiles) -> str:
    return f"refine.{facts.name}.{reads.setting}"


def _look(path: Path) -> Looked:
    try:
        return Looked(digest_bytes(read_regular(path)), None)
    except OSError as error:
        return Looked("", error.strerror or "cannot be read")
