"""Reader of the PASCAL VOC layout: `JPEGImages`, `Annotations`, `ImageSets`, `SegmentationClass[Aug]`, ...Object."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, Problem
from weakseg.data.class_names import compose_name, fold_name
from weakseg.data.instance_masks import PngInstances
from weakseg.data.label_maps import find_label_map, labelmap_classes
from weakseg.data.lists import find_class_list, read_class_set
from weakseg.data.mask_codes import distrust_masks, find_mask_code
from weakseg.data.masks import PngMasks, read_mask
from weakseg.data.scan import find_images
from weakseg.data.voc_splits import find_split
from weakseg.errors import DataError
from weakseg.types import IGNORE_LABEL, ClassSet, Sample

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on

_IMAGES = "JPEGImages"
_ANNOTATIONS = "Annotations"
_MASKS = "SegmentationClass"
_AUGMENTED_MASKS = "SegmentationClassAug"
_OBJECTS = "SegmentationObject"
_SHOWN = 3  # names in a message


def open_voc(root: Path, *, split: str, mask_values: str | None = None, drop_background: bool = False) -> Dataset:
    """Open a split of a folder in VOC layout.

    Tags are the names of all objects in `Annotations/<id>.xml`, difficult and truncated ones included, as the released
    IRN code takes them (it also takes the names of object parts, none of which is a class). Only where an image has no
    XML file, its tags are the labels of its mask; where it has neither, all its classes are unknown.

    Args:
        root: `VOCdevkit`, `VOCdevkit/VOC2012`, the folder that holds `VOCdevkit` or `VOC2012_SEG_AUG`, or any folder
            with `JPEGImages`.
            A `classes.txt` in it, one name per line, replaces the 20 VOC classes; so does a `labelmap.txt`, which also
            tells the colours of masks.
        split: `train`, `train_aug`, `val`, `test`, the name of any list in `ImageSets/Segmentation` (or
            `ImageSets/Main`), or the path of a list file. Where no list of `train_aug` exists, it is every image with
            a mask in `SegmentationClassAug` that is not in `val`.
        mask_values: What numbers in masks mean (`weakseg.data.mask_codes.parse_mask_values`); None for labels.
        drop_background: Whether a line `background` of `classes.txt` is passed over; else it is an error.

    Returns:
        The split in the order of its list. Truth masks come from `SegmentationClassAug` for `train_aug` and from
        `SegmentationClass` otherwise, each with the other as a substitute for masks it lacks. True instances come
        from `SegmentationObject` where that folder exists; the images that only the augmented set has are not in it.

    Raises:
        DataError: If the layout, the list or `classes.txt` cannot be used, or no image of the list exists.
    """
    base = _find_base(root)
    classes = _read_classes(base, drop_background=drop_background)
    code, coded = find_mask_code(base, classes, values=mask_values)
    found = find_images(base / _IMAGES)
    listed = find_split(base, split, present=found.paths)
    mask_folders = (_AUGMENTED_MASKS, _MASKS) if listed.augmented else (_MASKS, _AUGMENTED_MASKS)
    masks = PngMasks(tuple(base / folder for folder in mask_folders if (base / folder).is_dir()), code=code)
    tags = _TagReader(base / _ANNOTATIONS, masks, classes, may_lack_tags=listed.name == "test")
    problems = [*coded, *listed.problems, *(p for p in found.problems if p.kind != "same-id" or p.where in listed.ids)]
    samples = []
    for sample_id in listed.ids:
        path = found.paths.get(sample_id)
        if path is None:
            message = f"listed in split '{listed.name}', but {base / _IMAGES} has no such image; it is left out"
            problems.append(Problem("warning", "missing-image", sample_id, message))
        else:
            samples.append(tags.read(sample_id, path))
    if not samples:
        raise DataError(
            f"none of the {len(listed.ids)} images of split '{listed.name}' ({_examples(listed.ids)}) is in "
            f"{base / _IMAGES}, where {len(found.paths)} images were found ({_examples(found.paths)}); write their "
            "names without the suffix into the list"
        )
    problems.extend(tags.finish())
    doubt = distrust_masks(masks, samples, classes) if masks.folders else None
    problems += [] if doubt is None else [doubt]
    has_objects = (base / _OBJECTS).is_dir() and doubt is None
    # The objects were outlined together with the plain masks, so these tell their classes.
    instances = PngInstances(PngMasks((base / _OBJECTS,)), PngMasks((base / _MASKS,), code=code), len(classes))
    return Dataset(
        name="voc",
        split=listed.name,
        classes=classes,
        samples=tuple(samples),
        mask_reader=masks if masks.folders and doubt is None else None,
        problems=tuple(problems),
        instance_reader=instances if has_objects else None,
    )


def _examples(names: Iterable[str]) -> str:
    shown = [f"'{name}'" for name in itertools.islice(names, _SHOWN)]
    return ", ".join([*shown, "..."]) if shown else "none"


def _read_classes(base: Path, *, drop_background: bool) -> ClassSet:
    listed = find_class_list(base)
    if listed is not None:
        return read_class_set(listed, drop_background=drop_background)
    label_map = find_label_map(base)
    if label_map is not None:
        return labelmap_classes(label_map)
    return ClassSet(VOC_CLASSES)


def _find_base(root: Path) -> Path:
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012", root / "VOC2012_SEG_AUG")
    for base in candidates:
        if (base / _IMAGES).is_dir():
            return base
    what = "is not a folder" if not root.is_dir() else f"holds no {_IMAGES}, nor VOC2012/{_IMAGES}"
    raise DataError(
        f"{root} {what}; a VOC folder has {_IMAGES}/<id>.jpg, {_ANNOTATIONS}/<id>.xml, ImageSets/Segmentation/"
        f"<split>.txt and, for evaluation, {_MASKS}/<id>.png and {_AUGMENTED_MASKS}/<id>.png"
    )


class _TagReader:
    """Reads tags image by image and gathers what is wrong with them."""

    def __init__(self, annotations: Path, masks: PngMasks, classes: ClassSet, *, may_lack_tags: bool) -> None:
        self._annotations = annotations
        self._masks = masks
        self._index = {name: k for k, name in enumerate(classes)}
        folded = Counter(map(fold_name, classes))
        self._alike = {fold_name(name): k for k, name in enumerate(classes) if folded[fold_name(name)] == 1}
        self._all_known = np.ones(len(classes), np.bool_)  # shared by the samples, hence read-only
        self._all_known.setflags(write=False)
        self._may_lack_tags = may_lack_tags
        self._problems: list[Problem] = []
        self._unknown_names: defaultdict[str, list[str]] = defaultdict(list)
        self._from_masks = 0

    def read(self, sample_id: str, image_path: Path) -> Sample:
        """Return the sample with its tags, all unknown if nothing tells them."""
        untagged = Sample(sample_id, image_path, self._no_tags(), np.zeros_like(self._all_known))
        tags = self._from_xml(sample_id)
        if tags is None:
            tags = self._from_mask(untagged)
        if tags is not None:
            return Sample(sample_id, image_path, tags, self._all_known)
        if not self._may_lack_tags:
            message = f"neither {self._annotations / sample_id}.xml nor a mask gives its tags; all are unknown"
            self._problems.append(Problem("warning", "untagged", sample_id, message))
        return untagged

    def finish(self) -> list[Problem]:
        """Return all problems; findings that many images share are reported once."""
        for name, ids in sorted(self._unknown_names.items()):
            message = f"'{name}' in {len(ids)} images (such as {ids[0]}) is not one of the classes; it is ignored"
            self._problems.append(Problem("warning", "unknown-tag", name, message))
        if self._from_masks:
            message = f"{self._from_masks} images have no XML file; their tags are the labels of their masks"
            self._problems.append(Problem("note", "tags-from-masks", str(self._annotations), message))
        return self._problems

    def _from_xml(self, sample_id: str) -> NDArray[np.uint8] | None:
        path = self._annotations / f"{sample_id}.xml"
        try:
            root = ElementTree.parse(path).getroot()
        except FileNotFoundError:
            return None
        except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:
            message = f"cannot read {path} ({error}); the tags are taken from the mask, if there is one"
            self._problems.append(Problem("warning", "bad-annotation", sample_id, message))
            return None
        tags = self._no_tags()
        for name in {(element.text or "").strip() for element in root.iterfind("object/name")}:
            at = self._index.get(compose_name(name), self._alike.get(fold_name(name)))
            if at is not None:
                tags[at] = 1
            else:
                self._unknown_names[name].append(sample_id)
        return tags

    def _from_mask(self, untagged: Sample) -> NDArray[np.uint8] | None:
        path = self._masks.find(untagged)
        if path is None:
            return None
        try:
            labels = np.unique(read_mask(path, code=self._masks.code))
        except DataError as error:
            self._problems.append(Problem("warning", "bad-mask", untagged.id, str(error)))
            return None
        tags = self._no_tags()
        tags[labels[(labels > 0) & (labels <= len(self._index))] - 1] = 1
        self._from_masks += 1
        strange = labels[(labels > len(self._index)) & (labels != IGNORE_LABEL)]
        if len(strange):
            self._unknown_names[f"label {strange[0]}"].append(untagged.id)
        return tags

    def _no_tags(self) -> NDArray[np.uint8]:
        return np.zeros(len(self._index), np.uint8)
