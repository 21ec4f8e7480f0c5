"""Reading a bundle that was handed over as a zip file."""

from __future__ import annotations

import errno
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from weakseg.errors import ArtifactError
from weakseg.files import advise_on
from weakseg.pipeline.artifacts import RunFolder

ZIP_SUFFIX = ".zip"

BUNDLE_FILE = "bundle.json"
"""What tells a bundle from a run folder, whose layout it has."""

MAX_TEXT_BYTES = 1 << 20
"""A recipe or a `bundle.json` has some KB; nothing larger is read."""

MAX_PACKING = 20
"""No weights shrink to less than a twentieth when they are zipped: they are noise, of which zip saves a tenth."""

FREE_BYTES = 1 << 24
"""Weights up to this size may be packed however tightly: they do no harm."""

_CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def unzipped_bundle(path: Path) -> Iterator[Path]:
    """Unpack what prediction reads of a zipped bundle for a block.

    Sizes are looked at before anything is unpacked, and what is unpacked goes to the disk piece by piece.

    Yields:
        A temporary folder with the bundle's layout.

    Raises:
        ArtifactError: If it is no zip, is damaged, no bundle, larger than its files can be, or there is no room for it.
    """
    run = RunFolder(Path())
    texts = {BUNDLE_FILE, run.recipe.as_posix()}
    wanted = {*texts, run.network("segmenter").model.as_posix()}
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with zipfile.ZipFile(path) as archive:
                found = _find_members(archive, wanted)
                for place, member in found.items():
                    _require_plausible(member, path, is_text=place in texts)
                for place, member in found.items():
                    _unpack(archive, member, Path(temporary) / place)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise ArtifactError(f"cannot unpack {path} to {temporary}: {advise_on(error)}, by TMPDIR") from None
            raise ArtifactError(f"{path}: not a readable zip file ({error}); copy it again") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
            raise ArtifactError(f"{path}: not a readable zip file ({error}); copy it again") from None
        missing = wanted - found.keys()
        if missing:
            raise ArtifactError(f"{path}: expected a bundle that 'weakseg export' wrote, but it lacks {min(missing)}")
        yield Path(temporary)


def _find_members(archive: zipfile.ZipFile, wanted: set[str]) -> dict[str, zipfile.ZipInfo]:
    """Return the wanted files by their place; which also keeps every other place safe from what a zip may name."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        place = "/".join(PurePosixPath(member.filename).parts[1:])
        if place in wanted:
            found.setdefault(place, member)
    return found


def _require_plausible(member: zipfile.ZipInfo, path: Path, *, is_text: bool) -> None:
    """Refuse what a small zip would fill memory or disk with. A member never gives more than it says."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArtifactError(f"{path}: {member.filename} is packed in another way than zip's usual one; pack it anew")
    packed_bytes = min(member.compress_size, path.stat().st_size)
    largest = MAX_TEXT_BYTES if is_text else max(FREE_BYTES, MAX_PACKING * packed_bytes)
    if member.file_size > largest:
        raise ArtifactError(
            f"{path}: {member.filename} would take {member.file_size} bytes, expected {largest} at most; this is no "
            "bundle that 'weakseg export' wrote"
        )


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file, _CHUNK_BYTES)
