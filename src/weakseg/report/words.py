"""The report's words, each explained in a sentence or two; the page shows them where a word is touched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word and what it means.

    Args:
        key: Letters and `-`; the template names it.
        name: The word.
        text: What it means.
    """

    key: str
    name: str
    text: str


WORDS = (
    Word("tag", "Tag", "The name of a class that an image shows. Tags say what is there, not where."),
    Word(
        "seed",
        "Seed",
        "Where in an image the classifier sees a tag: a heat map from dark (not here) to pale (here). Made with the "
        "image's own tags given.",
    ),
    Word(
        "mask",
        "Pseudo mask",
        "A class for every pixel, made of the seeds: cut at the background threshold, then fitted to the edges of the "
        "image. Nobody has drawn it. The segmenter learns from those of train.",
    ),
    Word(
        "segmenter",
        "Segmenter",
        "The network that comes out at the end. It sees an image alone, without tags, and gives each pixel a class; "
        "weakseg predict uses it.",
    ),
    Word("prediction", "Prediction", "The segmenter's mask of an image it has not learned from."),
    Word(
        "truth",
        "Truth mask",
        "A mask that a person has drawn. It is used to measure alone; nothing is learned from it.",
    ),
    Word("train", "train", "The images that the networks learn from. A mask of them is what you came for."),
    Word("val", "val", "Images held out: the networks have not learned from them, so that they show what to expect."),
    Word(
        "iou",
        "IoU and mean IoU",
        "Intersection over union: of the pixels that the mask or the truth calls cat, the share that both do. 100 % is "
        "perfect, 50 % a mask that is twice too large. The mean is taken over the classes and the background.",
    ),
    Word(
        "map",
        "mAP",
        "Mean average precision: how well the classifier ranks the images of a class before all others. 100 % is "
        "perfect. A classifier can be right without knowing where the object is.",
    ),
    Word(
        "threshold",
        "Background threshold",
        "A pixel is background where no seed is above this value. Lower makes masks larger. Fixed: set in the recipe. "
        "Label-free: chosen by the run from colours and tags. Oracle: the best for the truth, which is no choice.",
    ),
    Word(
        "health",
        "Judged without truth",
        "A mask that lacks its tag, covers the whole image, or was swallowed by another tag cannot be right. A class "
        "is bad if half of its images are like that, doubtful from a fifth on.",
    ),
    Word(
        "precision",
        "Precision and recall",
        "Precision: of the pixels that a mask gives a class, the share that is right. Recall: of the pixels that have "
        "it, the share that the mask finds.",
    ),
    Word("labels", "Confident labels", "The pixels a refiner is sure enough of to learn from; stripes are left out."),
    Word("instances", "Instances", "One mask for each object, two dogs apart from one another."),
    Word(
        "ap",
        "AP50, AP75",
        "Average precision of objects: an object counts as found if its mask has an IoU of 50 % (75 %) with the truth.",
    ),
    Word("void", "Void or unsure", "Pixels without a label: nobody has said what they are. They count for nothing."),
)
"""In the order of the list at the page's end."""
