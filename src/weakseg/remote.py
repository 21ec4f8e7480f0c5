"""Names of what does not lie on this machine: URLs such as `s3://bucket/photos`, and what stands for it here.

`WEAKSEG_CACHE` names the folder for what is copied to this machine; without it that is `weakseg` in the user's folder
of caches. Everything in it can be deleted while no command runs.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from weakseg.errors import ArtifactError

CACHE_VARIABLE = "WEAKSEG_CACHE"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)")
"""Two letters at least: `C:\\photos` is a path."""

_SECRET = re.compile(
    r"(://[^\s/:@]*:|[?&](?:x-amz-signature|x-amz-security-token|x-goog-signature|signature|sig|token|access_token)=)"
    r"(?:(?<=:)[^\s/@]+(?=@)|(?<==)[^\s&]+)",
    re.IGNORECASE,
)
"""Passwords, as in `sftp://user:password@host`, and what signs a URL."""

SHARD = ".tar"

PACKED_SHARDS = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
"""Of these no single member can be read."""

_DIGEST_BYTES = 12


def is_url(text: str) -> bool:
    """Say whether a text names something by a URL, and not by a path of this machine."""
    return _URL.match(text) is not None


def names_shards(text: str) -> bool:
    """Say whether a text names tar files, perhaps several by a pattern."""
    return text.lower().endswith((SHARD, *PACKED_SHARDS))


def name_of(source: str) -> str:
    """Return what a folder that stands for a source is called: `photos` for `s3://bucket/photos` and for its shards."""
    for link in source.split("::"):
        path = PurePosixPath(link.partition("://")[2] if "://" in link else link)
        stem = path.stem if path.suffix.lower() in (SHARD, ".zip") else path.name
        for name in (stem, path.parent.name):
            if re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
                return name
    return "data"


def cache_folder() -> Path:
    """Return the folder for copies of what lies elsewhere; it need not exist.

    Raises:
        ArtifactError: If nothing names it, and the user has no home.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).absolute()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # containers run as numbers that belong to nobody
        raise ArtifactError(
            f"this user has no home folder for what is fetched; set {CACHE_VARIABLE} to a folder with room"
        ) from None
    return Path(base).absolute() / "weakseg"


def trees_folder() -> Path:
    """Return the folder of the trees that stand for data sets elsewhere (`weakseg.data.remote`)."""
    return cache_folder() / "trees"


def is_stand_in(path: Path) -> bool:
    """Say whether a file belongs to such a tree, by its place alone."""
    try:
        return trees_folder() in path.parents
    except ArtifactError:  # nothing was ever fetched
        return False


_said: dict[str, str] = {}
"""What folders of this machine are called in messages: those that stand for folders elsewhere."""


def call_by_url(folder: Path, url: str) -> None:
    """Have messages name a folder of this machine, and what lies in it, by the URL that it stands for."""
    _said[str(folder)] = url


def as_said(text: str) -> str:
    """Return a message's text with folders called as `call_by_url` wants it, and without the secrets of URLs."""
    for folder, url in _said.items():
        text = text.replace(folder, url)
    return _SECRET.sub(r"\1***", text) if "://" in text else text


def digest_of(*texts: object) -> str:
    """Return 24 hexadecimal digits that stand for some texts in names of files."""
    return hashlib.blake2b("\0".join(map(str, texts)).encode(), digest_size=_DIGEST_BYTES).hexdigest()
