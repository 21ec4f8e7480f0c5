"""The ways to train a classifier by name, and the objects that context decoupling pastes into its images."""

from __future__ import annotations

import io
import logging
from dataclasses import asdict, replace
from pathlib import Path

from PIL import Image

from weakseg.data.base import Dataset
from weakseg.data.donors import DonorPool, mine_donors
from weakseg.data.pairs import PairedCrops, draw_pasted_sheet
from weakseg.data.pasting import PasteSettings
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_bytes, write_json
from weakseg.models.classifier import Classifier
from weakseg.models.seam import SEAM
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.networks import plan_training
from weakseg.pipeline.records import read_records
from weakseg.pipeline.telling import show_progress
from weakseg.train.cda import Pasting
from weakseg.train.classify import constant_guess_loss, train_classifier
from weakseg.train.distributed import rank
from weakseg.train.length import count_epochs
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import TrainingHooks, make_augmentation
from weakseg.train.seam import train_seam

logger = logging.getLogger("weakseg")

GUESSING_SHARE = 0.97
"""A last loss above this share of a constant guess's counts as having learned nothing. On photographs of steel a rate
of 0.01 ended at 0.645 where the guess has 0.637; trainings that learn fall below half of it within two epochs."""


def fit_classifier(
    context: Context, classifier: Classifier, pasting: Pasting | None, hooks: TrainingHooks
) -> tuple[EpochRecord, ...]:
    """Train the run's classifier by the recipe's method.

    Args:
        context: The run.
        classifier: What `weakseg.pipeline.starting.start_classifier` has built, on its device.
        pasting: What to paste into training images, or None.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch.
    """
    config, runtime = context.config.classifier, context.config.runtime
    augmentation = make_augmentation(config.augment)
    plan = plan_training(config, runtime, validate=runtime.validate)
    plan = replace(plan, epochs=count_epochs(config, len(context.train)))
    max_side_px = context.config.data.max_side_px
    if isinstance(classifier, SEAM):
        return train_seam(
            classifier,
            context.train,
            context.val,
            augmentation=augmentation,
            plan=plan,
            seed=runtime.seed,
            shrink=config.seam.shrink,
            hardest_share=config.seam.hardest_share,
            lowest_share=config.seam.lowest_share,
            classification_weight=config.seam.classification_weight,
            max_side_px=max_side_px,
            pasting=pasting,
            hooks=hooks,
        )
    return train_classifier(
        classifier,
        context.train,
        context.val,
        augmentation=augmentation,
        plan=plan,
        seed=runtime.seed,
        max_side_px=max_side_px,
        pasting=pasting,
        hooks=hooks,
    )


def warn_of_guessing(train: Dataset, loss: float) -> None:
    """Warn if a classifier's last loss is about that of one which only knows how frequent each tag is.

    Args:
        train: What it learned from.
        loss: Mean loss of its last epoch, in nats.
    """
    guess = constant_guess_loss(train)
    if loss > GUESSING_SHARE * guess > 0:
        logger.warning(
            "the classifier learned nothing of the images: its loss ends at %.3f, always guessing how frequent each "
            "tag is has %.3f; seeds and masks will be arbitrary: try another classifier.optim.learning_rate, more "
            "classifier.epochs, pretrained weights, or look whether the tags are those of the images",
            loss,
            guess,
        )


def open_pasting(context: Context) -> Pasting | None:
    """Cut the objects to paste out of the masks of the run that the recipe names; None if it names none.

    Writes what was found to `classifier/donors.json` and a sheet of pasted images to `classifier/pasted.png`, and warns
    of classes without an object.

    Raises:
        ArtifactError: See `find_donor_source`.
        DataError: If a mask cannot be read or is of another size than its image.
    """
    config, source = context.config.classifier.cda, find_donor_source(context)
    if source is None:
        return None
    with show_progress("cutting out donors") as tick:
        donors = mine_donors(
            context.train,
            source.mask_reader(),
            area_share=config.area_share,
            max_per_class=config.max_per_class,
            seed=context.config.runtime.seed,
            threads=max(1, context.config.runtime.workers),
            tick=tick,
        )
    _warn_of_missing(donors)
    settings = PasteSettings(angle_degrees=config.angle_degrees, side_share=config.side_share, blur_px=config.blur_px)
    if rank() == 0:
        _write_findings(context, donors, settings)
    return Pasting(donors, settings, config.compat)


def find_donor_source(context: Context) -> RunFolder | None:
    """Return the run whose masks objects are cut out by, or None if the recipe names none.

    Raises:
        ArtifactError: If the named folder is no run with masks, or they are of other images.
    """
    masks = context.config.classifier.cda.masks
    if masks is None:
        return None
    source = RunFolder(Path(masks))
    if not source.masks.is_dir():
        raise ArtifactError(
            f"classifier.cda.masks: expected a run folder with masks/, got {source.root}; make that run first, up to "
            "the stage 'refine' (cda_irn_voc takes the masks of the recipe irn_voc), or name another"
        )
    if not any(source.mask(sample.id).is_file() for sample in context.train):
        raise ArtifactError(
            f"classifier.cda.masks: {source.masks} has no mask of any image of {context.train.split}; choose a run on "
            "this data set"
        )
    return source


def name_donor_source(context: Context) -> dict[str, JsonValue]:
    """Name the masks that objects are cut out of, for the fingerprint: another refinement there gives other objects.

    A source that is gone by now, or is being made again, counts as the one that was used.
    """
    masks = context.config.classifier.cda.masks
    if masks is None:
        return {}
    key = f"result of refine in {masks}"
    source = read_records(RunFolder(Path(masks))).get("refine")
    if source is not None and source.finished:
        return {key: source.fingerprint}
    own = read_records(context.folder).get("classify")
    return {key: None if own is None else own.parts.get(key)}


def _warn_of_missing(donors: DonorPool) -> None:
    missing = donors.classes_without_donor
    if missing:
        logger.warning(
            "no object of %d of %d classes could be cut out (%s): no mask shows it alone and of fitting size; these "
            "classes are not pasted",
            len(missing),
            len(donors.statistics),
            ", ".join(missing),
        )


def _write_findings(context: Context, donors: DonorPool, settings: PasteSettings) -> None:
    folder = context.folder.network("classifier")
    write_json(folder.donors, [asdict(entry) for entry in donors.statistics])
    crops = PairedCrops(
        context.train,
        make_augmentation(context.config.classifier.augment),
        seed=context.config.runtime.seed,
        donors=donors,
        settings=settings,
    )
    picture = io.BytesIO()
    Image.fromarray(draw_pasted_sheet(crops)).save(picture, "PNG")
    write_bytes(folder.pasted_sheet, picture.getvalue())
