"""Settings of the stage `refine`; those of each method are beside it, in `weakseg.refine` or another package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import SHARE, Range, path_setting, setting
from weakseg.config.sections.methods import add_sections
from weakseg.config.sections.training import TrainingSettings
from weakseg.registry import REFINERS


@dataclass(frozen=True)
class SaliencyConfig:
    """Maps of what stands out in an image, whatever its class, that correct the masks of every method.

    Args:
        folder: Holds `<id>.png` per image, 8-bit grey of any size, of the upright image; null for no saliency. Images
            without a map keep the mask as it is.
        threshold: Salient is what lies above this share of 255, 0..1.
        outside: Pixels that the mask gives to a class although they are not salient: `ignore` (255) or `background`.
    """

    folder: str | None = path_setting(None)
    threshold: float = setting(0.5, SHARE)
    outside: Literal["ignore", "background"] = "ignore"


@dataclass(frozen=True)
class RefineBase:
    """Stage `refine`: from seeds to pseudo masks.

    Args:
        method: {methods}.
        background_threshold: The score of the background, 0..1. IRN 0.25; with RIB's seeds 0.27 (COCO 0.22). `psa` has
            none, and says so. With `auto` it is chosen on training images without their masks, see docs/threshold.md.
        saliency: Saliency maps that correct the masks.
        confidence: Also write how sure every pixel's label is, 255 for sure -> `confidence/<id>.png`.
        stable_within: Pixels of training images whose label changes when the background threshold is so many times
            lower, or so many times higher, get confidence 0; [1, 1] for none. Needs `confidence`. `psa` has no
            threshold: nothing changes.
    """

    method: str = "none"
    background_threshold: float | Literal["auto"] = setting(0.15, SHARE)
    saliency: SaliencyConfig = field(default_factory=SaliencyConfig)
    confidence: bool = False
    stable_within: tuple[float, float] = setting((1.0, 1.0), Range(1, 100))

    @property
    def network(self) -> TrainingSettings | None:
        """Settings of the network that the method learns with; None for a method without one."""
        facts = REFINERS.load(self.method) if REFINERS.is_usable(self.method) else None
        if facts is None or facts.trains is None:
            return None
        found: TrainingSettings = facts.settings_in(self)
        return found


if TYPE_CHECKING:
    from weakseg.refine.crf import CRFConfig
    from weakseg.refine.irn import IRNConfig
    from weakseg.refine.merge import MergeConfig
    from weakseg.refine.par import PARConfig
    from weakseg.refine.psa import PSAConfig

    @dataclass(frozen=True)
    class RefineConfig(RefineBase):
        """The section with those of our own methods, as type checkers see it."""

        crf: CRFConfig = field(default_factory=CRFConfig)
        irn: IRNConfig = field(default_factory=IRNConfig)
        psa: PSAConfig = field(default_factory=PSAConfig)
        par: PARConfig = field(default_factory=PARConfig)
        merge: MergeConfig = field(default_factory=MergeConfig)

else:
    RefineConfig = add_sections(RefineBase, "RefineConfig", REFINERS, shared=("crf",))
