"""One repetition of the study of the bottleneck: images, twins, layers, adaptations; and its files."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.digits import Digits
from weakseg.data.marked_digits import MarkedDigits, make_marked_digits, split_digits, without_digits
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, WeaksegError
from weakseg.files import write_bytes, write_json
from weakseg.models.classifier import Classifier
from weakseg.pipeline.telling import show_progress
from weakseg.studies.bottleneck.adaptation import PartnerTensors, Watched, watch_adaptation
from weakseg.studies.bottleneck.gradients import Regions, layer_gradients, normalise_grey, to_grey
from weakseg.studies.bottleneck.settings import ACTIVATIONS, OBJECTIVES, Activation, BottleneckSettings, Objective
from weakseg.studies.bottleneck.training import measure_accuracy, one_hot, train_twin

TEST_SHARE = 0.3
"""Share of the pictures of digits that no training image shows."""

MARKED_SHARE = 0.1
"""Share of the training images with a marker, the paper's."""

SCENE_STREAM, PARTNER_STREAM = 2, 3
"""Keep the random numbers of the images and of the partners apart, and from `ORDER_STREAM` of `training`."""

SHOWN_EXAMPLES = 8
"""Training images that the figure shows, the first half without a marker."""

SHOWN_MAPS = 2
"""Images whose gradient maps the figure shows, one of each class."""

DIGITS_KEPT = 6
"""Digits after the decimal point that results are kept with."""


@dataclass(frozen=True)
class TwinResult:
    """What one twin showed.

    Args:
        accuracy: Share of unseen images without a marker that it classifies rightly.
        marked_accuracy: The same of the images with a marker.
        marker_accuracy: The same of the markers of those alone; 0.5 is what a guess gives.
        layers: HGR of digit, marker and background for every layer, last the logit; means over the images.
        adaptations: By objective, HGR of the logit before the first update and after each; means over the images that
            were adapted to.
        logits: By objective, the image's own logit at the same times; means over the same images.
        times_s: By objective, mean seconds of an adaptation with everything measured on the way.
    """

    accuracy: float
    marked_accuracy: float
    marker_accuracy: float
    layers: list[list[float]]
    adaptations: dict[str, list[list[float]]]
    logits: dict[str, list[float]]
    times_s: dict[str, float]


@dataclass(frozen=True)
class SeedFiles:
    """The files of one repetition.

    Args:
        folder: The study's results.
        seed: The repetition's seed.
    """

    folder: Path
    seed: int

    @property
    def record(self) -> Path:
        """The numbers, JSON; written last."""
        return self.folder / f"seed-{self.seed}.json"

    @property
    def pictures(self) -> Path:
        """What the figure shows, NPZ: `examples` (N, H, W) and `images` (2, H, W) uint8, `maps` (2, K + 1, H, W)."""
        return self.folder / f"seed-{self.seed}.npz"

    def load(self) -> dict[Activation, TwinResult]:
        """Read the numbers of both twins.

        Raises:
            ArtifactError: If the record is missing or damaged.
        """
        try:
            entries = decode_json(self.record.read_text(encoding="utf-8"))
            return {activation: TwinResult(**entries[activation]) for activation in ACTIVATIONS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self.record} is missing or damaged ({error}); delete it and start the study again"
            ) from None

    def load_pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Read what the figure shows.

        Raises:
            ArtifactError: If the file is missing or damaged.
        """
        try:
            with np.load(self.pictures, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in ("examples", "images", "maps")}
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"{self.pictures} is missing or damaged ({error}); delete {self.record.name} and start again"
            ) from None


def run_seed(files: SeedFiles, digits: Digits, settings: BottleneckSettings) -> None:
    """Compute one repetition and write its files.

    Args:
        files: Where to.
        digits: All pictures.
        settings: Everything else.

    Raises:
        TrainingDiverged: If a training's loss is not finite.
        WeaksegError: If an adaptation diverges.
    """
    rng = np.random.default_rng([files.seed, SCENE_STREAM])
    known, unseen = split_digits(digits, test_share=TEST_SHARE, rng=rng)
    train = make_marked_digits(known, images=settings.train_images, marked_share=MARKED_SHARE, rng=rng)
    marked = make_marked_digits(unseen, images=settings.images, marked_share=1.0, rng=rng)
    plain = make_marked_digits(unseen, images=settings.images, marked_share=0.0, rng=rng)
    entries = {}
    for activation in ACTIVATIONS:
        with show_progress(f"seed {files.seed}: training with {activation}") as tick:
            classifier = train_twin(
                train, activation, norm=settings.norm, epochs=settings.epochs, seed=files.seed, tick=tick
            )
        entries[activation] = asdict(_examine(classifier, activation, train, marked, plain, settings, files.seed))
        if activation == ACTIVATIONS[0]:
            _save_pictures(files.pictures, classifier, train, marked)
    write_json(files.record, entries)


def _examine(
    classifier: Classifier,
    activation: Activation,
    train: MarkedDigits,
    marked: MarkedDigits,
    plain: MarkedDigits,
    settings: BottleneckSettings,
    seed: int,
) -> TwinResult:
    regions = Regions.of(marked)
    maps = layer_gradients(classifier, regions.grey, regions.classes)
    means = [regions.ratios(found, threshold=settings.threshold).nanmean(dim=0).numpy() for found in maps]
    adaptations: dict[str, list[list[float]]] = {}
    logits: dict[str, list[float]] = {}
    times_s: dict[str, float] = {}
    for objective in OBJECTIVES:
        started_s = time.perf_counter()
        watched = _adapt_to_all(classifier, activation, objective, train, regions, settings, seed)
        times_s[objective] = (time.perf_counter() - started_s) / settings.adapted
        adaptations[objective] = [_round(step) for step in np.nanmean([one.ratios for one in watched], axis=0)]
        logits[objective] = _round(np.mean([one.logits for one in watched], axis=0))
    return TwinResult(
        accuracy=measure_accuracy(classifier, plain),
        marked_accuracy=measure_accuracy(classifier, marked),
        marker_accuracy=measure_accuracy(classifier, without_digits(marked)),
        layers=[_round(mean) for mean in means],
        adaptations=adaptations,
        logits=logits,
        times_s=times_s,
    )


def _adapt_to_all(
    classifier: Classifier,
    activation: Activation,
    objective: Objective,
    train: MarkedDigits,
    regions: Regions,
    settings: BottleneckSettings,
    seed: int,
) -> list[Watched]:
    found = []
    with show_progress(f"seed {seed}: {activation}, adapting by {objective}") as tick:
        for at in range(settings.adapted):
            one = watch_adaptation(
                classifier,
                regions.one(at),
                draw_partners(train, int(regions.classes[at]), settings, seed=seed, place=at),
                objective=objective,
                activation=activation,
                updates=settings.iterations,
                lr=settings.learning_rate,
                threshold=settings.threshold,
            )
            if len(one.ratios) <= settings.iterations or not np.isfinite(one.logits).all():
                raise WeaksegError(
                    f"the adaptation to image {at + 1} by {objective} diverged in update {len(one.ratios)} of "
                    f"{settings.iterations}; choose a lower rate than --lr {settings.learning_rate:g}"
                )
            found.append(one)
            tick(at + 1, settings.adapted)
    return found


def draw_partners(
    train: MarkedDigits, chosen: int, settings: BottleneckSettings, *, seed: int, place: int
) -> Iterator[PartnerTensors]:
    """Draw the partners of one image, the same for every classifier and objective.

    Args:
        train: Images to draw from.
        chosen: The image's own class; partners show the other one.
        settings: Number of partners and of updates.
        seed: Seed of the repetition.
        place: Which image it is.

    Yields:
        One batch per update and one more.
    """
    others = np.flatnonzero(train.classes != chosen)
    rng = np.random.default_rng([seed, PARTNER_STREAM, place])
    for _ in range(settings.iterations + 1):
        places = rng.choice(others, settings.partners, replace=len(others) < settings.partners)
        yield normalise_grey(to_grey(train.images[places])), one_hot(torch.from_numpy(train.classes[places]))


def _save_pictures(path: Path, classifier: Classifier, train: MarkedDigits, marked: MarkedDigits) -> None:
    """Write examples, and the gradient maps of the first image of each class."""
    shows_marker = train.marker.any(axis=(1, 2))
    half = SHOWN_EXAMPLES // 2
    shown = [*np.flatnonzero(~shows_marker)[:half], *np.flatnonzero(shows_marker)[:half]]
    places = [int(np.flatnonzero(marked.classes == chosen)[0]) for chosen in range(SHOWN_MAPS)]
    images = marked.images[places]
    maps = layer_gradients(classifier, to_grey(images), torch.from_numpy(marked.classes[places]))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        examples=train.images[shown],
        images=images,
        maps=np.round(255 * torch.stack(maps, dim=1).numpy()).astype(np.uint8),
    )
    write_bytes(path, buffer.getvalue())


def _round(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), DIGITS_KEPT) for value in values]
