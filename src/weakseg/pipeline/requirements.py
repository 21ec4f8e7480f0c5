"""What the stages need from outside their run folder, looked for before anything of a run is written or removed.

A stage that is finished needs none of it, and a training that goes on from a checkpoint does not need the weights it
began with. Weights from the network are downloaded here, into the usual caches.
"""

from __future__ import annotations

from weakseg.config.chosen import require_methods
from weakseg.config.network_names import hf_name
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.localize.method import find_localizer
from weakseg.models.hf_source import import_transformers
from weakseg.models.weights import find_weights
from weakseg.pipeline.artifacts import NetworkFolder
from weakseg.pipeline.classifiers import find_donor_source
from weakseg.pipeline.context import Context
from weakseg.pipeline.edited_masks import require_kept, require_own
from weakseg.pipeline.hf_backbones import require_hf_backbone
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.pseudo_masks import require_training_masks
from weakseg.pipeline.refiner_files import require_refiner_files
from weakseg.pipeline.refiner_networks import chosen_network
from weakseg.pipeline.released import released_classifier, released_refiner, require_released
from weakseg.pipeline.saliency import require_saliency
from weakseg.pipeline.seeds import REFINER, require_training_seeds
from weakseg.pipeline.segmenters import require_segmenter
from weakseg.pipeline.starting import tell_of_no_stride
from weakseg.pipeline.threshold import tell_of_no_threshold

NOT_FROM_ELSEWHERE = ("none", "auto", "classifier")
"""Weights that are random, that may be missing, or that the run makes itself."""


def require_for_classify(context: Context, /, *, afresh: bool) -> None:
    """Look for the released classifier, or for the first weights and the masks that objects are cut out by.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone.
        ArtifactError: If weights or masks are not there, or the released checkpoint is not what it should be.
    """
    config = context.config.classifier
    released = released_classifier(config)
    if released is not None:
        require_released(released, context.train)
        return
    tell_of_no_stride(config)
    goes_on = _goes_on(context.folder.network("classifier"), afresh=afresh)
    require_weights("classifier", config.weights, config.name, goes_on=goes_on)
    find_donor_source(context)


def require_for_localize(context: Context, /, *, afresh: bool) -> None:
    """Look for the localiser, and for what it needs from elsewhere.

    Raises:
        ConfigError: If its package is gone, or its settings do not fit the images' classes.
        MissingExtra: If it needs a package that is not installed.
        ArtifactError: If its weights or files are not there.
    """
    section = context.config.localize
    require_methods(context.config, "localize")
    require = find_localizer(section.method).require
    if require is not None:
        require(section, context.train.classes)


def require_for_refine(context: Context, /, *, afresh: bool) -> None:
    """Look for files of others, seeds to learn from, and the first weights of the network that learns from them.

    A released network learns from nothing.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone, the recipe makes no seeds to learn from, or it
            names no folder of the files that the refiner reads.
        ArtifactError: If weights are not there, the released checkpoint is not what it should be, or masks would be
            removed that somebody has edited.
        DataError: If there are no saliency maps, or files that the refiner reads, that can be used.
    """
    refine = context.config.refine
    require_methods(context.config, "refine")
    if afresh:
        require_kept(context.folder, what="making the masks again")
    tell_of_no_threshold(refine)
    datasets = seeded_datasets(context)
    require_saliency(context, datasets)
    require_refiner_files(context, datasets)
    network = refine.network
    if network is None:
        return
    folder, released = context.folder.network(REFINER), released_refiner(refine)
    is_trained = folder.model.is_file() and folder.history.is_file()
    if released is not None:
        if afresh or not is_trained:
            require_released(released, context.train)
        return
    require_training_seeds(context, chosen_network(context)[0].asked_by)
    if afresh or not is_trained:
        goes_on = _goes_on(folder, afresh=afresh)
        require_weights(f"refine.{refine.method}", network.weights, network.name, goes_on=goes_on)


def require_for_segment(context: Context, /, *, afresh: bool) -> None:
    """Look for masks to learn from, for the network and for its first weights.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone, or the recipe makes no masks to learn from.
        ArtifactError: If the network or its weights are not there, or somebody has edited masks.
        MissingExtra: If the network is one of `transformers` and that is not installed.
    """
    require_training_masks(context)
    if context.config.segmenter.masks != "truth" and "refine" not in context.redone:  # else they are made again
        require_own(context.folder, what="training on the masks")
    goes_on = _goes_on(context.folder.network("segmenter"), afresh=afresh)
    require_segmenter(context.config.segmenter, goes_on=goes_on)


def require_for_evaluate(context: Context, /, *, afresh: bool) -> None:
    """Look for what the trained segmenter runs on.

    Raises:
        MissingExtra: If the network is one of `transformers` and that is not installed.
    """
    if hf_name(context.config.segmenter.name) is not None:
        import_transformers(setting="segmenter.name")


def require_weights(section: str, source: str, name: str, *, goes_on: bool = False) -> None:
    """Look for the first weights of a network on a backbone.

    Args:
        section: Its section of the recipe, for messages.
        source: Its setting `weights`.
        name: Its backbone.
        goes_on: Whether the training goes on from a checkpoint, so that the weights it began with are not needed.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone.
        ArtifactError: If there is no such file, or it cannot be downloaded.
    """
    found = hf_name(name)
    if found is not None:
        require_hf_backbone(section, found, source, goes_on=goes_on)
        return
    if goes_on or source in NOT_FROM_ELSEWHERE:
        return
    try:
        find_weights(source, name)
    except (ArtifactError, ConfigError, MissingExtra) as error:
        raise type(error)(f"{section}.weights: {error}") from error


def _goes_on(folder: NetworkFolder, *, afresh: bool) -> bool:
    """Say whether a training goes on from a checkpoint."""
    return not afresh and folder.checkpoint.is_file()
