"""Settings of the stage `localize`; those of each method are beside it, in `weakseg.localize` or another package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import NOT_NEGATIVE, Range, setting
from weakseg.config.sections.methods import add_sections
from weakseg.registry import LOCALIZERS

SplitName = Literal["train", "val"]


@dataclass(frozen=True)
class LocalizeBase:
    """Stage `localize`: score maps of every image's own tags.

    Args:
        method: {methods}.
        scales: Factors the image is resized by (bicubic) before the network sees it.
        splits: Which splits get seeds. Seeds use the images' tags, on `val` too.
        compared_images: So many tagged images, evenly spaced over the last of the splits, show in the report what an
            adaptation makes of CAM, update by update. With method `cam` they are adapted for this alone.
        similarity_temperature: Maps are averaged over the places that look alike in the trunk's features: cosines are
            divided by this before a softmax, and the maps' minimum is taken off. Nothing of this if null.
    """

    method: str = "cam"
    scales: tuple[float, ...] = setting((1.0, 0.5, 1.5, 2.0), Range(0.05, 8))
    splits: tuple[SplitName, ...] = ("train",)
    compared_images: int = setting(0, NOT_NEGATIVE)
    similarity_temperature: float | None = setting(None, Range(0.001, 1000))


if TYPE_CHECKING:
    from dataclasses import field

    from weakseg.localize.clip_es import CLIPESConfig
    from weakseg.localize.lpcam import LPCAMConfig
    from weakseg.localize.rib import RIBConfig
    from weakseg.localize.sam3 import SAM3Config

    @dataclass(frozen=True)
    class LocalizeConfig(LocalizeBase):
        """The section with those of our own methods, as type checkers see it."""

        rib: RIBConfig = field(default_factory=RIBConfig)
        lpcam: LPCAMConfig = field(default_factory=LPCAMConfig)
        clip_es: CLIPESConfig = field(default_factory=CLIPESConfig)
        sam3: SAM3Config = field(default_factory=SAM3Config)

else:
    LocalizeConfig = add_sections(LocalizeBase, "LocalizeConfig", LOCALIZERS)
