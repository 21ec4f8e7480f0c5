"""CLIP-ES: maps from a CLIP that has never seen a tag of the data set (Lin et al., CVPR 2023). Nothing is trained.

The texts are embedded once and kept as a file of the run. `weakseg.localize.clip_maps` computes the maps,
`weakseg.localize.clip_texts` the embeddings, and `weakseg.models.clip_source` finds the network; `docs/clip_es.md`
tells it step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weakseg.config.bounds import SHARE, model_setting, setting
from weakseg.errors import ConfigError
from weakseg.lazy import open_names
from weakseg.localize.clip_prompts import BACKGROUND_WORDS, BOX_THRESHOLD, PROMPT, SLOT, require_pairs
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localized, Localizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weakseg.config.sections.localize import LocalizeConfig
    from weakseg.localize.clip_maps import attention_refine as attention_refine
    from weakseg.localize.clip_maps import clip_input as clip_input
    from weakseg.localize.clip_maps import grad_cam as grad_cam
    from weakseg.models.clip_source import CLIP, CLIPSource
    from weakseg.types import ClassSet, Sample

__getattr__ = open_names(__name__, "weakseg.localize.clip_maps", ("attention_refine", "clip_input", "grad_cam"))

TEXTS = "texts.safetensors"
"""The embeddings' file in the folder of the run's localiser."""

_SECTION = "localize.clip_es"


@dataclass(frozen=True)
class CLIPESConfig:
    """What CLIP knows of words, instead of a classifier; used when `localize.method` is `clip_es`.

    Args:
        model: A CLIP with a vision transformer: a repository of the Hugging Face hub, a folder as `save_pretrained`
            writes it, or a file of OpenAI's weights (docs/clip_es.md).
        tokenizer: Repository or folder of its tokenizer; null for the one beside the model.
        prompts: Templates that words fill in; the embeddings of several are averaged.
        words: What stands for a class in the prompts where its name does not, as `class=words`. Names are taken with
            spaces for underscores; VOC's and COCO's classes have the released words unless others are given.
        backgrounds: Words for what images show beside the classes. One that is part of a class's name is left out.
        box_threshold: Share of a map's maximum above which its parts are boxed (COCO 0.7).
    """

    model: str = model_setting("openai/clip-vit-base-patch16")
    tokenizer: str | None = model_setting(None)
    prompts: tuple[str, ...] = (PROMPT,)
    words: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = BACKGROUND_WORDS
    box_threshold: float = setting(BOX_THRESHOLD, SHARE)


def check_clip_es(settings: CLIPESConfig) -> None:
    """Raise a `ConfigError` about texts that cannot be asked with."""
    if not settings.model:
        raise ConfigError(f"{_SECTION}.model: expected a repository, a folder or a file, got an empty text")
    if not settings.prompts:
        raise ConfigError(f"{_SECTION}.prompts: expected at least one, such as '{PROMPT}', got an empty list")
    for prompt in settings.prompts:
        if prompt.count(SLOT) != 1:
            raise ConfigError(f"{_SECTION}.prompts: expected '{SLOT}' once in each, such as '{PROMPT}', got '{prompt}'")
    require_pairs(settings.words, section=_SECTION)
    if not any(word.strip() for word in settings.backgrounds):
        raise ConfigError(
            f"{_SECTION}.backgrounds: expected at least one word, since a class alone competes with nothing, got none"
        )


def require_clip_es(section: LocalizeConfig, classes: ClassSet, /) -> None:
    """Look for the network and its tokenizer, and for words that no class has.

    Raises:
        ConfigError: If words are those of no class, or no word for backgrounds is left.
        MissingExtra: If `transformers` is not installed.
        ArtifactError: If network or tokenizer are not there; what comes from the hub is downloaded here.
    """
    from weakseg.localize.clip_prompts import choose_backgrounds, choose_words
    from weakseg.models.clip_source import find_clip, find_tokenizer

    settings = CLIP_ES.settings_in(section)
    choose_words(classes.names, settings.words)
    choose_backgrounds(classes.names, settings.backgrounds)
    find_tokenizer(find_clip(settings.model, setting=f"{_SECTION}.model"), settings.tokenizer, section=_SECTION)


@contextmanager
def open_clip_es(context: LocalizeContext) -> Iterator[ImageLocalizer]:
    """Lend CLIP with the run's texts, which are embedded first if it has none."""
    from weakseg.localize.clip_maps import clip_score_maps
    from weakseg.localize.clip_texts import load_texts
    from weakseg.models.clip_source import find_clip, load_clip

    settings, section = CLIP_ES.settings_in(context.section), context.section
    source = find_clip(settings.model, setting=f"{_SECTION}.model")
    clip, path = load_clip(source).to(context.device), context.folder / TEXTS
    if not path.exists():
        _write_texts(context, clip, source)
    texts = load_texts(path, num_classes=len(context.train.classes)).to(context.device)

    def localize(sample: Sample, image: NDArray[np.uint8], _: int, /) -> Localized:
        maps = clip_score_maps(
            clip,
            image,
            sample.tags,
            texts,
            scales=section.scales,
            box_threshold=settings.box_threshold,
        )
        return Localized(maps)

    yield localize


def _write_texts(context: LocalizeContext, clip: CLIP, source: CLIPSource) -> None:
    """Embed the texts in the first process; the others wait."""
    from weakseg.localize.clip_prompts import choose_backgrounds, choose_words, fill_in
    from weakseg.localize.clip_texts import embed_words, save_texts
    from weakseg.models.clip_source import find_tokenizer, load_tokenizer
    from weakseg.train.distributed import rank, wait_for_all

    if rank() == 0:
        settings, names = CLIP_ES.settings_in(context.section), context.train.classes.names
        words = choose_words(names, settings.words)
        backgrounds = choose_backgrounds(names, settings.backgrounds)
        tokenizer = load_tokenizer(find_tokenizer(source, settings.tokenizer, section=_SECTION))
        texts = embed_words(clip, tokenizer, words, backgrounds, prompts=settings.prompts)
        asked = [text for own in (*words, *backgrounds) for text in fill_in(settings.prompts, own)]
        save_texts(context.folder / TEXTS, texts, asked=asked, origin=source.origin)
    wait_for_all()


CLIP_ES = Localizer(
    name="clip_es",
    summary="GradCAM of a CLIP that is asked for the tags, spread along its attention; needs no classifier",
    settings=CLIPESConfig,
    source="Lin et al., CVPR 2023 (CLIP-ES)",
    licence="MIT",
    needs_classifier=False,
    side_by_side=True,
    files=(TEXTS,),
    remedies={
        "unseen": "give the class words that CLIP knows better (localize.clip_es.words), or correct the tags",
        "swallowed": "give the two classes words that differ more (localize.clip_es.words), or look whether their tags "
        "are mixed up",
        "small": "use larger images (data.max_side_px) or larger localize.scales",
        "flat": "right if it does fill these images; else add what surrounds it to localize.clip_es.backgrounds",
    },
    check=check_clip_es,
    open=open_clip_es,
    require=require_clip_es,
)
