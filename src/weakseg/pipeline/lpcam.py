"""LPCAM in a run: prototypes of every class are sampled, clustered and kept as a file; then each image is compared.

Every process samples its share of the training images. The samples do not depend on who takes which, so that one
process and many end with the same prototypes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.config.schema import LPCAMConfig
from weakseg.data.images import ShrunkImage
from weakseg.data.loaders import iterate_shrunk
from weakseg.errors import ArtifactError
from weakseg.localize.feature_sample import ClassFeatures, FeatureSample, merge_features
from weakseg.localize.lpcam import (
    Prototypes,
    cluster_features,
    collect_image,
    prototype_score_maps,
    select_prototypes,
)
from weakseg.models.classifier import Classifier
from weakseg.pipeline.artifacts import load_tensors, save_tensors
from weakseg.pipeline.localized import Localized, Localizer
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.side_by_side import LARGE_PX, run_side_by_side
from weakseg.train.distributed import rank, wait_for_all, world_size
from weakseg.types import Sample

KINDS = ("shown", "context")


@contextmanager
def open_lpcam(context: Context, classifier: Classifier) -> Iterator[Localizer]:
    """Open LPCAM for a block of calls; finds the prototypes first if the run has none."""
    path = context.folder.prototypes
    if not path.exists():
        _find_prototypes(context, classifier, path)
    prototypes, config = load_prototypes(path), context.config.localize

    def localize(sample: Sample, image: NDArray[np.uint8], _: int, /) -> Localized:
        maps = prototype_score_maps(
            classifier,
            image,
            sample.tags,
            prototypes,
            scales=config.scales,
            similarity_temperature=config.similarity_temperature,
        )
        return Localized(maps)

    yield localize


def save_prototypes(path: Path, prototypes: Mapping[int, Prototypes]) -> None:
    """Write the prototypes of the classes by their index."""
    tensors = {
        f"{kind}.{key}": torch.from_numpy(getattr(own, kind)) for key, own in prototypes.items() for kind in KINDS
    }
    save_tensors(path, tensors, {"kind": "prototypes"})


def load_prototypes(path: Path) -> dict[int, Prototypes]:
    """Read what `save_prototypes` wrote.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    tensors, info = load_tensors(path)
    try:
        if info.get("kind") != "prototypes":
            raise KeyError("kind")
        keys = sorted({int(name.split(".")[1]) for name in tensors})
        return {key: Prototypes(*(tensors[f"{kind}.{key}"].numpy() for kind in KINDS)) for key in keys}
    except (KeyError, ValueError, IndexError):
        raise ArtifactError(f"{path} holds no prototypes; delete it and run the stage 'localize' again") from None


def _find_prototypes(context: Context, classifier: Classifier, path: Path) -> None:
    own = _collect(context, classifier, context.config.localize.lpcam)
    if world_size() > 1:
        own = _exchange(own, path.parent)
    if rank() == 0:
        save_prototypes(path, _cluster(own, classifier, context))
    wait_for_all()


def _collect(context: Context, classifier: Classifier, config: LPCAMConfig) -> Mapping[int, ClassFeatures]:
    """Sample the features of this process's tagged training images."""
    seed, runtime = context.config.runtime.seed, context.config.runtime
    samples = [sample for sample in context.train.samples[rank() :: world_size()] if sample.keys]
    images = iterate_shrunk(
        context.train, samples, max_side_px=context.config.data.max_side_px, workers=runtime.workers
    )

    def sample_one(item: tuple[Sample, ShrunkImage]) -> Mapping[int, ClassFeatures]:
        sample, image = item
        return collect_image(
            classifier, image.pixels, sample.tags, image_id=sample.id, seed=seed, threshold=config.threshold
        )

    threads = torch.get_num_threads() if context.device.type == "cpu" else 1
    found: Mapping[int, ClassFeatures] = {}
    with show_progress("looking for prototypes") as tick:
        parts = run_side_by_side(sample_one, images, threads=threads, is_large=_is_large)
        for done, part in enumerate(parts):
            found = merge_features([found, part])
            tick(done + 1, len(samples))
    return found


def _is_large(item: tuple[Sample, ShrunkImage]) -> bool:
    return item[1].pixels[..., 0].size > LARGE_PX


def _cluster(features: Mapping[int, ClassFeatures], classifier: Classifier, context: Context) -> dict[int, Prototypes]:
    config, seed = context.config.localize.lpcam, context.config.runtime.seed
    prototypes = {}
    with show_progress("clustering features") as tick:
        for done, (key, own) in enumerate(features.items()):
            shown, surroundings = (
                cluster_features(sample, num_clusters=config.clusters, seed=seed) for sample in (own.shown, own.context)
            )
            prototypes[key] = select_prototypes(
                shown,
                surroundings,
                classifier.classifier.weight,
                key,
                class_score=config.class_score,
                context_scores=config.context_scores,
            )
            tick(done + 1, len(features))
    return prototypes


def _exchange(own: Mapping[int, ClassFeatures], folder: Path) -> Mapping[int, ClassFeatures]:
    """Give the samples of all processes to the first through files; the others get theirs back."""
    part = folder / f"features.{rank()}.safetensors"
    save_tensors(part, _to_tensors(own), {"kind": "features"})
    wait_for_all()
    parts = [folder / f"features.{other}.safetensors" for other in range(world_size())]
    merged = merge_features([_to_features(load_tensors(path)[0]) for path in parts]) if rank() == 0 else own
    wait_for_all()
    part.unlink()
    return merged


def _to_tensors(features: Mapping[int, ClassFeatures]) -> dict[str, torch.Tensor]:
    tensors = {}
    for key, own in features.items():
        for kind in KINDS:
            sample: FeatureSample = getattr(own, kind)
            tensors[f"features.{kind}.{key}"] = torch.from_numpy(sample.features)
            tensors[f"priorities.{kind}.{key}"] = torch.from_numpy(sample.priorities.view(np.int64))
    return tensors


def _to_features(tensors: Mapping[str, torch.Tensor]) -> dict[int, ClassFeatures]:
    def restore(kind: str, key: int) -> FeatureSample:
        drawn = tensors[f"priorities.{kind}.{key}"].numpy().view(np.uint64)
        return FeatureSample(tensors[f"features.{kind}.{key}"].numpy(), drawn)

    keys = sorted({int(name.rsplit(".", 1)[1]) for name in tensors})
    return {key: ClassFeatures(restore("shown", key), restore("context", key)) for key in keys}
