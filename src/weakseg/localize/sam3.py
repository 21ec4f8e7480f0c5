"""SAM 3 asked for the tags: where any of the masks that it proposes for a word lies (Carion et al., 2025).

Nothing is trained, and no classifier is needed. `weakseg.models.sam3_source` finds the network and asks it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from weakseg.config.bounds import SHARE, model_setting, setting
from weakseg.errors import ConfigError
from weakseg.localize.clip_prompts import require_pairs
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localized, Localizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weakseg.config.sections.localize import LocalizeConfig
    from weakseg.models.sam3_source import Segmenter3, TextFeatures
    from weakseg.types import ClassSet, Sample, ScoreMaps

logger = logging.getLogger("weakseg")

CELL_PX = 4
"""Maps are kept at this stride, about that of the network's masks."""

LEAST_PRESENCE = 0.01
"""A map is weighed by its tag's presence, which shows in the masks' health, but by no less: maps keep their digits."""

MAX_NAMED = 5
"""Doubtful tags that are named before the rest is only counted."""

_SECTION = "localize.sam3"


@dataclass(frozen=True)
class SAM3Config:
    """A SAM 3 that is asked for the tags by their names; used when `localize.method` is `sam3`.

    Args:
        model: A repository of the Hugging Face hub, or a folder as `save_pretrained` writes it.
        tokenizer: Repository or folder of its tokenizer; null for the one beside the model.
        words: What stands for a class where its name does not, as `class=words`. Names are taken with spaces for
            underscores.
        doubtful_below: A tag that the network finds less likely than this is counted as doubtful, in a warning.
    """

    model: str = model_setting("facebook/sam3")
    tokenizer: str | None = model_setting(None)
    words: tuple[str, ...] = ()
    doubtful_below: float = setting(0.5, SHARE)


def check_sam3(settings: SAM3Config) -> None:
    """Raise a `ConfigError` about texts that cannot be asked with."""
    if not settings.model:
        raise ConfigError(f"{_SECTION}.model: expected a repository or a folder, got an empty text")
    require_pairs(settings.words, section=_SECTION)


def require_sam3(section: LocalizeConfig, classes: ClassSet, /) -> None:
    """Look for the network and its tokenizer, and for words that no class has.

    Raises:
        ConfigError: If words are those of no class.
        MissingExtra: If `transformers` is not installed or too old.
        ArtifactError: If network or tokenizer are not there; what comes from the hub is downloaded here.
    """
    from weakseg.localize.clip_prompts import choose_words
    from weakseg.models.sam3_source import find_sam3

    settings = SAM3.settings_in(section)
    choose_words(classes.names, settings.words, section=_SECTION, released=False)
    find_sam3(settings.model, section=_SECTION, tokenizer=settings.tokenizer)


@dataclass
class Doubts:
    """Counts tags that the network does not find.

    Args:
        below: Presence below which a tag is doubtful.
    """

    below: float
    named: list[str] = field(default_factory=list)
    count: int = 0
    tags: int = 0
    lock: Lock = field(default_factory=Lock)  # images may be localised side by side

    def note(self, sample_id: str, name: str, present: float) -> None:
        """Count a tag."""
        with self.lock:
            self.tags += 1
            if present < self.below:
                self.count += 1
                if len(self.named) < MAX_NAMED:
                    self.named.append(f"{name} in {sample_id} ({present:.2f})")

    def tell(self) -> None:
        """Warn of doubtful tags, if there are any."""
        if self.count:
            more = ", ..." if self.count > len(self.named) else ""
            logger.warning(
                "SAM 3 does not find %d of %d tags, which may be wrong or need other words (%s.words): %s%s",
                self.count,
                self.tags,
                _SECTION,
                ", ".join(self.named),
                more,
            )


@contextmanager
def open_sam3(context: LocalizeContext) -> Iterator[ImageLocalizer]:
    """Lend a SAM 3 with the texts of the classes, each embedded when it is first needed."""
    from weakseg.localize.clip_prompts import choose_words
    from weakseg.models.sam3_source import find_sam3, load_sam3

    settings, names = SAM3.settings_in(context.section), context.train.classes.names
    words = choose_words(names, settings.words, section=_SECTION, released=False)
    segmenter = load_sam3(*find_sam3(settings.model, section=_SECTION, tokenizer=settings.tokenizer))
    segmenter.network.to(context.device)
    texts: dict[int, TextFeatures] = {}
    doubts = Doubts(settings.doubtful_below)

    def localize(sample: Sample, image: NDArray[np.uint8], _: int, /) -> Localized:
        for key in sample.keys:
            if key not in texts:
                texts[key] = segmenter.embed_text(words[key])
        maps, presences = text_score_maps(segmenter, image, sample.keys, [texts[key] for key in sample.keys])
        for key, present in zip(sample.keys, presences, strict=True):
            doubts.note(sample.id, names[key], present)
        return Localized(maps)

    yield localize
    doubts.tell()


def text_score_maps(
    segmenter: Segmenter3, image: NDArray[np.uint8], keys: tuple[int, ...], texts: Sequence[TextFeatures]
) -> tuple[ScoreMaps, tuple[float, ...]]:
    """Ask where an image shows its tags.

    Args:
        segmenter: The network; runs where it is.
        image: (H, W, 3) uint8 RGB, not modified.
        keys: Class indices of the K tags, ascending.
        texts: The tags' texts.

    Returns:
        Maps of one scale in 0..1, each weighed by its tag's presence, at least `LEAST_PRESENCE`; and the presences. An
        image without tags costs no network pass.
    """
    import torch

    from weakseg.localize.frame import fit_frame
    from weakseg.localize.score_maps import zero_maps
    from weakseg.types import ScoreMaps

    size_hw = (image.shape[0], image.shape[1])
    if not keys:
        return zero_maps(keys, size_hw, scales=(1.0,), stride_px=CELL_PX, device=segmenter.device), ()
    embedded = segmenter.embed_image(image)
    found = [segmenter.find(embedded, text) for text in texts]
    weighed = torch.stack([one.scores * max(one.present, LEAST_PRESENCE) for one in found])
    maps = ScoreMaps(keys, (fit_frame(weighed, size_hw, cell_px=CELL_PX),), size_hw)
    return maps, tuple(one.present for one in found)


SAM3 = Localizer(
    name="sam3",
    summary="the masks that a SAM 3 proposes for the tags' names, weighed by its scores; needs no classifier",
    settings=SAM3Config,
    source="Carion et al., 2025 (SAM 3)",
    licence="Apache-2.0 (transformers)",
    needs_classifier=False,
    remedies={
        "unseen": "give the class words that SAM 3 knows better (localize.sam3.words), or correct the tags",
        "swallowed": "give the two classes words that differ more (localize.sam3.words), or look whether their tags "
        "are mixed up",
        "small": "cut these images into parts: SAM 3 sees all of an image at one size",
        "flat": "right if it does fill these images; else give the class narrower words (localize.sam3.words)",
    },
    check=check_sam3,
    open=open_sam3,
    require=require_sam3,
)
