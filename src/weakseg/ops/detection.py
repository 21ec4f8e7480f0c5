"""Scores of detected instances against the truth: average precision of masks as COCO computes it (pycocotools).

A detection is right if its mask's intersection over union with an object of its class, not yet taken by a surer
detection, reaches a limit. Precision is interpolated and averaged over 101 recalls; scores published for VOC mostly
integrate over all recalls instead, which gives slightly other numbers.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from weakseg.errors import ShapeError
from weakseg.ops.instances import Instances, InstanceTruth
from weakseg.types import MAX_CLASSES

MAX_DETECTIONS = 100
"""COCO counts so many detections of each class in an image, the surest ones."""

_IOU_LIMITS = np.linspace(0.5, 0.95, 10)
_AT_50, _AT_75 = 0, 5
_ANY_AREA = [0, 1e10]

Float64Array = NDArray[np.float64]
_Rle = dict[str, list[int] | bytes]


@dataclass(frozen=True, eq=False)
class DetectionResult:
    """Average precision per class and in the mean; fractions in 0..1.

    Args:
        ap50: (C,) float64, average precision at an IoU of 0.5; NaN where the truth has no object of the class.
        ap75: (C,) float64, at an IoU of 0.75.
        ap: (C,) float64, mean over the IoUs 0.5, 0.55, ..., 0.95.
        mean_ap50: Mean of `ap50` over the classes that have an object.
        mean_ap75: Mean of `ap75` over them.
        mean_ap: Mean of `ap` over them.
        support: (C,) int64, the truth's objects per class, crowds left out.
        images: Number of images counted.
    """

    ap50: Float64Array
    ap75: Float64Array
    ap: Float64Array
    mean_ap50: float
    mean_ap75: float
    mean_ap: float
    support: NDArray[np.int64]
    images: int


@dataclass(frozen=True)
class _ImageEntry:
    """What stays of an image: its objects and detections as run lengths."""

    size_hw: tuple[int, int]
    truth: tuple[tuple[_Rle, int, bool], ...]
    found: tuple[tuple[_Rle, int, float], ...]


class DetectionScores:
    """Gathers detections and truth of many images. Picklable; those of several processes are joined by `merge`.

    Masks are kept as run lengths, about 1 kB each. The result does not depend on the order of the images: equal
    scores, which are common (the strongest instance of every image scores 1), are ranked by image id.

    Args:
        num_classes: Number of classes C.

    Raises:
        ShapeError: If `num_classes` is not in 1..254.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise ShapeError(f"expected 1 to {MAX_CLASSES} classes, got {num_classes}")
        self.num_classes = num_classes
        self._entries: dict[str, _ImageEntry] = {}

    @property
    def images(self) -> int:
        """Number of images counted."""
        return len(self._entries)

    def update(self, image_id: str, prediction: Instances, truth: InstanceTruth) -> None:
        """Count one image.

        The truth's void pixels are cut out of the detections first; one that lay in them alone is left out. A
        detection that matches no object, but lies in a crowd of its class, is neither right nor wrong.

        Args:
            image_id: Names the image; each is counted once.
            prediction: Its detections.
            truth: Its objects. Neither is modified.

        Raises:
            ShapeError: If the two differ in size, a class is not below C, or the image was counted before.
        """
        if prediction.size_hw != truth.size_hw:
            raise ShapeError(f"image {image_id}: detections {prediction.size_hw} and truth {truth.size_hw} differ")
        for what, keys in (("prediction", prediction.keys), ("truth", truth.keys)):
            if keys.size and int(keys.max()) >= self.num_classes:
                raise ShapeError(
                    f"image {image_id}: the {what} holds class {keys.max()}, expected 0..{self.num_classes - 1}"
                )
        if image_id in self._entries:
            raise ShapeError(f"image {image_id} was counted before")
        visible = prediction.masks & ~truth.void
        kept = visible.any(axis=(1, 2))
        self._entries[image_id] = _ImageEntry(
            size_hw=truth.size_hw,
            truth=tuple(zip(_encode(truth.masks), truth.keys.tolist(), truth.crowd.tolist(), strict=True)),
            found=tuple(
                zip(
                    _encode(visible[kept]),
                    prediction.keys[kept].tolist(),
                    prediction.scores[kept].tolist(),
                    strict=True,
                )
            ),
        )

    def merge(self, other: DetectionScores) -> None:
        """Add the images of `other`, which is not modified.

        Raises:
            ShapeError: If its number of classes differs, or an image is in both.
        """
        if other.num_classes != self.num_classes:
            raise ShapeError(f"cannot merge scores of {other.num_classes} classes into those of {self.num_classes}")
        shared = sorted(self._entries.keys() & other._entries.keys())
        if shared:
            raise ShapeError(f"cannot merge scores that share {len(shared)} images, such as {shared[0]}")
        self._entries |= other._entries

    def result(self, *, max_detections: int = MAX_DETECTIONS) -> DetectionResult | None:
        """Return the scores of everything counted so far, or None if the truth has no object at all.

        Args:
            max_detections: So many detections of each class in an image are counted, the surest ones.
        """
        support = np.zeros(self.num_classes, np.int64)
        for entry in self._entries.values():
            for _, key, crowd in entry.truth:
                support[key] += not crowd
        if not support.any():
            return None
        by_limit = self._precision(max_detections)
        by_limit[:, support == 0] = np.nan
        ap50, ap75, ap = by_limit[_AT_50], by_limit[_AT_75], by_limit.mean(axis=0)
        return DetectionResult(
            ap50=ap50,
            ap75=ap75,
            ap=ap,
            mean_ap50=float(np.nanmean(ap50)),
            mean_ap75=float(np.nanmean(ap75)),
            mean_ap=float(np.nanmean(ap)),
            support=support,
            images=self.images,
        )

    def _precision(self, max_detections: int) -> Float64Array:
        """Return the average precision (10, C) at every IoU limit."""
        truth: list[dict[str, object]] = []
        found: list[dict[str, object]] = []
        images: list[dict[str, object]] = []
        # Ids start at 1, since COCOeval takes a match with id 0 for none.
        for number, (_, entry) in enumerate(sorted(self._entries.items()), start=1):
            height, width = entry.size_hw
            images.append({"id": number, "height": height, "width": width})
            for rle, key, crowd in entry.truth:
                truth.append(_annotation(len(truth) + 1, number, rle, key) | {"iscrowd": int(crowd)})
            for rle, key, score in entry.found:
                found.append(_annotation(len(found) + 1, number, rle, key) | {"score": score, "iscrowd": 0})
        categories: list[dict[str, object]] = [{"id": key, "name": str(key)} for key in range(self.num_classes)]
        with contextlib.redirect_stdout(io.StringIO()):  # it reports every step
            evaluation = COCOeval(_index(images, categories, truth), _index(images, categories, found), "segm")
            evaluation.params.iouThrs = _IOU_LIMITS
            evaluation.params.maxDets = [max_detections]
            evaluation.params.areaRng = [_ANY_AREA]
            evaluation.params.areaRngLbl = ["all"]
            evaluation.evaluate()
            evaluation.accumulate()
        precision: Float64Array = evaluation.eval["precision"]  # (limits, recalls, classes, areas, maxDets)
        by_limit: Float64Array = precision[:, :, :, 0, 0].mean(axis=1)
        return by_limit


def _encode(masks: NDArray[np.bool_]) -> list[_Rle]:
    """Encode masks (K, H, W) as COCO's packed run lengths."""
    encoded: list[_Rle] = rle_tools.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    return encoded


def _annotation(number: int, image: int, rle: _Rle, key: int) -> dict[str, object]:
    return {
        "id": number,
        "image_id": image,
        "category_id": key,
        "segmentation": rle,
        "area": int(rle_tools.area(rle)),
    }


def _index(
    images: list[dict[str, object]], categories: list[dict[str, object]], annotations: list[dict[str, object]]
) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco
