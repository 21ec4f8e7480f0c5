"""Overrides that make a study of methods finish in seconds."""

from tests.photos import FEWER_CRITTERS, TINY_CRITTERS

TINY_STUDY = (
    *TINY_CRITTERS,
    "--classifier.epochs=2",
    "--classifier.batch_size=4",
    "--classifier.augment.long_side_px=[48, 64]",
    "--classifier.augment.crop_px=48",
    "--localize.scales=[1.0, 0.5]",
    "--localize.rib.iterations=2",
    "--localize.rib.partners=2",
    "--localize.rib.partner_augment.long_side_px=[48, 64]",
    "--localize.rib.partner_augment.crop_px=48",
    "--refine.irn.epochs=1",
    "--refine.irn.batch_size=4",
    "--refine.irn.augment.long_side_px=[48, 64]",
    "--refine.irn.augment.crop_px=48",
    "--refine.irn.radius=5",
    "--refine.psa.epochs=1",
    "--refine.psa.batch_size=4",
    "--refine.psa.augment.long_side_px=[48, 96]",
    "--refine.psa.augment.crop_px=80",
    "--evaluate.threshold_steps=20",
)

SMALLER_STUDY = (*TINY_STUDY, *FEWER_CRITTERS)
"""For tests that run many methods and look at no number."""
