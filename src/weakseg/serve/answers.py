"""An image's bytes into what is answered: a picture, or a document with classes, areas and run lengths."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from weakseg import __version__
from weakseg.data.depth import PixelRange
from weakseg.data.masks import encode_mask
from weakseg.data.received import decode_image
from weakseg.files import JsonValue
from weakseg.models.inference import LabelledPixels
from weakseg.models.tiling import Tiling
from weakseg.ops.color import label_palette
from weakseg.predict.opened import OpenedModel, allowed_labels, label_image
from weakseg.predict.pictures import encode_picture
from weakseg.predict.summary import FoundLabel, summarise_labels
from weakseg.serve.wishes import Wish

FORMAT = 1
"""Version of the documents; raised when a reader of the old one would go wrong."""

_WARM_UP_HW = (64, 96)
_GREY = 128


@dataclass(frozen=True, eq=False)
class Labeller:
    """A network, and how it is used.

    Args:
        opened: The network, its classes, and how it looks at images.
        tiling: How large images are cut.
        max_pixels: Larger images are refused.
    """

    opened: OpenedModel
    tiling: Tiling
    max_pixels: int

    def warm_up(self) -> None:
        """Label a grey image, so that the first that is sent need not wait for what is made once.

        Raises:
            ArtifactError: If the network cannot be run.
        """
        label_image(self.opened, np.full((*_WARM_UP_HW, 3), _GREY, np.uint8), tiling=self.tiling)

    def describe(self) -> dict[str, JsonValue]:
        """Return what the model is."""
        opened = self.opened
        return {
            "model": opened.path.resolve().name,
            "kind": opened.kind,
            "digest": opened.digest,
            "classes": list(opened.classes.names),
            "colours": label_palette()[: opened.classes.num_labels].tolist(),
        }

    def check(self, wish: Wish) -> None:
        """Raise a `DataError` that names the nearest class if a tag is none."""
        allowed_labels(self.opened.classes, wish.tags)

    def answer(self, content: bytes, wish: Wish) -> bytes:
        """Label an image.

        Args:
            content: The bytes of an image file.
            wish: What is asked for.

        Returns:
            What is answered, of the type that `weakseg.serve.wishes.MEDIA_TYPES` names.

        Raises:
            DataError: If the image cannot be read, is too large, or a tag is no class.
        """
        opened, ends = self.opened, self.opened.views.pixel_range
        image = decode_image(
            content, max_pixels=self.max_pixels, pixel_range=None if ends is None else PixelRange(*ends)
        )
        found = label_image(opened, image, tiling=self.tiling, tags=wish.tags)
        if wish.output != "json":
            return encode_picture(wish.output, image, found)
        return json.dumps(self._describe_found(found, wish)).encode()

    def _describe_found(self, found: LabelledPixels, wish: Wish) -> Mapping[str, JsonValue]:
        labels = summarise_labels(found, self.opened.classes)
        document: dict[str, JsonValue] = {
            "format": FORMAT,
            "weakseg": __version__,
            "digest": self.opened.digest,
            "size_hw": list(found.labels.shape),
            "tags": None if wish.tags is None else list(wish.tags),
            "confidence": round(float(found.confidence.mean(dtype=np.float64)), 6),
            "labels": [_describe_label(label, found.labels, with_rle=wish.masks == "rle") for label in labels],
        }
        if wish.masks == "png":
            document["mask_png"] = base64.b64encode(encode_mask(found.labels)).decode()
        return document


def _describe_label(label: FoundLabel, labels: NDArray[np.uint8], *, with_rle: bool) -> dict[str, JsonValue]:
    """Return what is said of one label; the background has neither a box nor run lengths."""
    mask = labels == label.label
    entry: dict[str, JsonValue] = {
        "name": label.name,
        "label": label.label,
        "colour": label_palette()[label.label].tolist(),
        "area_px": int(mask.sum()),
        "share": label.share,
        "confidence": label.confidence,
    }
    if label.label:
        rle = rle_tools.encode(np.asfortranarray(mask, np.uint8))
        entry["box_xywh"] = [int(value) for value in rle_tools.toBbox(rle)]
        if with_rle:
            entry["segmentation"] = {"size": list(labels.shape), "counts": rle["counts"].decode("ascii")}
    return entry
