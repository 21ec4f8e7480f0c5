"""A small folder of photographs as people have them: mixed formats, rotated, grey, and one damaged file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZES_HW = ((60, 80), (80, 60), (72, 72), (64, 96))
COLOURS = {"cat": (200, 60, 50), "sofa": (60, 80, 190)}
EXIF_ORIENTATION = 0x0112
ROTATED = 6
"""EXIF: the camera was held a quarter turn to the left."""


def draw(rng: np.random.Generator, tags: tuple[str, ...], size_hw: tuple[int, int]) -> np.ndarray:
    """Draw noise with one coloured square per tag."""
    image = rng.integers(90, 140, (*size_hw, 3)).astype(np.uint8)
    for slot, tag in enumerate(tags):
        top, left = 8, 6 + slot * (size_hw[1] // 2)
        image[top : top + size_hw[0] // 2, left : left + size_hw[1] // 3] = COLOURS[tag]
    return image


def make_photos(root: Path, *, count: int = 14) -> str:
    """Write `count` photographs and `tags.csv`; every third is a PNG, the last but one is cut off.

    Returns:
        The id of the damaged image.
    """
    rng = np.random.default_rng(0)
    rows = ["image,tags"]
    for index in range(count):
        tags = (("cat",), ("sofa",), ("cat", "sofa"), ())[index % 4]
        image = Image.fromarray(draw(rng, tags, SIZES_HW[index % len(SIZES_HW)]))
        suffix = ".png" if index % 3 == 0 else ".JPG" if index % 3 == 1 else ".jpg"
        path = root / ("holiday" if index % 2 else "home/garden") / f"photo {index:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index == 4:
            image = image.convert("L")
        content = io.BytesIO()
        exif = Image.Exif()
        if index == 5:
            exif[EXIF_ORIENTATION] = ROTATED
        image.save(content, "PNG" if suffix == ".png" else "JPEG", exif=exif)
        cut = len(content.getvalue()) // 2 if index == count - 2 else None
        path.write_bytes(content.getvalue()[:cut])
        rows.append(f"{path.relative_to(root).as_posix()},{';'.join(tags)}")
    (root / "tags.csv").write_text("\n".join(rows) + "\n")
    return f"home/garden/photo {count - 2:02d}"


TINY = (
    "--classifier.name=critter",
    "--classifier.weights=none",
    "--classifier.epochs=2",
    "--classifier.batch_size=4",
    "--classifier.augment.long_side_px=[48, 64]",
    "--classifier.augment.crop_px=48",
    "--localize.scales=[1.0, 0.5]",
    "--localize.compared_images=0",
    "--segmenter.name=critter",
    "--segmenter.weights=classifier",
    "--segmenter.epochs=2",
    "--segmenter.batch_size=4",
    "--segmenter.aspp_rates=[1, 2]",
    "--segmenter.augment.long_side_px=[48, 64]",
    "--segmenter.augment.crop_px=48",
    "--report.gallery_images=4",
    "--runtime.workers=0",
)
"""Overrides that make any recipe finish in seconds."""

TINY_RIB = (
    "--localize.method=rib",
    "--localize.rib.iterations=3",
    "--localize.rib.learning_rate=1e-4",
    "--localize.rib.partners=2",
    "--localize.rib.partner_augment.long_side_px=[48, 64]",
    "--localize.rib.partner_augment.crop_px=48",
)

TINY_IRN = (
    "--refine.method=irn",
    "--refine.irn.name=critter",
    "--refine.irn.weights=classifier",
    "--refine.irn.epochs=1",
    "--refine.irn.batch_size=4",
    "--refine.irn.augment.long_side_px=[48, 64]",
    "--refine.irn.augment.crop_px=48",
    "--refine.irn.radius=5",
    "--refine.irn.pad_px=48",
    "--refine.irn.walk_doublings=3",
    "--refine.irn.instances=true",
)

TINY_PSA = (
    "--refine.method=psa",
    "--refine.psa.name=critter38",
    "--refine.psa.weights=classifier",
    "--refine.psa.epochs=1",
    "--refine.psa.batch_size=4",
    "--refine.psa.augment.long_side_px=[48, 96]",
    "--refine.psa.augment.crop_px=80",
    "--refine.psa.walk_doublings=3",
    "--refine.psa.final_crf=true",
)

TINY_SEAM = ("--classifier.method=seam", "--classifier.name=critter38", "--segmenter.weights=none")

TINY_CRITTERS = ("--data.critters.images=12", "--data.critters.val_images=5", "--data.critters.size_px=48")

FEWER_CRITTERS = (*TINY_CRITTERS, "--data.critters.images=6", "--data.critters.val_images=2")
"""For tests in which no number and no choice hangs on how much there is to learn from."""
