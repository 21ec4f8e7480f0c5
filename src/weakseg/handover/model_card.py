"""The model card of a bundle: what the network was trained on, what was measured, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weakseg.config.schema import RunConfig
from weakseg.files import JsonValue
from weakseg.models.licences import describe_terms
from weakseg.pipeline.corrections.taught import CORRECTED_MASKS
from weakseg.pipeline.records import StageRecord
from weakseg.scoring.from_counts import NAN
from weakseg.scoring.scores import Metrics, percent
from weakseg.scoring.threshold_choices import THRESHOLD_CHOICES
from weakseg.types import ClassSet

_STAGES = ("classify", "localize", "refine", "segment")


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card is written from; nothing in it may name a place on the machine.

    Args:
        config: The recipe.
        classes: The classes.
        weights_from: Where the training of the segmenter began.
        classifier_weights_from: Where that of the run's classifier began; None if nothing tells.
        records: What the run says of its stages.
        versions: Versions of what computed.
        metrics: What was measured, or None.
    """

    config: RunConfig
    classes: ClassSet
    weights_from: str
    classifier_weights_from: str | None
    records: Mapping[str, StageRecord]
    versions: Mapping[str, JsonValue]
    metrics: Metrics | None


def write_card(facts: CardFacts) -> str:
    """Return the card as Markdown, with the header that the Hugging Face hub reads."""
    parts = [
        _HEADER,
        _describe(facts),
        _USE,
        _list_classes(facts.classes),
        _describe_training(facts),
        _describe_measures(facts.metrics),
        _describe_limits(facts),
        _describe_licence(facts),
    ]
    return "\n\n".join(parts) + "\n"


_HEADER = """---
library_name: weakseg
pipeline_tag: image-segmentation
license: unknown
---"""

_USE = """## Use

```
pip install weakseg
weakseg predict THIS_FOLDER photos --out masks
```

`THIS_FOLDER` is this folder, or the zip file it came in. Neither the training images nor the run are needed. Masks are
palette PNGs of the labels below. `weakseg export THIS_FOLDER --to onnx` writes a file for onnxruntime."""

_LIMITS = """## Limits

- {labelled} What always occurs together with a class in the training images (rails with trains,
  water with boats) may be labelled as that class.
- It knows the classes above and calls everything else background. Nothing is known of how it does on images unlike the
  training images.
- The confidence it writes is the network's own probability. It has not been calibrated.
- Numbers above are of one run; another seed, torch version or processor moves them."""


_LICENCE = """## Licence

**Not stated.** Whoever hands this bundle over has to say here under which terms. The weights may be bound by the terms
of the training images and of the weights that training began with. The code of weakseg itself is under the MIT
licence."""

_OWN = "classifier"
"""Where a segmenter's weights come from if they are the backbone of its run's classifier."""


def _describe(facts: CardFacts) -> str:
    number = len(facts.classes)
    if facts.config.segmenter.masks == "truth":
        learnt = "the data set's own masks"
    elif _count_corrected(facts):
        learnt = f"masks that it made from image-level tags, {_count_corrected(facts)} of which a person has corrected"
    else:
        learnt = "masks that it made from image-level tags alone"
    return (
        f"# Segmentation network of {number} {'class' if number == 1 else 'classes'}\n\n"
        f"Labels every pixel of a photograph. Trained by weakseg on {learnt}."
    )


def _count_corrected(facts: CardFacts) -> int:
    """Return the number of corrected masks that the network has learnt from, as the run's record has it."""
    number = facts.records["segment"].parts.get(CORRECTED_MASKS, 0) if "segment" in facts.records else 0
    return number if isinstance(number, int) else 0


def _describe_limits(facts: CardFacts) -> str:
    labelled = "No pixel was labelled by hand."
    if facts.config.segmenter.masks == "truth":
        labelled = "Its training masks are the data set's own."
    elif _count_corrected(facts):
        labelled = f"Only {_count_corrected(facts)} of its training masks were corrected by hand."
    return _LIMITS.format(labelled=labelled)


def _list_classes(classes: ClassSet) -> str:
    rows = [f"| {label} | {_cell(name)} |" for label, name in enumerate(classes.label_names)]
    return "\n".join(["## Labels", "", "| label | name |", "| --- | --- |", *rows])


def _describe_training(facts: CardFacts) -> str:
    config = facts.config
    rows = [
        ("data", f"reader `{config.data.name}`, split `{config.data.train}`"),
        ("network", f"`{config.segmenter.name}`, which began with the weights `{facts.weights_from}`"),
        ("method", f"seeds `{config.localize.method}`, masks `{config.refine.method}`"),
        *((name, facts.records[name].summary) for name in _STAGES if name in facts.records),
        ("seed", str(config.runtime.seed)),
        ("made with", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
    ]
    lines = [f"| {name} | {_cell(text)} |" for name, text in rows if text]
    return "\n".join(
        ["## Training", "", "| | |", "| --- | --- |", *lines, "", "`recipe.yaml` has every setting; paths are removed."]
    )


def _describe_measures(metrics: Metrics | None) -> str:
    if metrics is None:
        return "## Numbers\n\nNothing has been measured: the run was not evaluated."
    lines = ["## Numbers", ""]
    if metrics.scores:
        lines += [
            "Mean IoU in %, over all images of a split together. Seeds and masks were given the images' own tags, the",
            "network (`segmenter`) was not: do not compare them.",
            "",
            "| what | split | images | tags | background threshold | mIoU |",
            "| --- | --- | ---: | --- | --- | ---: |",
        ]
        for score in metrics.scores:
            threshold = "–" if score.threshold is None else f"{score.threshold:g} ({score.threshold_choice})"
            tags = "given" if score.given_tags else "not given"
            lines.append(
                f"| {score.what} | {score.split} | {score.images} | {tags} | {threshold} | "
                f"{percent(score.mean_iou, undefined=NAN)} |"
            )
        reasons = dict.fromkeys(f"- {s.split}: {s.undefined}." for s in metrics.scores if s.undefined is not None)
        lines += ["", f"Not measured ({NAN}):", "", *reasons] if reasons else []
        used = dict.fromkeys(score.threshold_choice for score in metrics.scores)
        lines += ["", "How thresholds were chosen:", ""]
        lines += [f"- `{choice}`: {THRESHOLD_CHOICES[choice]}." for choice in used]
        lines += _list_class_scores(metrics)
    else:
        lines.append("No truth masks: neither masks nor network have been scored.")
    classifier = metrics.classifier
    if classifier is not None and classifier.mean_average_precision is not None:
        released = "" if classifier.released_sha256 is None else f"; it is a {classifier.describe_origin()}"
        lines += [
            "",
            f"Classifier of the tags: mean average precision {percent(classifier.mean_average_precision)} % on "
            f"{classifier.split}, {classifier.images} images{released}.",
        ]
    lines += [line for note in metrics.notes for line in ("", f"Note: {note}.")]
    return "\n".join(lines)


def _describe_licence(facts: CardFacts) -> str:
    if facts.weights_from != _OWN:
        terms = describe_terms(facts.config.segmenter.name, facts.weights_from)
    elif facts.classifier_weights_from is None:
        terms = "Training began with the backbone of the run's classifier; where that began is not known."
    else:
        began = describe_terms(facts.config.classifier.name, facts.classifier_weights_from)
        terms = f"Training began with the backbone of the run's classifier. For that: {began}"
    return f"{_LICENCE}\n\n{terms}"


def _list_class_scores(metrics: Metrics) -> list[str]:
    """Return the table of the network's IoU per label; empty where it was not scored."""
    scores = [score for score in metrics.scores if score.subject == "segmenter"]
    if not scores:
        return []
    heads: Sequence[str] = [f"IoU in % on {score.split}, {score.images} images" for score in scores]
    lines = ["", "The network by label:", "", f"| label | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for label, name in enumerate(metrics.label_names):
        lines.append(f"| {_cell(name)} | {' | '.join(percent(score.iou[label]) for score in scores)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
