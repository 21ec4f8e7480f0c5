"""Which picture formats can be read here: those of Pillow, and HEIC where `pillow-heif` is installed."""

from __future__ import annotations

import importlib
import importlib.util

from PIL import features

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo")
_ALWAYS = (*JPEG_SUFFIXES, ".png", ".apng", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".tga", ".qoi")
_NETPBM = (".ppm", ".pgm", ".pbm", ".pnm", ".pfm")
_AVIF = (".avif", ".avifs")
_HEIF = (".heic", ".heif", ".hif", ".heics")
_JPEG_2000 = (".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jpc")
_RAW = (".dng", ".raw", ".nef", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".srw", ".orf", ".rw2", ".raf", ".pef", ".x3f")
_DRAWINGS = (".svg", ".psd", ".psb", ".xcf", ".kra", ".eps", ".wmf", ".emf")
_OLD = (".ico", ".icns", ".cur", ".pcx", ".sgi", ".ras", ".sun", ".xbm", ".xpm", ".dds", ".wbmp")
_SCIENCE = (".dcm", ".nii", ".nrrd", ".mha", ".mhd", ".fits", ".exr", ".hdr", ".czi", ".nd2", ".lif", ".svs", ".ndpi")
_VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp", ".mts")
_NEVER = (*_RAW, *_DRAWINGS, *_OLD, *_SCIENCE, ".jxl", ".jxr", *_VIDEOS)
_HEIF_PACKAGE = "pillow_heif"


def list_suffixes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lower-case suffixes of pictures that can be read here, and of those that cannot.

    Raw files of cameras, drawings, volumes and films are never read: their pixels need choices that nobody has made.
    """
    readable = {_AVIF: _has("avif"), _JPEG_2000: _has("jpg_2000"), _HEIF: _register_heif()}
    more = tuple(suffix for suffixes, can in readable.items() if can for suffix in suffixes)
    rest = tuple(suffix for suffixes, can in readable.items() if not can for suffix in suffixes)
    return (*_ALWAYS, *_NETPBM, *more), (*rest, *_NEVER)


def advise(suffix: str) -> str:
    """Say what to do about pictures with a suffix that is not read."""
    if suffix in _HEIF:
        return "install pillow-heif (pip install 'weakseg[heic]'), or convert them to JPEG"
    if suffix in _VIDEOS:
        return "save frames of them as JPEG or PNG"
    return "convert them to JPEG or PNG"


def describe_format(suffix: str) -> str:
    """Say that pictures with a suffix are not read, and what to do about them."""
    return f"{suffix.lower()} is not read here; {advise(suffix.lower())}"


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
