"""The words that CLIP-ES asks CLIP with.

From its release, https://github.com/linyq2117/CLIP-ES (MIT), `clip_text.py` (docs/sources.md#clip-es).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
