"""The parts of critters, for studies: which pixels of an animal tell its class, and which do not."""

from __future__ import annotations

from pathlib import Path

from weakseg.data.masks import PngMasks
from weakseg.data.synthetic.animals import BODY_PART, HEAD_PART
from weakseg.data.synthetic.writer import STAMP_NAME

PARTS = {"head": HEAD_PART, "body": BODY_PART}
"""Names of the parts and their labels 1..P, ascending, in the order of the labels."""

PARTS_FOLDER = "SegmentationParts"


def open_parts(root: Path) -> PngMasks | None:
    """Return a reader of the part maps of a folder of critters, or None if the folder holds something else.

    Its maps are (H, W) uint8: 0 background, 1 head, 2 body, 255 void at the same pixels as in the class masks.

    Args:
        root: A folder that `weakseg.data.synthetic.write_critters` has written, or any other one.
    """
    is_critters = (root / STAMP_NAME).is_file() and (root / PARTS_FOLDER).is_dir()
    return PngMasks((root / PARTS_FOLDER,)) if is_critters else None
