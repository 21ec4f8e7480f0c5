"""Four images of cats and dogs: what they show, and the plain table that says so."""

from collections.abc import Sequence
from pathlib import Path

from tests.data.layouts import write_image

SHOWN = {"1": ("cat",), "2": ("dog",), "3": ("cat", "dog"), "4": ()}
TABLE = "image,tags\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat;dog\n4.jpg,\n"


def with_images(root: Path, names: Sequence[str] = ("1.jpg", "2.jpg", "3.jpg", "4.jpg"), *, below: str = "") -> Path:
    """Write an image of its own shade for each name, in a folder of the root or in the root, which is returned."""
    for shade, name in enumerate(names):
        write_image(root / below / name, shade=shade)
    return root
