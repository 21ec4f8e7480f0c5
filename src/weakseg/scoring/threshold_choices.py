"""What each way to choose a background threshold means, in the words of the report and of a bundle's model card."""

from __future__ import annotations

from weakseg.scoring.scores import ThresholdChoice

THRESHOLD_CHOICES: dict[ThresholdChoice, str] = {
    "fixed": "set in the recipe before the run; where it came from is for its author to say",
    "oracle": "the best one for the truth masks of that very split, which nobody has who needs masks: an upper bound",
    "label-free": "chosen by the run itself without looking at any truth mask",
    "corrected": "chosen by the run without truth masks, but for those of `train` that a person has corrected",
    "none": "there is none: the background competes with the classes, in a network or in the walk of AffinityNet",
}
