"""Reading a bundle that was handed over as a zip file."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder

ZIP_SUFFIX = ".zip"

BUNDLE_FILE = "bundle.json"
"""What tells a bundle from a run folder, whose layout it has."""


@contextmanager
def unzipped_bundle(path: Path) -> Iterator[Path]:
    """Unpack what prediction reads of a zipped bundle for a block.

    Yields:
        A temporary folder with the bundle's layout.

    Raises:
        ArtifactError: If it is no zip, is damaged, or no bundle.
    """
    run = RunFolder(Path())
    wanted = {BUNDLE_FILE, run.recipe.as_posix(), run.network("segmenter").model.as_posix()}
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    place = "/".join(PurePosixPath(name).parts[1:])
                    if place in wanted:  # which also keeps every other place safe from what a zip may name
                        target = Path(temporary) / place
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(archive.read(name))
                        wanted.discard(place)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:  # RuntimeError: encrypted
            raise ArtifactError(f"{path}: not a readable zip file ({error}); copy it again") from None
        if wanted:
            raise ArtifactError(f"{path}: expected a bundle that 'weakseg export' wrote, but it lacks {min(wanted)}")
        yield Path(temporary)
