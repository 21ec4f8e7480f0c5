"""Predicting images: from files and folders to pictures and a summary."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.depth import PixelRange
from weakseg.data.images import read_image
from weakseg.data.regular_files import is_regular
from weakseg.errors import ConfigError, DataError, UsageError
from weakseg.models.inference import LabelledPixels
from weakseg.models.predictor import batched, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.pipeline.runtime import show_progress
from weakseg.predict.constraint import TagConstraint, constrain
from weakseg.predict.notices import tell_passed_over, tell_suffixed, tell_unconstrained
from weakseg.predict.opened import OpenedModel, allowed_labels, digest_file, limit_views, open_model
from weakseg.predict.pictures import write_pictures
from weakseg.predict.reading import peek_size, settle_range
from weakseg.predict.summary import ImageSummary, Provenance, SummaryFile, read_summary, summarise_labels
from weakseg.predict.targets import OUTPUTS, OutputFiles, PassedOver, list_targets
from weakseg.train.loop import Tick

logger = logging.getLogger("weakseg")

MAX_BATCH = 100_000
"""No memory holds more images at once."""


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Args:
        outputs: What is written, of `OUTPUTS`.
        tags: The only classes that may appear, in every image; None for all.
        tag_file: A file with those of each image; None for none.
        batch: So many images of one size, or tiles of large ones, go through the network at once.
        tiling: How large images are cut.
        max_side_px: Larger images are shrunk to this longer side before the network sees them; 0 for no limit; None
            for that of the run.
        skip_existing: Leave images as they are whose results are there, made by this very model with these settings.
    """

    outputs: tuple[str, ...] = OUTPUTS
    tags: tuple[str, ...] | None = None
    tag_file: Path | None = None
    batch: int = 1
    tiling: Tiling = field(default_factory=Tiling)
    max_side_px: int | None = None
    skip_existing: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"--batch: expected at least 1 image at once, got {self.batch}")
        if self.batch > MAX_BATCH:
            raise UsageError(f"--batch: expected at most {MAX_BATCH} images at once, got {self.batch}")
        if self.max_side_px is not None and self.max_side_px < 0:
            raise UsageError(f"--max-side-px: expected pixels, or 0 for no limit, got {self.max_side_px}")


@dataclass(frozen=True)
class Predicted:
    """What a command has done.

    Args:
        images: One entry per image predicted, in the order of the inputs.
        skipped: Number of images whose results were there.
        unreadable: Number of images that could not be read.
        passed_over: Number of pictures in formats that are not read here, and of pipes and devices called like images.
        summary: The summary of all, or None if it was left out.
    """

    images: tuple[ImageSummary, ...]
    skipped: int
    unreadable: int
    passed_over: int
    summary: Path | None


@dataclass(frozen=True, eq=False)
class _Decoded:
    """An image in memory, and the digest of the file it was read from."""

    name: str
    path: Path
    digest: str
    pixels: NDArray[np.uint8]


def predict_files(
    model: Path,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    device: str,
    options: PredictOptions | None = None,
) -> Predicted:
    """Label images with a trained segmenter and write masks, overlays, confidences and a summary.

    Args:
        model: A run folder, a bundle, a segmenter's `model.safetensors`, or an ONNX file.
        inputs: Image files, folders whose images are taken at any depth, and patterns; see `list_targets`.
        out: Folder to write to; sub-folders of an input folder are kept.
        device: As `runtime.device`.
        options: How; as `PredictOptions` has it when None.

    Returns:
        What was done. Unreadable images and what is passed over are named in the log and in the summary.

    Raises:
        ArtifactError: If there is no trained segmenter, or a file cannot be written.
        ConfigError: If the device is not there or its memory does not suffice.
        DataError: If there is nothing to predict, no image can be read, two inputs would write the same file, an input
            would be overwritten, or a tag is no class.
        UsageError: If options contradict each other.
    """
    options = options or PredictOptions()
    files = OutputFiles(out, options.outputs)
    if options.skip_existing and files.summary is None:
        raise UsageError("--skip-existing needs the summary, which tells what made the results; add it to --outputs")
    found = list_targets(inputs, files=files)
    targets = found.paths
    opened = open_model(model, device=device)
    constraint = constrain(opened.classes, targets, tags=options.tags, tag_file=options.tag_file)
    tell_unconstrained(targets, constraint)
    tell_suffixed(targets)
    tell_passed_over(found.passed_over)
    opened = replace(opened, views=settle_range(limit_views(opened.views, options.max_side_px), targets.values()))
    job = _Job(opened, files, constraint, options)
    return job.run(targets, passed_over=found.passed_over)


class _Job:
    """One command's images on their way from files to results."""

    def __init__(
        self, opened: OpenedModel, files: OutputFiles, constraint: TagConstraint, options: PredictOptions
    ) -> None:
        self._opened = opened
        self._files = files
        self._constraint = constraint
        self._options = options
        settings = {**asdict(opened.views), **asdict(options.tiling)}
        provenance = Provenance(opened.kind, str(opened.path), opened.digest, opened.classes.names, settings)
        self._provenance = provenance
        self._summary = SummaryFile(files.summary, provenance)
        self._unreadable = 0
        ends = opened.views.pixel_range
        self._range = None if ends is None else PixelRange(*ends)

    def run(self, targets: Mapping[str, Path], *, passed_over: Sequence[PassedOver]) -> Predicted:
        for picture in passed_over:
            self._summary.add_passed_over(picture.image, picture.problem)
        kept = self._find_finished(targets) if self._options.skip_existing else {}
        for image in kept.values():
            self._summary.add(image)
        if kept:
            logger.info("%d of %d images are done already", len(kept), len(targets))
        pending = {name: path for name, path in targets.items() if name not in kept}
        found: dict[str, ImageSummary] = {}
        complete = False
        try:
            with show_progress("predicting") as tick:
                for group in self._read_groups(pending, tick):
                    for image in self._predict_group(group):
                        found[image.name] = image
                        self._summary.add(image)
            complete = True
        except KeyboardInterrupt:
            if found and self._files.summary is not None:
                logger.warning("%d images are done; --skip-existing leaves them as they are", len(found) + len(kept))
            raise
        finally:
            if found or kept:
                self._summary.write(complete=complete)
        if not found and not kept:
            raise DataError(f"none of the {len(targets)} images can be read; each is named above")
        images = tuple(found[name] for name in targets if name in found)
        return Predicted(images, len(kept), self._unreadable, len(passed_over), self._files.summary)

    def _find_finished(self, targets: Mapping[str, Path]) -> dict[str, ImageSummary]:
        """Return the images whose results this model made of these very files with these settings and tags."""
        path = self._files.summary
        if path is None or not path.is_file():
            return {}
        made_by, images = read_summary(path)
        if made_by.what_counts != self._provenance.what_counts:
            logger.warning("%s is of another model or of other settings; all images are predicted again", path)
            return {}
        return {
            name: replace(images[name], image=str(source))
            for name, source in targets.items()
            if name in images and self._is_finished(images[name], source)
        }

    def _is_finished(self, image: ImageSummary, source: Path) -> bool:
        return (
            image.files == self._relative_files(image.name)
            and all(place.is_file() for place in self._files.pictures(image.name).values())
            and image.tags == self._constraint.tags_of(image.name)
            and image.digest == _digest_image(source)
        )

    def _relative_files(self, name: str) -> dict[str, str]:
        places = self._files.pictures(name)
        return {kind: place.relative_to(self._files.folder).as_posix() for kind, place in places.items()}

    def _read_groups(self, targets: Mapping[str, Path], tick: Tick) -> Iterator[list[_Decoded]]:
        """Decode images and yield them in groups of one size; unreadable ones are named and left out."""
        order = list(targets.items())
        if self._options.batch > 1:
            order.sort(key=lambda item: peek_size(item[1]))  # images of one size come one after another
        for _, same in groupby(self._decode(order, tick), key=lambda image: image.pixels.shape):
            yield from batched(same, self._options.batch)

    def _decode(self, order: Sequence[tuple[str, Path]], tick: Tick) -> Iterator[_Decoded]:
        for done, (name, path) in enumerate(order):
            tick(done, len(order))
            try:
                # First the digest: of a file that changes meanwhile, --skip-existing shall not keep the result.
                decoded = _Decoded(name, path, _digest_image(path), read_image(path, pixel_range=self._range))
            except DataError as error:
                logger.warning("%s; left out", error)
                self._summary.add_unreadable(path, str(error))
                self._unreadable += 1
                continue
            yield decoded
        tick(len(order), len(order))

    def _predict_group(self, group: Sequence[_Decoded]) -> Iterator[ImageSummary]:
        """Predict images of one size and write their pictures."""
        opened, options = self._opened, self._options
        pixels = [image.pixels for image in group]
        try:
            maps = predict_views(opened.network, pixels, views=opened.views, tiling=options.tiling, batch=options.batch)
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"the GPU's memory does not suffice for {options.batch} images or tiles of up to "
                f"{options.tiling.tile_px} px at once; lower --batch or --tile-px"
            ) from None
        for image, found_maps in zip(group, maps, strict=True):
            tags = self._constraint.tags_of(image.name)
            allowed = allowed_labels(opened.classes, tags)
            found = choose_labels(found_maps, image.pixels, views=opened.views, allowed=allowed)
            write_pictures(self._files.pictures(image.name), image.pixels, found)
            yield self._summarise(image, found, tags)

    def _summarise(self, image: _Decoded, found: LabelledPixels, tags: tuple[str, ...] | None) -> ImageSummary:
        height, width = found.labels.shape
        return ImageSummary(
            name=image.name,
            image=str(image.path),
            digest=image.digest,
            size_hw=(height, width),
            tags=tags,
            confidence=round(float(found.confidence.mean(dtype=np.float64)), 6),
            labels=summarise_labels(found, self._opened.classes),
            files=self._relative_files(image.name),
        )


def _digest_image(path: Path) -> str:
    """Return the digest of an image file; an empty text if it cannot be read, which reading the image explains."""
    try:
        return digest_file(path) if is_regular(path) else ""
    except OSError:
        return ""
