"""What a run was made of, for the report: its splits, networks, thresholds and seeds, as facts in words."""

from __future__ import annotations

from weakseg.config.network_names import hf_name
from weakseg.config.schema import ClassifierConfig, RunConfig, SegmenterConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import RunFolder, load_tensors
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.origin import read_origin
from weakseg.pipeline.pseudo_masks import choose_training_images
from weakseg.pipeline.refiner_networks import makes_instances
from weakseg.pipeline.released import released_refiner
from weakseg.pipeline.seeds import REFINER
from weakseg.pipeline.threshold import mask_threshold
from weakseg.report.view import Fact
from weakseg.scoring.scores import ClassifierScore, Metrics
from weakseg.train.length import count_epochs


def build_facts(context: Context, metrics: Metrics) -> tuple[Fact, ...]:
    """Say what a run was made of.

    Args:
        context: The run.
        metrics: Its numbers.
    """
    config = context.config
    seeded = " and ".join(
        f"{dataset.split} ({tell_count(len(dataset), 'image')})" for dataset in seeded_datasets(context)
    )
    scales = ", ".join(f"{scale:g}" for scale in config.localize.scales)
    threshold = mask_threshold(context)
    return (
        Fact("Training split", _describe_split(context.train)),
        Fact("Validation split", "none" if context.val is None else _describe_split(context.val)),
        Fact("Classifier", _describe_classifier(context, metrics.classifier)),
        Fact("Seeds", f"{config.localize.method.upper()} at scales {scales}, on {seeded}"),
        Fact(
            "Masks",
            f"refinement {config.refine.method}, "
            + ("no background threshold" if threshold is None else f"background threshold {threshold}")
            + _describe_released_refiner(context),
        ),
        *([_instance_fact(config)] if makes_instances(config) else []),
        Fact(
            "Segmenter",
            _describe_training(
                config.segmenter,
                _name_network(config.segmenter),
                _segmenter_origin(context.folder),
                images=len(choose_training_images(context)),
            )
            + (", taught by the data's true masks" if config.segmenter.masks == "truth" else ""),
        ),
        *([] if metrics.taught is None else [Fact("Corrections", metrics.taught.describe())]),
        Fact("Random seed", f"{config.runtime.seed}, for initialisation, order and augmentation"),
    )


def _instance_fact(config: RunConfig) -> Fact:
    threshold = config.refine.irn.instance_threshold
    return Fact("Instances", f"one mask per object by IRN, background threshold {threshold:g} (fixed)")


def _describe_split(dataset: Dataset) -> str:
    untagged = sum(not sample.keys for sample in dataset)
    partly = sum(not sample.known.all() for sample in dataset)
    counts = [tell_count(len(dataset), "image")]
    counts += [f"{untagged} without tags"] if untagged else []
    counts += [f"{partly} with only some tags known"] if partly else []
    return f"{dataset.split}: {', '.join(counts)}"


def _describe_training(
    config: ClassifierConfig | SegmenterConfig, network: str, weights_from: str, *, images: int
) -> str:
    start = {
        "random": "random weights",
        "imagenet": "ImageNet weights",
        "classifier": "the weights of this run's classifier",
    }.get(weights_from, weights_from)
    epochs = tell_count(count_epochs(config, images), "epoch")
    return f"{network}, started from {start}, {epochs}, batches of {config.batch_size}"


def _describe_classifier(context: Context, score: ClassifierScore | None) -> str:
    config = context.config
    if score is None:
        return f"none: the localiser {config.localize.method} works without"
    if score.released_sha256 is not None:
        return f"{config.classifier.name}, {score.describe_origin()}"
    images = len(context.train)
    return _describe_training(config.classifier, config.classifier.name, score.weights_from, images=images)


def _describe_released_refiner(context: Context) -> str:
    if released_refiner(context.config.refine) is None:
        return ""
    return f", network: {read_origin(context.folder.network(REFINER))}"


def _name_network(config: SegmenterConfig) -> str:
    return config.name if hf_name(config.name) is not None else f"DeepLab-v2 on {config.name}"


def _segmenter_origin(folder: RunFolder) -> str:
    _, info = load_tensors(folder.network("segmenter").model)
    return str(info.get("weights_from", "unknown weights"))


def tell_count(number: int, one: str, many: str | None = None) -> str:
    """Say a count: `1 image`, `1,200 images`.

    Args:
        number: The count.
        one: What is counted.
        many: Its plural; an s more when None.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
