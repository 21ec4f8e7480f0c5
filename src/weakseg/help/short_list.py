"""Which settings the short help shows: the few that users change. All others are behind `--help all`."""

from __future__ import annotations

from weakseg.registry import LOCALIZERS, REFINERS

_SHORT: dict[str, str] = {
    "data.name": "reader of the data set: critters, voc, coco or folder",
    "data.root": "folder of the data set",
    "data.train": "split or list file to learn from",
    "data.val": "split or list file to measure on; null for none",
    "data.tags": "tag file of a folder; null finds it",
    "data.max_side_px": "larger images are shrunk to this longer side; masks keep full size",
    "classifier.method": "plain, or seam: maps that are the same at another size",
    "classifier.name": "backbone; 'weakseg list' shows all",
    "classifier.weights": "imagenet, none, auto or a checkpoint to begin with",
    "classifier.epochs": "passes over the training images",
    "classifier.batch_size": "images per step; less needs less memory",
    "localize.method": "how tags become maps: {localizers}",
    "localize.scales": "sizes at which the classifier sees each image",
    "localize.splits": "which splits get seeds: train, val",
    "refine.method": "how maps become masks: {refiners}",
    "refine.background_threshold": "0..1 or auto; lower gives more pixels to classes",
    "refine.confidence": "whether to write how sure each pixel is",
    "segmenter.name": "backbone of the network that learns from the masks",
    "segmenter.weights": "as for the classifier, or classifier: the run's own",
    "segmenter.epochs": "passes over the training images",
    "segmenter.batch_size": "images per step; less needs less memory",
    "evaluate.scales": "sizes at which the network predicts each image",
    "evaluate.flip": "whether to predict mirrored, too; takes twice as long",
    "evaluate.crf.enabled": "whether a CRF moves predicted borders to edges",
    "report.title": "heading; the run's name when null",
    "report.gallery_images": "how many images the report shows",
    "runtime.device": "auto, cpu, cuda or cuda:1",
    "runtime.workers": "processes that read images",
    "runtime.seed": "another seed is another result",
}
"""By path, in the order they are shown: what it is, in half a sentence."""

_OF_VERB: dict[str, tuple[str, ...]] = {
    "check": ("data", "runtime"),
    "outlines": ("data",),
    "classify": ("data", "classifier", "runtime"),
    "localize": ("data", "localize", "runtime"),
    "refine": ("data", "refine", "runtime"),
    "segment": ("data", "segmenter", "runtime"),
    "evaluate": ("data", "evaluate", "runtime"),
    "report": ("report",),
}
"""Of which sections a verb shows them; `run` and `demo` of all."""


def short_settings(verb: str) -> dict[str, str]:
    """Return the settings that the short help of a verb shows, by path, each with half a sentence.

    Args:
        verb: Such as `run` or `study rib`. A study holds settings fast, so it shows those of the machine alone.
    """
    shown = ("runtime",) if verb.startswith("study ") else _OF_VERB.get(verb)
    names = {"localizers": ", ".join(LOCALIZERS.names()), "refiners": ", ".join(REFINERS.names())}
    return {
        path: text.format_map(names) for path, text in _SHORT.items() if shown is None or path.split(".")[0] in shown
    }
