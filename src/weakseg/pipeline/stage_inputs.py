"""What the results of stages depend on besides settings, images and earlier stages; named for their fingerprints."""

from __future__ import annotations

from weakseg.files import JsonValue
from weakseg.pipeline.classifiers import name_donor_source
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.weight import name_weight
from weakseg.pipeline.fitting import name_fit_rule
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.method_versions import name_method_version
from weakseg.pipeline.pseudo_masks import corrected_images
from weakseg.pipeline.refiner_files import name_refiner_files
from weakseg.pipeline.refiner_networks import name_learning_images
from weakseg.pipeline.released import name_released_classifier, name_released_refiner
from weakseg.pipeline.saliency import name_saliency_maps
from weakseg.pipeline.threshold import name_choice_rule


def name_refine_inputs(context: Context) -> dict[str, JsonValue]:
    """Name what masks depend on besides settings and earlier stages."""
    return (
        name_saliency_maps(context)
        | name_refiner_files(context)
        | name_choice_rule(context)
        | name_fit_rule(context)
        | name_released_refiner(context)
        | name_method_version(context, "refine")
        | name_learning_images(context)
        | ({} if context.taught is None else context.taught.name_masks(seeded_datasets(context)))
    )


def name_localize_inputs(context: Context) -> dict[str, JsonValue]:
    """Name what seeds depend on besides settings and earlier stages."""
    return name_method_version(context, "localize")


def name_classify_inputs(context: Context) -> dict[str, JsonValue]:
    """Name what a classifier depends on besides its settings, images and tags."""
    return name_donor_source(context) | name_released_classifier(context) | name_corrected_tags(context)


def name_corrected_tags(context: Context) -> dict[str, JsonValue]:
    """Name the tags that a person has corrected, which a classifier learns from."""
    splits = [dataset for dataset in (context.train, context.val) if dataset is not None]
    return {} if context.taught is None else context.taught.name_tags(splits)


def name_segment_inputs(context: Context) -> dict[str, JsonValue]:
    """Name what a segmenter depends on besides settings and masks: what corrections teach it."""
    if context.taught is None or context.config.segmenter.masks == "truth":
        return {}
    parts = context.taught.name_lessons(context.train)
    if corrected_images(context):
        parts |= name_weight(context)
    return parts
