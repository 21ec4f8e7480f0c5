"""What a localiser is: facts, settings, and `open`, which lends a function from an image to the maps of its tags.

`docs/plugins.md` shows how to write one. Importing this imports no torch, so that help texts stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from weakseg.errors import ConfigError
from weakseg.methods import LocalizerFacts, Settings
from weakseg.registry import LOCALIZERS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from weakseg.config.sections.localize import LocalizeConfig
    from weakseg.config.sections.runtime import RuntimeConfig
    from weakseg.data.base import Dataset
    from weakseg.models.classifier import Classifier
    from weakseg.types import ClassSet, Sample, ScoreMaps

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
        trained: The run's classifier, see `classifier`; None for a localiser that needs none.
        section: The recipe's section `localize`; `METHOD.settings_in(section)` are the method's own settings.
        train: The training images, of which it may draw others.
        runtime: Seed, threads and memory.
        folder: Where it may keep files of its own, such as `Localizer.files`; it goes when the stage is done again.
        look_through: Goes through this process's share of the tagged training images.
        device: Where networks run.
    """

    trained: Classifier | None
    section: LocalizeConfig
    train: Dataset
    runtime: RuntimeConfig
    folder: Path
    look_through: LookThrough
    device: torch.device

    @property
    def classifier(self) -> Classifier:
        """The run's classifier, in evaluation mode, on its device. After each call it must be as it was before.

        Raises:
            ConfigError: If there is none, since the localiser has said that it needs none.
        """
        if self.trained is None:
            raise ConfigError(f"localiser '{self.section.method}' says needs_classifier=False, but asks for one")
        return self.trained


class LocalizerRequirement(Protocol):
    """Looks for what a localiser needs from elsewhere, such as a network and its weights."""

    def __call__(self, section: LocalizeConfig, classes: ClassSet, /) -> None:
        """Raise a `WeaksegError` if something is not there, before anything of the run is written.

        Args:
            section: The recipe's section `localize`.
            classes: Those of the images.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Localizer(LocalizerFacts[Settings]):
    """A localiser.

    Args:
        open: Lends what localises images to a block of calls.
        require: Looks for what it needs from elsewhere; asked when the stage has work to do.
    """

    open: Callable[[LocalizeContext], AbstractContextManager[ImageLocalizer]]
    require: LocalizerRequirement | None = None


def find_localizer(name: str) -> Localizer[object]:
    """Import the localiser of a name.

    Raises:
        ConfigError: If there is none, or its package cannot be imported.
    """
    return LOCALIZERS.load_as(name, Localizer)
