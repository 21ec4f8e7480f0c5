"""What every localiser and refiner says of itself, whoever wrote it: all that recipes, help texts and lists need.

How they compute is in `weakseg.localize.method` and `weakseg.refine.method`. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from weakseg.errors import ConfigError

Settings = TypeVar("Settings")

Shows = Literal["stages", "levels"]
"""What a backbone may show of itself, see `BackboneFacts`."""


@dataclass(frozen=True)
class NoSettings:
    """The settings of a method that has none; it gets no section in recipes."""


@dataclass(frozen=True, kw_only=True)
class MethodFacts(Generic[Settings]):
    """What a method says of itself.

    Args:
        name: As recipes have it, and the name of its section there; that of its entry point.
        summary: What it does, half a sentence for help texts and lists.
        settings: A frozen dataclass whose fields all have defaults; its docstring is the help, and its numbers say
            their bounds (`weakseg.config.bounds.setting`). `NoSettings` for none.
        source: The paper or code it follows.
        licence: That of the code.
        version: Raised when its results change for the same settings: runs made before are then out of date.
        check: Raises a `ConfigError` about settings that contradict each other.
        always_counted: Whether its section is part of the fingerprint of runs by other methods, too. That was so of
            the methods of version 0.1; a new one leaves it out, so that installing it changes no run.
    """

    name: str
    summary: str
    settings: type[Settings]
    source: str
    licence: str
    version: int = 1
    check: Callable[[Settings], None] | None = None
    always_counted: bool = False

    def __post_init__(self) -> None:
        if not dataclasses.is_dataclass(self.settings):
            raise ConfigError(f"{self.name}: expected a frozen dataclass of settings, got {self.settings!r}")
        bare = [item.name for item in dataclasses.fields(self.settings) if not _has_default(item)]
        if bare:
            raise ConfigError(f"{self.name}: every setting needs a default, {', '.join(bare)} has none")
        if not self.name.isidentifier():
            raise ConfigError(f"expected a name of letters, digits and underscores, got '{self.name}'")

    @property
    def has_section(self) -> bool:
        """Whether recipes have a section of its settings."""
        return bool(dataclasses.fields(self.settings))  # type: ignore[arg-type]

    def settings_in(self, section: object) -> Settings:
        """Return its settings in the section of the stage, such as `config.localize`."""
        if not self.has_section:
            return self.settings()
        found = getattr(section, self.name)
        assert isinstance(found, self.settings), f"{self.name}: settings of another method"
        return found


@dataclass(frozen=True, kw_only=True)
class LocalizerFacts(MethodFacts[Settings]):
    """What a localiser says of itself.

    Args:
        needs_classifier: Whether it looks through the run's classifier. Without, the stage `classify` is skipped, and
            what else asks for the classifier is refused or does without.
        classifiers: Values of `classifier.method` it works with; all when empty.
        adapts: Whether it changes the classifier for an image and says why that ended, `Localized.stopped_by`.
        side_by_side: Whether several threads may call it at once: none sees a classifier that another is changing.
        smooths: Whether it heeds `localize.similarity_temperature` itself, as it has the trunk's features at hand; for
            others they are computed again.
        files: Names of the files it keeps in the run's folder `localizer`, besides the seeds.
        trial: Returns its settings changed for a trial on a few images, by which the time of a run is estimated: what
            it does once for all images should take next to no time, what it does for each image as long as ever. None
            if its settings will do as they are.
        remedies: By a cause of `weakseg.refine.health`, what to change.
    """

    needs_classifier: bool = True
    classifiers: tuple[str, ...] = ()
    adapts: bool = False
    side_by_side: bool = False
    smooths: bool = False
    files: tuple[str, ...] = ()
    trial: Callable[[Settings], Settings] | None = None
    remedies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkFacts:
    """What a refiner says of the network that it trains. Its settings then have those of every training.

    Args:
        network: The network, for messages.
        asked_by: Who learns from seeds, for messages.
        shows: What a backbone must show to carry it, see `BackboneFacts`; None if it looks itself.
        takes_hf: Whether it also stands on backbones of `transformers`, `hf:`.
        cell_px: Pixels to a cell of the pairs it learns from, within the setting `radius`; None if it does not.
        released: The kind of checkpoint that was released (`weakseg.models.weights.load_official`), by backbone.
    """

    network: str
    asked_by: str
    shows: Shows | None = None
    takes_hf: bool = False
    cell_px: int | None = None
    released: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageFiles:
    """Files of others that a refiner reads. The frame looks for them before its stage begins.

    An image without any is no fault, but counted in a warning. Their contents are part of the fingerprint.

    Args:
        setting: Name of the setting with their folder.
        what: What they are, for messages.
        find: Returns those of an image, in a fixed order, given the folder and the image's id; empty if it has none.
    """

    setting: str
    what: str
    find: Callable[[Path, str], Sequence[Path]]


@dataclass(frozen=True)
class Fit:
    """How a setting that says `auto` follows the seeds, see `weakseg.pipeline.fitting`.

    Args:
        setting: Its name.
        at: Returns its number, given the threshold (0..1) at which the CRF would cut the seeds.
        labels: Whether it shapes the labels that the refiner's network learns from, and nothing else.
    """

    setting: str
    at: Callable[[float], float]
    labels: bool = True


@dataclass(frozen=True, kw_only=True)
class RefinerFacts(MethodFacts[Settings]):
    """What a refiner says of itself.

    Args:
        has_threshold: Whether a background threshold decides, so that `auto` may try some.
        trains: The network it trains, or None.
        needs_images: Whether it looks at images, not at seeds alone.
        reads: The files of others that it reads, or None.
        instances: Name of the setting that asks it for instances; empty if it finds none.
        background: Name of the setting by which a refiner without a threshold weakens the background: raised, more
            pixels go to classes.
        fits: How those of its settings that may say `auto` follow the seeds.
        remedies: By a cause of `weakseg.refine.health`, what to change; `{lower}` and `{raise}` stand for moving the
            threshold.
    """

    has_threshold: bool = True
    trains: NetworkFacts | None = None
    needs_images: bool = True
    reads: ImageFiles | None = None
    instances: str = ""
    background: str = ""
    fits: tuple[Fit, ...] = ()
    remedies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """What a backbone says of itself.

    Args:
        name: As `classifier.name` and the like have it.
        summary: What it is, half a sentence for lists.
        source: Who published its weights; empty for a network without any.
        licence: That of the weights, or of the code where there are none.
        stages: Whether it shows its stages: for classifiers, IRNet and DeepLab-v2.
        levels: Whether it shows features of three depths at one stride: for classifiers, SEAM and AffinityNet.
        training_strides_px: Strides that `classifier.training_stride_px` may name: its weights fit all of them.
    """

    name: str
    summary: str
    source: str
    licence: str
    stages: bool = True
    levels: bool = False
    training_strides_px: tuple[int, ...] = ()

    def shows(self, what: Shows | None) -> bool:
        """Say whether it shows its stages, or its levels; None for whatever it has."""
        return {None: True, "stages": self.stages, "levels": self.levels}[what]


def _has_default(item: dataclasses.Field[object]) -> bool:
    return item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
