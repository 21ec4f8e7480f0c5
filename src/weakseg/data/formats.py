"""Which picture formats can be read here: those of Pillow, and HEIC where `pillow-heif` is installed."""

from __future__ import annotations

import importlib
import importlib.util

from PIL import features

_ALWAYS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
_AVIF = (".avif",)
_HEIF = (".heic", ".heif", ".hif")
_JPEG_2000 = (".jp2", ".j2k")
_NEVER = (".dng", ".raw", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".svg", ".psd", ".jxl", ".dcm", ".nii")
_HEIF_PACKAGE = "pillow_heif"


def list_suffixes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lower-case suffixes of pictures that can be read here, and of those that cannot.

    Raw files of cameras, drawings and medical volumes are never read: their pixels need choices that nobody has made.
    """
    readable = {_AVIF: _has("avif"), _JPEG_2000: _has("jpg_2000"), _HEIF: _register_heif()}
    more = tuple(suffix for suffixes, can in readable.items() if can for suffix in suffixes)
    rest = tuple(suffix for suffixes, can in readable.items() if not can for suffix in suffixes)
    return (*_ALWAYS, *more), (*rest, *_NEVER)


def advise(suffix: str) -> str:
    """Say what to do about pictures with a suffix that is not read."""
    if suffix in _HEIF:
        return "install pillow-heif (pip install 'weakseg[heic]'), or convert them to JPEG"
    return "convert them to JPEG or PNG"


def _has(feature: str) -> bool:
    return bool(features.check(feature))


def _register_heif() -> bool:
    if importlib.util.find_spec(_HEIF_PACKAGE) is None:
        return False
    try:
        importlib.import_module(_HEIF_PACKAGE).register_heif_opener()
    except (ImportError, AttributeError, OSError):  # an installation without its library
        return False
    return True
