"""The formats an export can have, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weakseg.data.export.coco import encode_coco, write_coco
from weakseg.data.export.cvat import encode_cvat, write_cvat
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.hf_dataset import encode_hf_dataset, write_hf_dataset
from weakseg.data.export.label_studio import encode_label_studio, write_label_studio
from weakseg.data.export.split import Encoder, LabelledSplit
from weakseg.data.export.voc import encode_voc, write_voc
from weakseg.data.export.yolo_seg import encode_yolo_seg, write_yolo_seg


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Args:
        summary: What it is for, in a few words.
        write: Writes a split into a folder and returns what the user should know.
        encode: Makes what it has of one image.
        holds_images: Whether it holds the images, too.
        has_objects: Whether people work with each part of a mask there, so that specks are left out by default.
    """

    summary: str
    write: Callable[[LabelledSplit, ExportFolder], list[str]]
    encode: Encoder
    holds_images: bool = False
    has_objects: bool = False


FORMATS = {
    "voc": ExportFormat("results as PASCAL VOC's test server takes them", write_voc, encode_voc),
    "coco": ExportFormat("COCO's results, semantic and instances", write_coco, encode_coco, has_objects=True),
    "yolo-seg": ExportFormat(
        "images and polygons for YOLO", write_yolo_seg, encode_yolo_seg, holds_images=True, has_objects=True
    ),
    "cvat": ExportFormat("a zip of 'Segmentation mask 1.1' for CVAT", write_cvat, encode_cvat, has_objects=True),
    "label-studio": ExportFormat(
        "brush predictions for Label Studio", write_label_studio, encode_label_studio, has_objects=True
    ),
    "hf-dataset": ExportFormat(
        "a folder for Hugging Face datasets", write_hf_dataset, encode_hf_dataset, holds_images=True
    ),
}
