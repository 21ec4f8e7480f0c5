"""What a localiser is: facts, settings, and `open`, which lends a function from an image to the maps of its tags.

`docs/plugins.md` shows how to write one. Importing this imports no torch, so that help texts stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from weakseg.methods import LocalizerFacts, Settings
from weakseg.registry import LOCALIZERS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from weakseg.config.sections.localize import LocalizeConfig
    from weakseg.config.sections.runtime import RuntimeConfig
    from weakseg.data.base import Dataset
    from weakseg.models.classifier import Classifier
    from weakseg.types import Sample, ScoreMaps

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Localized:
    """What a method made of one image.

    Args:
        maps: Its score maps.
        stopped_by: Why its adaptation ended; None without one.
        trace: The sum of the maps after each iteration of an adaptation, the first being CAM's; empty without one.
        trace_times_s: Seconds from the beginning until each entry of `trace` was there.
    """

    maps: ScoreMaps
    stopped_by: str | None = None
    trace: tuple[ScoreMaps, ...] = ()
    trace_times_s: tuple[float, ...] = ()


class ImageLocalizer(Protocol):
    """Computes the score maps of one image."""

    def __call__(self, sample: Sample, image: NDArray[np.uint8], position: int, /) -> Localized:
        """Localise an image's tags.

        Args:
            sample: The image's id and tags.
            image: (H, W, 3) uint8 RGB.
            position: Its place among all images that get seeds; decides what is drawn at random for it.
        """
        ...


class LookThrough(Protocol):
    """Does the same to every tagged training image of this process, as networks see it, and shows progress."""

    def __call__(self, work: Callable[[Sample, NDArray[np.uint8]], Result], /, *, label: str) -> Iterator[Result]:
        """Yield what is found in each image, in their order.

        Args:
            work: Looks at an image (h, w, 3) uint8 RGB; called from threads on the CPU.
            label: What is being done.
        """
        ...


@dataclass(frozen=True, eq=False)
class LocalizeContext:
    """What a localiser works with.

    Args:
        classifier: Trained, in evaluation mode, on its device. After each call it must be as it was before.
        section: The recipe's section `localize`; `METHOD.settings_in(section)` are the method's own settings.
        train: The training images, of which it may draw others.
        runtime: Seed, threads and memory.
        folder: Where it may keep files of its own, such as `Localizer.files`; it goes when the stage is done again.
        look_through: Goes through this process's share of the tagged training images.
    """

    classifier: Classifier
    section: LocalizeConfig
    train: Dataset
    runtime: RuntimeConfig
    folder: Path
    look_through: LookThrough


@dataclass(frozen=True, kw_only=True)
class Localizer(LocalizerFacts[Settings]):
    """A localiser.

    Args:
        open: Lends what localises images to a block of calls.
    """

    open: Callable[[LocalizeContext], AbstractContextManager[ImageLocalizer]]


def find_localizer(name: str) -> Localizer[object]:
    """Import the localiser of a name.

    Raises:
        ConfigError: If there is none, or its package cannot be imported.
    """
    return LOCALIZERS.load_as(name, Localizer)
