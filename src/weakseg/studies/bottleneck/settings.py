"""What the study of the bottleneck can be told, and what is fixed in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from weakseg.errors import UsageError
from weakseg.files import JsonValue
from weakseg.ops.gradient_ratio import HIGH_GRADIENT
from weakseg.studies.choices import choose_seeds

Activation = Literal["sigmoid", "softmax"]
"""The final activation a classifier is trained with: the two twins."""

ACTIVATIONS: tuple[Activation, ...] = ("sigmoid", "softmax")

Objective = Literal["gndrp", "gap", "activation"]
"""What an adaptation pushes up: RIB's logits, pooled with or without GNDRP, or what the classifier was trained for."""

OBJECTIVES: tuple[Objective, ...] = ("gndrp", "gap", "activation")

WIDTHS = (16, 16, 32, 32, 32)
STRIDES = (2, 1, 2, 1, 1)
"""The five convolutions. A position of the last one sees 30 pixels across, which holds a digit (20 pixels high)."""

NUM_LAYERS = len(WIDTHS)


@dataclass(frozen=True)
class BottleneckSettings:
    """Settings of the study.

    Args:
        digits: Where digits come from, see `weakseg.data.digits.open_digits`.
        seeds: One repetition each: split of the digits, images, initial weights, order and partners.
        images: Number of images, all with a marker, that HGR of the layers is averaged over.
        adapted: Number of those, the first, that the classifiers are adapted to, one after another.
        train_images: Number of training images; one in ten has a marker.
        epochs: Passes over them; 0 leaves the classifiers untrained, as a control.
        norm: Whether the convolutions have batch norms.
        iterations: Updates of an adaptation.
        learning_rate: Of an adaptation's first update; the linear layer's is 10 times as high.
        partners: Images of the other class that are pushed along.
        threshold: Gradients above this share of the maximum are high.
    """

    digits: str = "auto"
    seeds: tuple[int, ...] = (0,)
    images: int = 100
    adapted: int = 50
    train_images: int = 2000
    epochs: int = 4
    norm: bool = True
    iterations: int = 10
    learning_rate: float = 1e-4
    partners: int = 2
    threshold: float = HIGH_GRADIENT

    def check(self) -> None:
        """Raise a `UsageError` that names the option unless every value can be."""
        choose_seeds(self.seeds)
        for option, value, least in (
            ("images", self.images, 2),
            ("adapted", self.adapted, 1),
            ("train-images", self.train_images, 20),
            ("epochs", self.epochs, 0),
            ("iterations", self.iterations, 1),
            ("partners", self.partners, 0),
        ):
            if value < least:
                raise UsageError(f"--{option}: expected {least} or more, got {value}")
        if self.adapted > self.images:
            raise UsageError(f"--adapted: expected no more than --images, {self.images}, got {self.adapted}")
        if not self.learning_rate > 0:
            raise UsageError(f"--lr: expected a number above 0, got {self.learning_rate}")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"--threshold: expected a number from 0 to below 1, got {self.threshold}")

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything that one seed's results depend on, by name."""
        entries: dict[str, JsonValue] = {**asdict(self), "widths": list(WIDTHS), "strides": list(STRIDES)}
        del entries["seeds"]
        return entries
