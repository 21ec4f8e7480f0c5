"""LPCAM: how much more a place resembles prototypes of a class than those of its context (Chen and Sun, CVPR 2023).

First the features of the training images are sampled and clustered; the prototypes are a file of the run. Then each
image is compared with them. `weakseg.localize.prototypes` computes both; `docs/lpcam.md` tells it step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from weakseg.config.bounds import SHARE, Range, setting
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localized, Localizer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from weakseg.localize.feature_sample import ClassFeatures
    from weakseg.localize.prototypes import Prototypes
    from weakseg.types import Sample

PROTOTYPES = "prototypes.safetensors"
"""Their file in the folder of the run's localiser."""


@dataclass(frozen=True)
class LPCAMConfig:
    """Prototypes of every class, from the run's own classifier; used when `localize.method` is `lpcam`.

    Args:
        clusters: Centres that the features of a class, and those of its context, are clustered into (COCO 20).
        threshold: A position shows the class where its normalised map exceeds this, and is its context below (COCO
            0.25).
        class_score: Centres of the class that score above this are kept.
        context_scores: Centres of the context that score between these are kept (COCO 0, 0.5).
    """

    clusters: int = setting(12, Range(1, 1000))
    threshold: float = setting(0.1, SHARE)
    class_score: float = setting(0.9, SHARE)
    context_scores: tuple[float, float] = setting((0.05, 0.9), SHARE, ascending=True)


@contextmanager
def open_lpcam(context: LocalizeContext) -> Iterator[ImageLocalizer]:
    """Lend a comparison with the run's prototypes, which are found first if it has none."""
    from weakseg.localize.prototype_files import load_prototypes
    from weakseg.localize.prototypes import prototype_score_maps

    path, section = context.folder / PROTOTYPES, context.section
    if not path.exists():
        _find_prototypes(context, path)
    prototypes = load_prototypes(path)

    def localize(sample: Sample, image: NDArray[np.uint8], _: int, /) -> Localized:
        maps = prototype_score_maps(
            context.classifier,
            image,
            sample.tags,
            prototypes,
            scales=section.scales,
            similarity_temperature=section.similarity_temperature,
        )
        return Localized(maps)

    yield localize


def _find_prototypes(context: LocalizeContext, path: Path) -> None:
    """Sample the features of this process's images; the first process clusters those of all."""
    from weakseg.localize.prototype_files import gather_features, save_prototypes
    from weakseg.train.distributed import rank, wait_for_all

    features = gather_features(_sample_features(context), path.parent)
    if rank() == 0:
        save_prototypes(path, _cluster(features, context))
    wait_for_all()


def _sample_features(context: LocalizeContext) -> Mapping[int, ClassFeatures]:
    from weakseg.localize.feature_sample import merge_features
    from weakseg.localize.prototypes import collect_image

    lpcam = LPCAM.settings_in(context.section)

    def collect(sample: Sample, image: NDArray[np.uint8]) -> Mapping[int, ClassFeatures]:
        return collect_image(
            context.classifier,
            image,
            sample.tags,
            image_id=sample.id,
            seed=context.runtime.seed,
            threshold=lpcam.threshold,
        )

    found: Mapping[int, ClassFeatures] = {}
    for part in context.look_through(collect, label="looking for prototypes"):
        found = merge_features([found, part])
    return found


def _cluster(features: Mapping[int, ClassFeatures], context: LocalizeContext) -> dict[int, Prototypes]:
    from weakseg.localize.prototypes import cluster_features, select_prototypes

    lpcam, prototypes = LPCAM.settings_in(context.section), {}
    for key, own in features.items():
        shown, surroundings = (
            cluster_features(sample, num_clusters=lpcam.clusters, seed=context.runtime.seed)
            for sample in (own.shown, own.context)
        )
        prototypes[key] = select_prototypes(
            shown,
            surroundings,
            context.classifier.classifier.weight,
            key,
            class_score=lpcam.class_score,
            context_scores=lpcam.context_scores,
        )
    return prototypes


LPCAM = Localizer(
    name="lpcam",
    summary="how much more a place resembles prototypes of its class than those of its context",
    settings=LPCAMConfig,
    source="Chen and Sun, CVPR 2023",
    licence="MIT",
    classifiers=("plain",),
    side_by_side=True,
    smooths=True,
    files=(PROTOTYPES,),
    trial=lambda settings: replace(settings, clusters=1),  # more take seconds in a run, but most of the time of a trial
    open=open_lpcam,
)
