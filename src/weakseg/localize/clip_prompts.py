"""The words that CLIP-ES asks CLIP with.

From its release, https://github.com/linyq2117/CLIP-ES (MIT), `clip_text.py` (docs/sources.md#clip-es).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from weakseg.errors import ConfigError
from weakseg.spelling import nearest

SLOT = "{}"
"""Where a word goes in a prompt."""

PROMPT = "a clean origami {}."
"""The template that the name of a class or of a background fills in."""

BACKGROUND_WORDS: tuple[str, ...] = (
    *("ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway"),
    *("railroad", "keyboard", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley"),
    *("bridge", "sign"),
)
"""What an image may show beside its classes: 25 words, for VOC."""

COCO_BACKGROUND_WORDS: tuple[str, ...] = tuple(word for word in BACKGROUND_WORDS if word not in ("keyboard", "sign"))
"""The same without two that are classes of COCO, or parts of their names."""

_PERSON = "person with clothes,people,human"

VOC_WORDS: Mapping[str, str] = MappingProxyType(
    {"bird": "bird avian", "chair": "chair seat", "person": _PERSON, "tvmonitor": "tvmonitor screen"}
)
"""What stands for a class of VOC in the prompt where its name does not."""

COCO_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "person": _PERSON,
        "motorcycle": "motorbike",
        "airplane": "aeroplane",
        "bird": "bird avian",
        "backpack": "backpack,bag",
        "umbrella": "umbrella,parasol",
        "handbag": "handbag,purse",
        "tie": "necktie",
        "baseball glove": "glove",
        "spoon": "dessertspoon",
        "chair": "chair seat",
        "couch": "sofa",
        "potted plant": "pottedplant",
        "dining table": "diningtable",
        "tv": "tvmonitor screen",
        "remote": "remote control",
        "hair drier": "hairdrier,blowdrier",
    }
)
"""The same for COCO's own names. The release also writes "sknowboard", which is left out as a slip."""

BOX_THRESHOLD, COCO_BOX_THRESHOLD = 0.4, 0.7
"""Share of a map's maximum above which its parts are boxed (`generate_cams_voc12.py`, `generate_cams_coco14.py`)."""


def require_pairs(words: Sequence[str], *, section: str) -> None:
    """Raise a `ConfigError` unless each entry of the setting `words` is `class=words`."""
    for entry in words:
        name, equals, given = entry.partition("=")
        if not (equals and name.strip() and given.strip()):
            raise ConfigError(f"{section}.words: expected 'class=words' in each, got '{entry}'")


def choose_words(
    names: Sequence[str], given: Sequence[str], *, section: str = "localize.clip_es", released: bool = True
) -> tuple[str, ...]:
    """Return what stands for each class in the prompts.

    Args:
        names: The classes' names.
        given: `class=words` where others are wanted.
        section: The section with the setting `words`, for messages.
        released: Whether VOC's classes, or COCO's, all together, have the released words.

    Returns:
        A text per class: what is given, the released words, or the name with spaces for underscores.

    Raises:
        ConfigError: If words are given for what is no class, or twice.
    """
    own: dict[str, str] = {}
    for entry in given:
        name, _, words = (part.strip() for part in entry.partition("="))
        if name not in names:
            raise ConfigError(f"{section}.words: there is no class '{name}'; {nearest(name, names)}")
        if name in own:
            raise ConfigError(f"{section}.words: the class '{name}' has words twice; keep one")
        own[name] = words
    known = _released_words(names) if released else {}
    return tuple(own.get(name, known.get(name, _as_words(name))) for name in names)


def choose_backgrounds(names: Sequence[str], backgrounds: Sequence[str]) -> tuple[str, ...]:
    """Return the words for backgrounds that no class has in its name, each once.

    A class called `tree` would otherwise compete with itself. Of the released words this leaves just those that the
    release takes for COCO.

    Args:
        names: The classes' names.
        backgrounds: The words, such as `BACKGROUND_WORDS`.

    Raises:
        ConfigError: If none is left.
    """
    taken = {word for name in names for word in (_as_words(name).casefold(), *_as_words(name).casefold().split())}
    kept = tuple(dict.fromkeys(word.strip() for word in backgrounds if word.strip().casefold() not in taken | {""}))
    if not kept:
        raise ConfigError("localize.clip_es.backgrounds: every word is part of a class's name; add some that are not")
    return kept


def fill_in(prompts: Sequence[str], words: str) -> tuple[str, ...]:
    """Return each prompt with the words in its slot."""
    return tuple(prompt.replace(SLOT, words) for prompt in prompts)


def _as_words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _released_words(names: Sequence[str]) -> Mapping[str, str]:
    from weakseg.data.coco_names import COCO_CLASSES
    from weakseg.data.voc import VOC_CLASSES

    if set(names) == set(VOC_CLASSES):
        return VOC_WORDS
    return COCO_WORDS if set(names) == set(COCO_CLASSES) else {}
