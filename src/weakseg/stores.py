"""Reading and writing files by a URL such as `s3://bucket/photos`, on any file system that fsspec knows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from weakseg.errors import ConfigError, DataError, MissingExtra, WeaksegError
from weakseg.remote import is_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}
"""These put files whole or not at all; elsewhere a file is written beside its place and renamed over it."""

_TOKENS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "CRC",
    "mtime",
    "LastModified",
    "updated",
    "last_modified",
    "created",
)
"""What listings call that which changes with a file, best first."""

_TIMES = ("LastModified", "mtime", "updated", "last_modified", "created")

_PACKAGES = {
    "s3": "'weakseg[cloud]'",
    "s3a": "'weakseg[cloud]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "adl": "adlfs",
    "oci": "ocifs",
    "oss": "ossfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "webdav": "webdav4",
    "hdfs": "pyarrow",
}

_BLOCK_BYTES = 4 * 2**20
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Stored:
    """What a listing says of a file.

    Args:
        size_bytes: Its length.
        token: Text that changes with its content.
        modified_s: When it was written, in seconds since 1970; 0 where nobody tells.
    """

    size_bytes: int
    token: str
    modified_s: int


@contextmanager
def explained(where: str, kind: type[WeaksegError] = DataError) -> Iterator[None]:
    """Turn what file systems and their clients complain of into one line.

    Args:
        where: The URL, for the message.
        kind: What is raised.

    Raises:
        MissingExtra: If the package for this kind of URL is not installed.
        ConfigError: If there is no such kind.
    """
    scheme = where.partition(":")[0]
    try:
        yield
    except WeaksegError:
        raise
    except ImportError as error:
        package = _PACKAGES.get(scheme, _PACKAGES.get(where.rpartition("::")[2].partition(":")[0], "fsspec"))
        text = " ".join(str(error).split())
        raise MissingExtra(
            f"{where} needs a package that is not installed here ({text}): pip install {package}"
        ) from None
    except FileNotFoundError:
        raise kind(f"there is no {where}; look after its spelling, and whether the bucket exists") from None
    except PermissionError as error:
        raise kind(
            f"{where}: access is denied ({_in_a_line(error)}); look after the credentials in the environment"
        ) from None
    except ValueError as error:
        if "Protocol not known" in str(error):
            raise ConfigError(f"{where}: fsspec knows no '{scheme}://'; write s3://, gs://, zip:// or alike") from None
        raise kind(f"{where}: {_in_a_line(error)}") from None
    except Exception as error:  # clients raise classes of their own
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            raise kind(f"{where}: there are no credentials; set AWS_ACCESS_KEY_ID or AWS_PROFILE, or log in") from None
        raise kind(f"{where}: cannot be reached or read ({_in_a_line(error)}); the same command tries again") from None


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def open_file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a URL and the path in it; to be asked anew in each process, since forks share none."""
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    return fs, str(path)


def join_url(url: str, name: str) -> str:
    """Return the URL of a file below another: of `zip://photos::s3://b/a.zip` what lies in the archive."""
    inner, chain, outer = url.partition("::")
    if inner and "://" not in inner:  # `simplecache::s3://bucket`
        return f"{inner}{chain}{join_url(outer, name)}"
    return f"{inner}{'' if inner.endswith('/') else '/'}{name}{chain}{outer}"


def read_file(url: str, *, start: int | None = None, size_bytes: int | None = None) -> bytes:
    """Read a file, or `size_bytes` of it from `start`; of a URL, or of an absolute path of this machine.

    Raises:
        DataError: If it cannot be read.
    """
    if not is_url(url):
        with open(url, "rb") as file:
            file.seek(start or 0)
            return file.read(-1 if size_bytes is None else size_bytes)
    with explained(url):
        fs, path = open_file_system(url)
        end = None if start is None or size_bytes is None else start + size_bytes
        content = b"" if size_bytes == 0 else fs.cat_file(path, start=start, end=end)
        return bytes(content)


def open_file(url: str) -> BinaryIO:
    """Open a file for reading from its beginning to its end; close it."""
    if not is_url(url):
        return open(url, "rb")
    fs, path = open_file_system(url)
    file: BinaryIO = fs.open(path, "rb", block_size=_BLOCK_BYTES)
    return file


class Store:
    """A folder on any file system that fsspec knows.

    Args:
        url: Its URL.
        kind: What is raised when it cannot be read or written.
    """

    def __init__(self, url: str, *, kind: type[WeaksegError] = DataError) -> None:
        self.url = url.rstrip("/") if not url.endswith("://") else url
        self._kind = kind

    def list(self) -> dict[str, Stored]:
        """Return the files below it, at any depth, by their names with `/` between folders; none if it is absent."""
        with explained(self.url, self._kind):
            fs, base = open_file_system(self.url)
            fs.invalidate_cache()
            found: Mapping[str, Mapping[str, object]] = fs.find(base, detail=True)
        prefix = base.strip("/") + "/" if base.strip("/") else ""
        # An object whose name ends with a slash is what consoles make of a folder.
        files = {
            path.lstrip("/"): info
            for path, info in found.items()
            if info.get("type") != "directory" and not path.endswith("/")
        }
        return {path.removeprefix(prefix): describe(info) for path, info in files.items() if path.startswith(prefix)}

    def exists(self, name: str) -> bool:
        """Say whether a file is there."""
        with explained(self.url, self._kind):
            fs, path = open_file_system(join_url(self.url, name))
            fs.invalidate_cache()
            return bool(fs.isfile(path))

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read files, side by side where the file system can."""
        urls = {name: join_url(self.url, name) for name in names}
        with explained(self.url, self._kind):
            fs, _ = open_file_system(self.url)
            paths = {open_file_system(url)[1]: name for name, url in urls.items()}
            found = fs.cat(list(paths)) if paths else {}
            by_path = {str(path).lstrip("/"): bytes(content) for path, content in found.items()}
            return {name: by_path[path.lstrip("/")] for path, name in paths.items()}

    def write_many(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all, side by side where the file system can."""
        if not files:
            return
        with explained(self.url, self._kind):
            fs, _ = open_file_system(self.url)
            paths = {open_file_system(join_url(self.url, name))[1]: content for name, content in files.items()}
            if self.is_object_store():
                fs.pipe(paths)
                return
            for path, content in paths.items():
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                partial = f"{path}.{os.getpid()}{_PARTIAL}"
                fs.pipe_file(partial, content)
                fs.mv(partial, path)

    def is_object_store(self) -> bool:
        """Say whether it puts files whole or not at all."""
        fs, _ = open_file_system(self.url)
        kinds = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
        return not _OBJECT_STORES.isdisjoint(kinds)

    def write_file(self, name: str, path: Path) -> None:
        """Write a large file, whole or not at all, without holding it in memory."""
        with explained(self.url, self._kind):
            fs, place = open_file_system(join_url(self.url, name))
            if self.is_object_store():
                fs.put_file(str(path), place)
                return
            fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            partial = f"{place}.{os.getpid()}{_PARTIAL}"
            fs.put_file(str(path), partial)
            fs.mv(partial, place)

    def describe(self, name: str) -> Stored | None:
        """Return what a listing says of a file now; None if it is not there.

        A listing, since some file systems word the same otherwise when they are asked for one file.
        """
        with explained(self.url, self._kind):
            fs, path = open_file_system(join_url(self.url, name))
            fs.invalidate_cache()
            try:
                beside = fs.ls(path.rpartition("/")[0], detail=True)
            except FileNotFoundError:
                return None
            wanted = path.strip("/")
            return next((describe(info) for info in beside if str(info["name"]).strip("/") == wanted), None)

    def remove_many(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there among them."""
        with explained(self.url, self._kind):
            fs, _ = open_file_system(self.url)
            for name in names:
                with suppress(FileNotFoundError):
                    fs.rm_file(open_file_system(join_url(self.url, name))[1])


def describe(info: Mapping[str, object]) -> Stored:
    """Read what a file system says of a file."""
    token = next((f"{name} {info[name]}" for name in _TOKENS if info.get(name) is not None), "")
    size = info.get("size")
    return Stored(int(str(size)) if size is not None else 0, token, _modified_s(info))


def _modified_s(info: Mapping[str, object]) -> int:
    value = next((info[name] for name in _TIMES if info.get(name) is not None), 0)
    with suppress(ValueError, TypeError, OverflowError):
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
        if isinstance(value, int | float):
            return int(value)
    return 0
