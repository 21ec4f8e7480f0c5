"""The formats that corrected masks come back in, and telling which one a file or folder is in."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from weakseg.data.export.coco import SEMANTIC
from weakseg.data.export.cvat import ARCHIVE
from weakseg.data.export.label_studio import TASKS
from weakseg.data.scan import is_hidden_below, list_files
from weakseg.errors import DataError, UsageError
from weakseg.files import advise_on
from weakseg.handover.corrections.coco import read_coco
from weakseg.handover.corrections.cvat import MASK_FOLDER, XML_FILE, read_cvat_masks, read_cvat_shapes
from weakseg.handover.corrections.folder import EXACT_SUFFIXES, list_masks, read_folder
from weakseg.handover.corrections.json_files import load_json
from weakseg.handover.corrections.known_images import Reader
from weakseg.handover.corrections.label_studio import read_label_studio
from weakseg.handover.corrections.yolo import find_class_file, list_label_files, read_yolo

FOLDER, CVAT, LABEL_STUDIO, COCO, YOLO = "folder", "cvat", "label-studio", "coco", "yolo"
FORMATS = (FOLDER, CVAT, LABEL_STUDIO, COCO, YOLO)
"""What `--format` takes."""

MAX_UNPACKED_BYTES = 1 << 32
"""No archive of masks is larger than 4 GB once unpacked; a few bytes of zip could be."""

_UNPACKED = (".png", *EXACT_SUFFIXES, ".txt", ".xml", ".json", ".yaml", ".yml", ".csv", ".names")
"""Images lie in some exports, too; they are not needed."""

_ROBOFLOW_FILE = "_annotations.coco.json"
_MAX_NAMED = 5

_EXPORTED = (TASKS, SEMANTIC)
"""Files that `weakseg export` writes for other tools, beside others."""


@dataclass(frozen=True)
class Found:
    """What is to be read, and how.

    Args:
        format: One of `FORMATS`.
        place: The file or folder that the reader takes.
        read: The reader.
        unpacked: Where a zip file was unpacked to, and the zip file; None if none was.
    """

    format: str
    place: Path
    read: Reader
    unpacked: tuple[Path, Path] | None = None

    def name_source(self, message: str) -> str:
        """Return a message with the zip file named in the place of the folder that it was unpacked to."""
        if self.unpacked is None:
            return message
        folder, archive = self.unpacked
        return message.replace(str(folder), str(archive))


@contextmanager
def opened(source: Path, *, format: str | None = None) -> Iterator[Found]:
    """Find out which format a file or folder is in, and unpack a zip file for the block.

    Args:
        source: A folder, or a `.zip`, `.json` or `.xml` file.
        format: One of `FORMATS` to insist on; None to look.

    Raises:
        UsageError: If the format is none of these.
        DataError: If there is no such file, it is in none of the formats, or not in that one.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(FORMATS)}, got '{format}'")
    if not source.exists():
        raise DataError(f"--from: there is no file or folder {source}")
    inner = source / ARCHIVE if (source / ARCHIVE).is_file() else source
    if inner.suffix.lower() == ".zip":
        yield from _opened_zip(inner, format)
    elif inner.is_dir():
        yield _insist(_find_in_folder(inner, inner, format), inner, format)
    else:
        yield _insist(_find_in_file(inner), inner, format)


def _opened_zip(path: Path, format: str | None) -> Iterator[Found]:
    """Unpack a zip file; what is wrong in it is told with its own name, since the folder is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="weakseg-") as temporary:
        root = Path(temporary)
        _unpack(path, root)
        try:
            found = _insist(_find_in_folder(_inside(root), path, format), path, format)
            yield replace(found, unpacked=(root, path))
        except DataError as error:
            if str(root) not in str(error):
                raise
            raise DataError(str(error).replace(str(root), str(path))) from None


def _insist(found: Found, source: Path, format: str | None) -> Found:
    if format not in (None, found.format):
        raise DataError(f"{source}: expected masks in the format {format}, but it looks like {found.format}")
    return found


def _inside(root: Path) -> Path:
    """Step into the only folder of an archive that was packed with the folder around it."""
    entries = list(root.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() and entries[0].name != MASK_FOLDER else root


def _find_in_folder(root: Path, source: Path, format: str | None) -> Found:
    exported = next((root / name for name in _EXPORTED if (root / name).is_file()), None)
    if exported is not None:
        return _find_in_file(exported)
    if (root / MASK_FOLDER).is_dir() and format != FOLDER:
        return Found(CVAT, root, read_cvat_masks)
    if (root / XML_FILE).is_file():
        return Found(CVAT, root / XML_FILE, read_cvat_shapes)
    if format == YOLO or (format is None and find_class_file(root) is not None and list_label_files(root)):
        return Found(YOLO, root, read_yolo)
    has_masks = bool(list_masks(root))
    files = sorted(root.glob("*.json")) + sorted(root.glob("annotations/*.json"))
    annotations = [path for path in files if path.parent != root or path.name == _ROBOFLOW_FILE]
    if format in (COCO, LABEL_STUDIO) or not has_masks:
        annotations = files
    if len(annotations) == 1 and format != FOLDER:
        return _find_in_file(annotations[0])
    if has_masks and (format not in (COCO, LABEL_STUDIO) or not files):
        return Found(FOLDER, root, read_folder)
    raise DataError(_describe_nothing(root, source, files, format))


def _describe_nothing(root: Path, source: Path, files: Sequence[Path], format: str | None) -> str:
    if len(files) > 1:
        listed = ", ".join(path.relative_to(root).as_posix() for path in files)
        return f"{source} holds several files of annotations ({listed}); give one of them to --from"
    formats = f"any of the formats {', '.join(FORMATS)}" if format is None else f"the format {format}"
    text = f"{source} holds no masks in {formats}; see docs/corrections.md"
    names = _list_names(source)
    endings = Counter(PurePosixPath(name).suffix.lower() for name in names)
    if not endings:
        return f"{text} (it is empty)"
    counts = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in endings.most_common(_MAX_NAMED))
    blurred = "; JPEG blurs labels, so save masks as PNG" if {".jpg", ".jpeg"} & endings.keys() else ""
    return f"{text} (files: {counts}{blurred})"


def _list_names(source: Path) -> list[str]:
    """Return the names of all files of a folder or zip file, but for hidden ones."""
    if source.is_dir():
        return [name.as_posix() for name in list_files(source)]
    with zipfile.ZipFile(source) as archive:
        return [member.filename for member in archive.infolist() if not member.is_dir() and not _is_hidden(member)]


def _find_in_file(path: Path) -> Found:
    if path.suffix.lower() == ".xml":
        return Found(CVAT, path, read_cvat_shapes)
    if path.suffix.lower() != ".json":
        raise DataError(f"--from {path}: expected a folder, or a .zip, .json or .xml file; see docs/corrections.md")
    document = load_json(path)
    if isinstance(document, dict):
        return Found(COCO, path, read_coco)
    if isinstance(document, list) and document and isinstance(document[0], dict):
        is_result = "image_id" in document[0]
        return Found(COCO, path, read_coco) if is_result else Found(LABEL_STUDIO, path, read_label_studio)
    raise DataError(f"{path} holds neither tasks of Label Studio nor annotations of COCO; export them again")


def _unpack(path: Path, target: Path) -> None:
    """Unpack what readers read, nothing outside the target, and not more than a disk should hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member, path)]
            if any(member.filename.lower().endswith(".png") for member in members):
                members = [member for member in members if not member.filename.lower().endswith(EXACT_SUFFIXES)]
            total = sum(member.file_size for member in members)
            if total > MAX_UNPACKED_BYTES:
                raise DataError(
                    f"{path} would take {total} bytes, expected {MAX_UNPACKED_BYTES} at most; unpack it yourself"
                )
            for member in members:
                place = target / _plain(member)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, place.open("xb") as file:
                    shutil.copyfileobj(packed, file)
    except OSError as error:
        raise DataError(f"cannot unpack {path} to {target}: {advise_on(error)}, by TMPDIR") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path}: not a readable zip file ({error}); export it again") from None


def _is_wanted(member: zipfile.ZipInfo, path: Path) -> bool:
    place = PurePosixPath(_plain(member))
    if place.is_absolute() or ".." in place.parts or PureWindowsPath(_plain(member)).drive:
        raise DataError(f"{path} holds '{member.filename}', which leads out of it; this is no export of a tool")
    return not member.is_dir() and place.suffix.lower() in _UNPACKED and not _is_hidden(member)


def _plain(member: zipfile.ZipInfo) -> str:
    """Return the path of a member; some programs of Windows part it by backslashes."""
    return member.filename.replace("\\", "/")


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    return is_hidden_below(Path(_plain(member)), Path())
