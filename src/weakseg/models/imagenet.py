"""ImageNet weights that are downloaded: torchvision's, once, into a folder that torchvision shares."""

from __future__ import annotations

import hashlib
import re
import sys
from http.client import HTTPException
from pathlib import Path

import torch

from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.lite_groups import LITE_NAMES

IMAGENET_URLS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
}
"""torchvision's IMAGENET1K_V1 weights; the eight digits in a file's name begin its SHA-256."""


def download_imagenet(name: str, cache_dir: Path | None) -> Path:
    """Return the file of a backbone's ImageNet weights, downloading it unless it is there; its hash is checked.

    Args:
        name: The backbone's name.
        cache_dir: Folder of downloads; `torch.hub`'s checkpoint folder if None, which torchvision shares.

    Raises:
        ConfigError: If there are none to download.
        ArtifactError: If the download fails, or the file that is there is damaged.
    """
    if name == "resnet38":
        raise ConfigError(
            "there is no address to download ImageNet weights for 'resnet38' from; set weights to the path of the "
            "authors' MXNet file (.params) or of a converted one (.pth), or to 'none'"
        )
    if name not in IMAGENET_URLS:
        raise ConfigError(
            f"there are no ImageNet weights for '{name}'; set weights to 'none' or a path, "
            f"or choose a backbone that has them: {', '.join((*LITE_NAMES, *sorted(IMAGENET_URLS)))}"
        )
    url = IMAGENET_URLS[name]
    file_name = url.rsplit("/", 1)[-1]
    prefix = _hash_prefix(file_name)
    folder = Path(torch.hub.get_dir()) / "checkpoints" if cache_dir is None else cache_dir
    path = folder / file_name
    if path.is_file():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(prefix):
            raise ArtifactError(f"{path}: damaged, its SHA-256 begins {digest[:8]} instead of {prefix}; delete it")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # It writes to a temporary name and renames once the hash is right, so ranks may run it side by side.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise ArtifactError(
            f"could not download {url} ({error}); without a network, fetch it elsewhere and either put it at {path} "
            "or pass its path as weights"
        ) from error
    return path


def _hash_prefix(file_name: str) -> str:
    match = re.search(r"-([0-9a-f]{8})\.", file_name)
    assert match, f"the name of a published weight file carries its hash: {file_name}"
    return match.group(1)
