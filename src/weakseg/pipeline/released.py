"""Released checkpoints in the place of trainings: found, checked, and written as the networks of a run.

What comes after a network finds the files that it finds after a training; `history.json` is an empty list. The weights
file says which checkpoint it was made of.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from weakseg.config.released import CLASSIFIER_KINDS, classifier_kind, refiner_kind
from weakseg.config.schema import ClassifierConfig, RefineConfig
from weakseg.config.sections.training import TrainingSettings
from weakseg.data.base import Dataset
from weakseg.data.voc import VOC_CLASSES
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.models.affinitynet import AffinityNet
from weakseg.models.checkpoints import read_checkpoint
from weakseg.models.classifier import Classifier
from weakseg.models.irnet import IRNet
from weakseg.models.official_names import recognise_kind
from weakseg.models.weights import load_official
from weakseg.pipeline.context import Context
from weakseg.pipeline.networks import RELEASED, describe_network, save_network
from weakseg.pipeline.origin import Origin
from weakseg.pipeline.records import CONTENTS, read_records
from weakseg.pipeline.seeds import REFINER, require_training_seeds
from weakseg.registry import REFINERS
from weakseg.train.classify import measure_map
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

_MXNET_SUFFIX = ".params"


@dataclass(frozen=True)
class ReleasedNetwork:
    """A released checkpoint that a recipe names.

    Args:
        setting: The setting that names it.
        file: Its path.
        kind: What it must be, see `weakseg.models.weights.load_official`.
        asked_by: The settings that ask for this kind, in words.
    """

    setting: str
    file: str
    kind: str
    asked_by: str


def released_classifier(config: ClassifierConfig) -> ReleasedNetwork | None:
    """Return the checkpoint that takes the place of the classifier's training, or None."""
    if config.released is None:
        return None
    kind = classifier_kind(config.method, config.name)
    asked_by = f"classifier.method '{config.method}' on {config.name}"
    return ReleasedNetwork("classifier.released", config.released, kind, asked_by)


def released_refiner(config: RefineConfig) -> ReleasedNetwork | None:
    """Return the checkpoint that takes the place of the refinement's training, or None; not all methods train."""
    network, section = config.network, f"refine.{config.method}"
    if network is None or network.released is None:
        return None
    kind = refiner_kind(config.method, network.name)
    return ReleasedNetwork(f"{section}.released", network.released, kind, f"{section}.name {network.name}")


def name_released_classifier(context: Context) -> dict[str, JsonValue]:
    """Digest the released classifier for the fingerprint; see `name_released_refiner`."""
    return _name_contents(context, released_classifier(context.config.classifier), stage="classify")


def name_released_refiner(context: Context) -> dict[str, JsonValue]:
    """Digest the released IRNet or AffinityNet for the fingerprint, since another file gives other masks.

    A file that is gone by now counts as the one that was used; `require_released` stops those who would read it again.

    Raises:
        ArtifactError: If the file is there but cannot be read.
    """
    return _name_contents(context, released_refiner(context.config.refine), stage="refine")


def require_released(released: ReleasedNetwork, train: Dataset) -> None:
    """Look for a released checkpoint, and into it.

    Raises:
        ArtifactError: See `load_released`.
    """
    load_released(released, train)


def load_released(released: ReleasedNetwork, train: Dataset) -> AffinityNet | Classifier | IRNet:
    """Rebuild the network of a released checkpoint.

    Args:
        released: What the recipe names.
        train: The training split, whose classes a classifier must score.

    Returns:
        The network on the CPU, see `load_official`.

    Raises:
        ArtifactError: If the file is missing, cannot be read, is of another kind or knows another number of classes.
    """
    path = Path(released.file)
    if not path.is_file():
        raise ArtifactError(
            f"{released.setting}: there is no file {path}; name a released checkpoint of kind {released.kind}, or set "
            "it to null to train a network"
        )
    try:
        network = load_official(path, released.kind)
    except ArtifactError as error:
        raise ArtifactError(f"{released.setting}: {_explain(released, str(error))}") from error
    assert isinstance(network, AffinityNet | Classifier | IRNet)
    if isinstance(network, Classifier) and network.num_classes != len(train.classes):
        raise ArtifactError(
            f"{released.setting}: {path} tells {network.num_classes} classes apart, but the data set {train.name} has "
            f"{len(train.classes)}; those released for VOC tell 20, those for COCO 80"
        )
    return network


def adopt_classifier(context: Context, released: ReleasedNetwork) -> str:
    """Take a released classifier for the run's and measure its mean average precision: checkpoint -> `classifier/`.

    Returns:
        The stage's summary.

    Raises:
        ArtifactError: See `load_released`.
    """
    classifier = load_released(released, context.train)
    assert isinstance(classifier, Classifier)
    _tell_order(released, context.train)
    classifier.to(context.device)
    reached = math.nan
    if context.val is not None:
        workers, max_side_px = context.config.runtime.workers, context.config.data.max_side_px
        reached = measure_map(classifier, context.val, workers=workers, max_side_px=max_side_px)
    origin = _find_origin(released, None if math.isnan(reached) else reached)
    _save(context, "classifier", context.config.classifier, classifier, origin)
    if context.val is None or math.isnan(reached):
        return str(origin)
    return f"{origin}, mAP {100 * reached:.1f} on {context.val.split}, {len(context.val)} images"


def adopt_refiner(context: Context, released: ReleasedNetwork) -> None:
    """Take a released IRNet or AffinityNet for the run's -> `refiner/`; one that is there, whole, is left as it is.

    Raises:
        ArtifactError: See `load_released`.
    """
    folder = context.folder.network(REFINER)
    if folder.model.is_file() and folder.history.is_file():
        return
    config = context.config.refine.network
    assert config is not None, "a released network of a method without one"
    network, origin = load_released(released, context.train), _find_origin(released)
    logger.info("refine: %s", origin)
    _save(context, REFINER, config, network, origin)


def obtain_refiner(
    context: Context, asked_by: str, *, write_labels: Callable[[Context], None], train: Callable[[Context], None]
) -> None:
    """Train the network of a refinement on labels made of the seeds, or adopt a released one; all processes wait.

    Args:
        context: The run.
        asked_by: The network, for messages.
        write_labels: Writes the labels of the training images -> `labels/`.
        train: Trains the network on them -> `refiner/`.

    Raises:
        ConfigError: If the training images get no seeds.
        ArtifactError: See `load_released`.
    """
    released = released_refiner(context.config.refine)
    if released is None:
        require_training_seeds(context, asked_by)
        write_labels(context)
        wait_for_all()
        train(context)
    else:
        adopt_refiner(context, released)
    wait_for_all()


def _save(
    context: Context,
    kind: str,
    config: ClassifierConfig | TrainingSettings,
    network: AffinityNet | Classifier | IRNet,
    origin: Origin,
) -> None:
    info = describe_network(config, context.train.classes, kind=kind, weights_from=origin.file)
    save_network(context.folder.network(kind), network, {**info, RELEASED: asdict(origin)}, ())


def _tell_order(released: ReleasedNetwork, train: Dataset) -> None:
    """Say which class is which output, since the checkpoint does not know; warn where that is unlikely."""
    if rank() != 0:
        return
    names = tuple(train.classes)
    logger.info(
        "classify: the %d outputs of %s are taken for the classes in this order: %s",
        len(names),
        released.file,
        ", ".join(names),
    )
    if len(names) == len(VOC_CLASSES) and names != VOC_CLASSES:
        logger.warning(
            "%s: checkpoints of 20 classes are mostly of VOC, whose outputs are %s to %s in alphabetical order; the "
            "classes of %s are others, so seeds may be of wrong classes (a low mAP tells)",
            released.setting,
            VOC_CLASSES[0],
            VOC_CLASSES[-1],
            train.name,
        )


def _name_contents(context: Context, released: ReleasedNetwork | None, *, stage: str) -> dict[str, JsonValue]:
    if released is None:
        return {}
    key = f"{CONTENTS}{released.setting}"
    if Path(released.file).is_file():
        return {key: _digest(released)}
    own = read_records(context.folder).get(stage)
    return {key: None if own is None else own.parts.get(key)}


def _find_origin(released: ReleasedNetwork, mean_average_precision: float | None = None) -> Origin:
    return Origin(released.file, _digest(released), released.kind, mean_average_precision)


def _digest(released: ReleasedNetwork) -> str:
    """Return the SHA-256 of a checkpoint's bytes, hexadecimal."""
    try:
        with Path(released.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(
            f"{released.setting}: {released.file} cannot be read ({error.strerror or error}); name another file"
        ) from error


def _explain(released: ReleasedNetwork, problem: str) -> str:
    """Reword why a file is not the checkpoint it should be, where its names tell what it is."""
    try:
        names = tuple(read_checkpoint(Path(released.file)))
    except ArtifactError:
        names = ()
    found = recognise_kind(names)
    if found is not None and found != released.kind:
        what = f"a checkpoint of kind {found}, which is for {_name_taker(found)}"
    elif found is None and (Path(released.file).suffix == _MXNET_SUFFIX or any(map(_is_first_layer, names))):
        what = "a backbone alone or a network of weakseg, which a training can start from (weights), but none released"
    else:
        return problem
    return f"{released.file}: {what}; expected a checkpoint of kind {released.kind}, as {released.asked_by} asks for"


def _name_taker(kind: str) -> str:
    """Name the settings that take a kind of checkpoint."""
    for (method, name), own in CLASSIFIER_KINDS.items():
        if own == kind:
            return f"classifier.released with classifier.method '{method}' on {name}"
    learning = [(refiner.name, refiner.trains) for refiner in REFINERS.usable()]
    takers = [name for name, network in learning if network is not None and kind in network.released.values()]
    return f"refine.{takers[0]}.released" if takers else "no setting"


def _is_first_layer(name: str) -> bool:
    """Say whether a name is that of the first convolution of a backbone in torchvision's, PSA's or our layout."""
    return name.removeprefix("backbone.") in ("conv1.weight", "conv1a.weight")
